//! The text of `.env.example`, written from the table.

use super::setting::{SETTINGS, Setting};

const HEAD: &str = "\
# Settings of MCP Server: each with its meaning, what it accepts and its default.
#
# Copy this file to .env in the directory that the server starts in, and take the # from the lines to change. A variable
# of the environment wins over this file, and a flag of `mcp-server serve` over both: PORT is --port. An empty value is
# the same as none. `mcp-server config` shows what counts and where it came from.
";

/// Answers the content of `.env.example`.
#[must_use]
pub fn env_example() -> String {
    let mut text = HEAD.to_owned();
    for setting in SETTINGS {
        text.push('\n');
        text.push_str(&paragraph(setting));
    }
    text
}

fn paragraph(setting: &Setting) -> String {
    let Setting {
        name,
        default,
        otherwise,
        meaning,
        ..
    } = setting;
    let accepts = setting.accepts();
    let alias = setting
        .alias
        .map_or_else(String::new, |alias| format!("# Also read as {alias}.\n"));
    let absent = if default.is_none() {
        format!("# Default: {otherwise}.\n")
    } else {
        String::new()
    };
    let default = default.unwrap_or_default();
    format!("# {meaning}\n# Accepted: {accepts}.\n{alias}{absent}#{name}={default}\n")
}
