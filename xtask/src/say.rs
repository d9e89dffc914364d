//! Output of the developer commands: plain lines on standard output.

use std::io::{self, Write as _};

/// Prints one line. A closed pipe is no reason to stop the work behind it.
pub(crate) fn line(text: impl AsRef<str>) {
    writeln!(io::stdout().lock(), "{}", text.as_ref()).ok();
}

/// Prints the heading of a section, easy to find in a long log.
pub(crate) fn section(title: &str) {
    line(format!("\n=== {title} ==="));
}
