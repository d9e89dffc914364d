//! Which scenarios are run, in which revision, and which must have been.

use std::fs;

use anyhow::{Context as _, Result};

use crate::conformance::check::Scenario;
use crate::install::Suite;

/// Scenarios that no revision scores, and that we run all the same.
const UNSCORED: [&str; 15] = [
    "tasks-lifecycle",
    "tasks-capability-negotiation",
    "tasks-wire-fields",
    "tasks-request-state-removal",
    "tasks-mrtr-input",
    "tasks-request-headers",
    "tasks-dispatch-and-envelope",
    "tasks-status-notifications",
    "tasks-required-task-error",
    "tasks-mrtr-composition",
    "json-schema-2020-12",
    "http-header-validation",
    "http-custom-header-server-validation",
    "server-session-lifecycle",
    "server-sse-polling",
];

/// Some scenarios that the suite runs in one go.
pub(super) struct Set {
    /// For people.
    pub(super) title: String,
    /// Where its results go.
    pub(super) folder: String,
    /// What the suite is told.
    pub(super) words: Vec<String>,
    /// The revision whose frozen list of requirements must be run completely, and how many these are.
    required: Option<(&'static str, usize)>,
}

impl Set {
    /// Everything.
    ///
    /// The two lists of requirements run what their revision doesn't score as well, so every scenario is run at
    /// least once, each in every revision in which it means something.
    pub(super) fn all() -> Vec<Self> {
        vec![
            Self::required("2026-07-28", 37),
            Self::required("2025-11-25", 30),
            Self::suite("2025-06-18"),
            Self::suite("2025-03-26"),
        ]
    }

    /// One scenario, in the revision that is named or in the one that the suite chooses.
    pub(super) fn single(name: &str, revision: Option<&str>) -> Self {
        let mut words = vec!["--scenario".to_owned(), name.to_owned()];
        if let Some(revision) = revision {
            words.extend(["--spec-version".to_owned(), revision.to_owned()]);
        }
        Self {
            title: name.to_owned(),
            folder: name.to_owned(),
            words,
            required: None,
        }
    }

    fn required(revision: &'static str, count: usize) -> Self {
        Self {
            title: format!("requirements of {revision}"),
            folder: format!("requirements-{revision}"),
            words: ["--requirements", revision].map(str::to_owned).to_vec(),
            required: Some((revision, count)),
        }
    }

    fn suite(revision: &str) -> Self {
        Self {
            title: format!("all of {revision}"),
            folder: format!("all-{revision}"),
            words: ["--suite", "all", "--spec-version", revision]
                .map(str::to_owned)
                .to_vec(),
            required: None,
        }
    }

    /// Names what the set requires and was not run.
    ///
    /// # Errors
    /// Fails when the list of requirements can't be read.
    pub(super) fn missing(&self, ran: &[Scenario], suite: &Suite) -> Result<Vec<String>> {
        let Some((revision, count)) = self.required else {
            return Ok(Vec::new());
        };
        let required = required_by(suite, revision)?;
        let mut missing: Vec<String> = required
            .iter()
            .filter(|name| !ran.iter().any(|scenario| scenario.name == **name))
            .map(|name| format!("{}: {name} was not run", self.title))
            .collect();
        if required.len() != count {
            missing.push(format!(
                "{}: {} scenarios instead of {count}",
                self.title,
                required.len()
            ));
        }
        Ok(missing)
    }
}

/// Names the scenarios of [`UNSCORED`] that no set has run.
pub(super) fn unseen(seen: &[String]) -> Vec<String> {
    let missing = UNSCORED
        .iter()
        .filter(|name| !seen.iter().any(|ran| ran == *name));
    missing.map(|name| format!("{name} was not run")).collect()
}

/// The server scenarios that a revision requires, from the list that the suite keeps of them.
fn required_by(suite: &Suite, revision: &str) -> Result<Vec<String>> {
    let path = suite
        .package
        .join("requirements")
        .join(format!("{revision}.yaml"));
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(server_list(&text))
}

/// The entries below the line `server:`.
fn server_list(text: &str) -> Vec<String> {
    let lines = text.lines().skip_while(|line| *line != "server:").skip(1);
    lines
        .map_while(|line| line.strip_prefix("  - "))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::server_list;

    #[test]
    fn required_scenarios_end_with_their_list() {
        let text = "# server: none\nserver:\n  - ping\n  - tools-list\n\nclient:\n  - initialize\n";
        assert_eq!(server_list(text), ["ping", "tools-list"]);
    }
}
