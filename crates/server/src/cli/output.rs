//! Words for the person at the shell; a closed pipe is no error.

use std::io::{self, Write as _};

/// Writes a text and an end of line to standard output.
pub(super) fn say(text: &str) {
    drop(writeln!(io::stdout().lock(), "{text}"));
}

/// Writes each line to standard error, marked as a mistake.
pub(super) fn complain(lines: &str) {
    mark("error", lines);
}

/// Writes each line to standard error, marked as a warning.
pub(super) fn warn(lines: &str) {
    mark("warning", lines);
}

/// Writes a line on how far something is to standard error.
pub(super) fn note(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

fn mark(mark: &str, lines: &str) {
    let mut stderr = io::stderr().lock();
    for line in lines.lines() {
        drop(writeln!(stderr, "{mark}: {line}"));
    }
}
