//! What a job works on, checked before it is kept.

use model::{Error, Job, Result, TaskId};

use super::reference::{in_payload, read_references};
use crate::{
    parts::Engine,
    registry::{Excess, Extent},
};

/// How large and how deep the payload of a task may be.
const EXTENT: Extent = Extent {
    bytes: 1024 * 1024,
    levels: 64,
};

impl Engine {
    /// Passes when the job's action exists and takes its payload. One that refers to results which aren't there yet
    /// is checked against the action's schema when the task starts.
    ///
    /// # Errors
    /// `NotFound` when plugin or action don't exist; `Invalid` with paths below `payload`.
    pub(super) fn require_workable(&self, job: &Job, depends_on: &[TaskId]) -> Result<()> {
        let held = self.parts.plugins.find(&job.plugin);
        let held = held.ok_or_else(|| Error::not_found("plugin").detail("plugin", "is not there"))?;
        let ready = held.action(&job.action);
        let ready = ready.ok_or_else(|| {
            Error::not_found("action of this plugin").detail("action", "is not there in this plugin")
        })?;
        EXTENT.holds(&job.payload).map_err(|excess| {
            let message = match excess {
                Excess::Levels => "must have at most 64 levels",
                Excess::Bytes => "must have at most 1 MiB as JSON",
            };
            Error::invalid("payload", message)
        })?;
        let references = read_references(&job.payload).map_err(|error| error.under("payload"))?;
        if references.is_empty() {
            let fits = ready.input.check(&job.payload);
            return fits.map_err(|error| error.under("payload"));
        }
        let stray = references
            .iter()
            .find(|(_, reference)| !depends_on.contains(&reference.task));
        stray.map_or(Ok(()), |(path, _)| {
            let path = format!("{}.$fromTask", in_payload(path));
            Err(Error::invalid(path, "must be one of dependsOn"))
        })
    }
}
