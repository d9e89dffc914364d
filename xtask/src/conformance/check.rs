//! What the suite leaves behind: one folder for each scenario, with its checks.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// Length of the time in a folder's name, with the hyphen before it: `-2026-11-22T15-37-31-123Z`.
const STAMP_CHARS: usize = 25;

/// One scenario that was run.
pub(super) struct Scenario {
    pub(super) name: String,
    pub(super) checks: Vec<Check>,
}

/// One thing that a scenario looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Check {
    id: String,
    name: String,
    status: Status,
    error_message: Option<String>,
}

/// How it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Status {
    Success,
    Failure,
    Warning,
    Skipped,
    Info,
}

impl Scenario {
    /// How many of its checks ended so.
    pub(super) fn count(&self, status: Status) -> usize {
        self.checks.iter().filter(|check| check.status == status).count()
    }

    /// One line for each check that failed or warned, and one when there was none at all.
    pub(super) fn wrong(&self, set: &str) -> Vec<String> {
        if self.checks.is_empty() {
            return vec![format!("{set}: {}: ended without a check", self.name)];
        }
        let bad = self
            .checks
            .iter()
            .filter(|check| matches!(check.status, Status::Failure | Status::Warning));
        bad.map(|check| {
            let reason = check.error_message.as_deref().unwrap_or("no reason given");
            format!(
                "{set}: {}: {:?} {} ({}): {reason}",
                self.name, check.status, check.id, check.name
            )
        })
        .collect()
    }
}

/// Reads the results of one run, in the order in which the scenarios began.
///
/// A scenario that broke off has no checks.
///
/// # Errors
/// Fails when a result can't be read.
pub(super) fn read(results: &Path) -> Result<Vec<Scenario>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(results)? {
        let entry = entry?;
        let folder = entry.file_name().to_string_lossy().into_owned();
        let Some((name, begun)) = taken_apart(&folder) else {
            continue;
        };
        let file = entry.path().join("checks.json");
        let checks = if file.exists() {
            serde_json::from_str(&fs::read_to_string(&file)?).with_context(|| file.display().to_string())?
        } else {
            Vec::new()
        };
        found.push((
            begun.to_owned(),
            Scenario {
                name: name.to_owned(),
                checks,
            },
        ));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found.into_iter().map(|(_, scenario)| scenario).collect())
}

/// The name of a scenario and when it began, from the name of its folder.
fn taken_apart(folder: &str) -> Option<(&str, &str)> {
    let rest = folder.strip_prefix("server-")?;
    rest.split_at_checked(rest.len().checked_sub(STAMP_CHARS)?)
}

#[cfg(test)]
mod tests {
    use super::taken_apart;

    #[test]
    fn folder_names_the_scenario_and_its_begin() {
        let found = taken_apart("server-server-sse-polling-2026-11-22T15-37-31-123Z");
        assert_eq!(found, Some(("server-sse-polling", "-2026-11-22T15-37-31-123Z")));
    }

    #[test]
    fn other_files_are_no_scenarios() {
        assert_eq!(taken_apart("output.txt"), None);
    }
}
