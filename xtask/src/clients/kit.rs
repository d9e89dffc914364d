//! The clients: how each is had and started.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::clients::job::{Era, Job, Report};
use crate::{install, process};

/// How long a client may take for a job.
const JOB_LIMIT: Duration = Duration::from_secs(90);

/// One client.
pub(super) struct Kit {
    /// For people.
    pub(super) name: &'static str,
    /// In which revisions it speaks.
    eras: &'static [Era],
    program: PathBuf,
    /// Its script, where the program is an interpreter.
    script: Option<PathBuf>,
}

/// Those that know both.
const BOTH: &[Era] = &[Era::Modern, Era::Legacy];

impl Kit {
    /// Gets all clients: those of Python and TypeScript from their registries, the one of Rust from this workspace.
    ///
    /// # Errors
    /// Fails when one can't be had.
    pub(super) fn all() -> Result<Vec<Self>> {
        let typescript = install::typescript_clients()?;
        let node = install::conformance()?.node;
        let python = install::python_client()?;
        Ok(vec![
            Self {
                name: Self::PYTHON,
                eras: BOTH,
                program: python.program,
                script: Some(python.script),
            },
            Self {
                name: Self::TYPESCRIPT_V1,
                eras: &[Era::Legacy],
                program: node.clone(),
                script: Some(typescript.join("v1.mjs")),
            },
            Self {
                name: "TypeScript v2",
                eras: BOTH,
                program: node,
                script: Some(typescript.join("v2.mjs")),
            },
            Self {
                name: Self::RMCP,
                eras: BOTH,
                program: install::built("debug", "rmcp-client")?,
                script: None,
            },
        ])
    }

    /// The name of the Python client.
    pub(super) const PYTHON: &'static str = "Python";
    /// The name of the older TypeScript client.
    pub(super) const TYPESCRIPT_V1: &'static str = "TypeScript v1";
    /// The name of the Rust client, which knows the extension for tasks.
    pub(super) const RMCP: &'static str = "rmcp";

    /// Lets the client do a job, in the folder.
    ///
    /// # Errors
    /// Fails, with what the client wrote, when it fails.
    pub(super) fn run(&self, job: &Job, folder: &Path) -> Result<Report> {
        let mut command = Command::new(&self.program);
        command.current_dir(folder).args(&self.script).arg(job.text());
        let (status, text) = process::capture(&mut command, JOB_LIMIT)?;
        let line = text.lines().find(|line| line.starts_with('{'));
        let report = line
            .filter(|_| status.success())
            .and_then(|line| serde_json::from_str(line).ok());
        match report {
            Some(report) => Ok(report),
            None => bail!("the client failed ({status}):\n{text}"),
        }
    }
}

/// The client of a name.
pub(super) fn named<'a>(kits: &'a [Kit], name: &str) -> Result<&'a Kit> {
    let found = kits.iter().find(|kit| kit.name == name);
    found.with_context(|| format!("there is no client {name}"))
}

/// Each client with each era that it knows.
pub(super) fn eras(kits: &[Kit]) -> impl Iterator<Item = (&Kit, Era)> {
    kits.iter()
        .flat_map(|kit| kit.eras.iter().map(move |era| (kit, *era)))
}
