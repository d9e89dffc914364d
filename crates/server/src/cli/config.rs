//! `mcp-server config`: what is set, and where it came from.

use std::process::ExitCode;

use crate::config::source::Origin;
use crate::config::{Effective, Loaded, example};

use super::output;

/// Prints every setting, secrets masked, in the order of the table; warnings go to standard error.
pub(super) fn show(loaded: &Loaded) -> ExitCode {
    let width =
        |texts: &dyn Fn(&Effective) -> usize| loaded.effective.iter().map(texts).max().unwrap_or_default();
    let name_width = width(&|row| row.name.len());
    let value_width = width(&|row| row.value.chars().count()).min(48);
    for Effective { name, value, origin } in &loaded.effective {
        let origin = match origin {
            Origin::Default => "default".to_owned(),
            Origin::EnvFile(line) => format!(".env line {line}"),
            Origin::Environment => "environment".to_owned(),
            Origin::Flag => "flag".to_owned(),
        };
        output::say(&format!("{name:name_width$}  {value:value_width$}  {origin}"));
    }
    for line in &loaded.warnings {
        output::warn(line);
    }
    ExitCode::SUCCESS
}

/// Prints the text of `.env.example`.
pub(super) fn show_example() -> ExitCode {
    output::say(example::env_example().trim_end());
    ExitCode::SUCCESS
}
