//! Names, unfinished marks and traces that don't belong in the repository.

use crate::tidy::code;
use crate::tree::Source;

/// File names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["mod", "utils", "helpers", "common", "manager", "types"];

/// First parts of absolute paths that belong to one person's machine.
const PRIVATE_FOLDERS: [&str; 5] = ["home", "root", "Users", "work", "workspace"];

/// Code that isn't finished, or silences a check without a reason.
const UNFINISHED: [&str; 6] = [
    "todo!(",
    "unimplemented!(",
    "dbg!(",
    "#[ignore",
    "#[allow(",
    "#![allow(",
];

/// Words that mark unfinished business in any text.
const MARKS: [&str; 4] = ["TODO", "FIXME", "XXX", "HACK"];

/// Finds files with a name that says nothing.
pub(super) fn empty_names(sources: &[Source]) -> Vec<String> {
    let stem = |path: &str| {
        path.rsplit('/')
            .next()
            .unwrap_or_default()
            .trim_end_matches(".rs")
            .to_owned()
    };
    sources
        .iter()
        .filter(|source| source.is_rust() && EMPTY_NAMES.contains(&stem(&source.path).as_str()))
        .map(|source| format!("{}: a name that says nothing", source.path))
        .collect()
}

/// Finds unfinished code, ignored tests, and silenced lints without a reason.
pub(super) fn unfinished(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let text = code::blank(&source.text);
        for mark in UNFINISHED {
            for (position, _) in text.match_indices(mark) {
                found.push(format!(
                    "{}:{}: {mark}",
                    source.path,
                    code::line_at(&text, position)
                ));
            }
        }
        for start in ["#[expect(", "#![expect("] {
            for (position, _) in text.match_indices(start) {
                let rest = text.get(position..).unwrap_or_default();
                let attribute = rest.split(")]").next().unwrap_or_default();
                if !attribute.contains("reason =") {
                    let line = code::line_at(&text, position);
                    found.push(format!(
                        "{}:{line}: a silenced lint without a reason",
                        source.path
                    ));
                }
            }
        }
    }
    found
}

/// Finds words that mark unfinished business, numbers of tickets, and paths of somebody's machine.
pub(super) fn traces(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| !source.path.ends_with(".lock")) {
        for (index, line) in source.text.lines().enumerate() {
            let place = format!("{}:{}", source.path, index + 1);
            if is_ours(source) && MARKS.iter().any(|mark| has_word(line, mark)) {
                found.push(format!("{place}: an unfinished mark"));
            }
            if PRIVATE_FOLDERS.iter().any(|folder| has_folder(line, folder)) {
                found.push(format!("{place}: a path of somebody's machine"));
            }
            if names_a_ticket(line) {
                found.push(format!("{place}: the number of a ticket"));
            }
        }
    }
    found
}

/// This file has to spell the words that it looks for.
fn is_ours(source: &Source) -> bool {
    source.path != "xtask/src/tidy/marks.rs"
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        let before = line.get(..start).unwrap_or_default();
        let after = line.get(start + word.len()..).unwrap_or_default();
        !before.ends_with(code::is_name) && !after.starts_with(code::is_name)
    })
}

/// An absolute path that starts with `folder`; part of a longer path or of an address is none.
fn has_folder(line: &str, folder: &str) -> bool {
    let path = format!("/{folder}/");
    line.match_indices(&path).any(|(start, _)| {
        let before = line.get(..start).unwrap_or_default();
        !before.ends_with(|letter: char| code::is_name(letter) || ".-}*>/)~".contains(letter))
    })
}

fn names_a_ticket(line: &str) -> bool {
    let lower = line.to_lowercase();
    let spelled = ["issue ", "issue #", "ticket ", "ticket #"];
    spelled.iter().any(|word| {
        let mut rest = lower
            .match_indices(word)
            .map(|(start, _)| lower.get(start + word.len()..));
        rest.any(|after| after.is_some_and(|after| after.starts_with(|letter: char| letter.is_ascii_digit())))
    })
}

#[cfg(test)]
mod tests {
    use super::{has_folder, names_a_ticket, unfinished};
    use crate::tree::Source;

    #[test]
    fn a_lint_silenced_without_a_reason_is_found() {
        let text = "#[expect(dead_code)]\nfn a() {}\n#[expect(dead_code, reason = \"why\")]\nfn b() {}\n";
        let found = unfinished(&[Source {
            path: "a.rs".to_owned(),
            text: text.to_owned(),
        }]);
        assert_eq!(found, ["a.rs:1: a silenced lint without a reason"]);
    }

    #[test]
    fn only_absolute_paths_are_private() {
        assert!(has_folder(&format!("see /{}/me", "home"), "home"));
        assert!(!has_folder("GET https://example.com/home/me", "home"));
    }

    #[test]
    fn a_ticket_has_a_number() {
        assert!(names_a_ticket(&format!("see issue {}", 12)));
        assert!(!names_a_ticket("they issue tokens"));
    }
}
