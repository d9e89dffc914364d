//! `cargo xtask tidy`: rules for sources and documents that the compiler can't see.
//!
//! Each rule is a test as well, so that `cargo xtask test` holds them all.

mod code;
mod arrows;
mod importers;
mod order;
mod marks;
mod words;

use anyhow::{Result, bail};

use crate::{say, tree};

/// Checks every rule and prints each violation.
///
/// # Errors
/// Fails when a rule is broken, or a source can't be read.
pub(crate) fn run() -> Result<()> {
    let sources = tree::sources()?;
    let rules = [
        ("dependencies point inwards", arrows::violations()?),
        ("each library has one home", importers::violations(&sources)),
        ("modules use only what is above", order::violations(&sources)),
        (
            "files have names that say something",
            marks::empty_names(&sources),
        ),
        ("nothing is unfinished or silenced", marks::unfinished(&sources)),
        ("no traces of a workplace", marks::traces(&sources)),
        ("documents name what exists", words::violations(&sources)),
    ];
    let mut broken = 0;
    for (rule, violations) in &rules {
        say::line(format!(
            "{rule}: {}",
            if violations.is_empty() { "yes" } else { "NO" }
        ));
        for violation in violations {
            say::line(format!("  {violation}"));
        }
        broken += violations.len();
    }
    if broken > 0 {
        bail!("{broken} places break a rule");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{arrows, importers, marks, order, words};
    use crate::tree;

    fn none(violations: &[String]) {
        assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
    }

    #[test]
    fn dependencies_point_inwards() {
        none(&arrows::violations().unwrap());
    }

    #[test]
    fn each_foreign_library_has_one_home() {
        none(&importers::violations(&tree::sources().unwrap()));
    }

    #[test]
    fn modules_use_only_what_is_above_them() {
        none(&order::violations(&tree::sources().unwrap()));
    }

    #[test]
    fn files_have_names_that_say_something() {
        none(&marks::empty_names(&tree::sources().unwrap()));
    }

    #[test]
    fn nothing_is_unfinished_or_silenced_without_a_reason() {
        none(&marks::unfinished(&tree::sources().unwrap()));
    }

    #[test]
    fn nothing_in_the_repository_tells_of_a_workplace() {
        none(&marks::traces(&tree::sources().unwrap()));
    }

    #[test]
    fn documents_name_paths_and_commands_that_exist() {
        none(&words::violations(&tree::sources().unwrap()));
    }
}
