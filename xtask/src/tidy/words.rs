//! Paths, links and developer commands that documents name must exist.

use std::collections::BTreeSet;

use clap::CommandFactory as _;

use crate::tidy::code;
use crate::tree::{self, Source};
use crate::{Cli, documents};

/// Endings of files that a document can only mean as files of this repository.
const ENDINGS: [&str; 5] = [".rs", ".toml", ".md", ".yml", ".sh"];

/// Subcommands of cargo that documents may name: its own, and tools that `CONTRIBUTING.md` introduces.
const CARGO: [&str; 16] = [
    "add", "bench", "build", "check", "clean", "clippy", "deny", "doc", "fmt", "install", "machete",
    "metadata", "nextest", "run", "test", "xtask",
];

/// What looks like a path here and is a method of the Model Context Protocol.
const METHODS: [&str; 1] = ["server/discover"];

/// Finds what documents name and the repository doesn't have.
pub(super) fn violations(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| documents::is_current(source)) {
        for span in documents::spans(source) {
            if let Some(path) = as_path(&span.text, sources).filter(|path| !exists(path, sources)) {
                found.push(format!("{}: no such path: {path}", span.place));
            }
        }
        for link in documents::links(source) {
            if !exists(&beside(&source.path, &link.text), sources) {
                found.push(format!("{}: a link into the void: {}", link.place, link.text));
            }
        }
        found.extend(unknown_commands(source, sources));
    }
    // The developer commands' own tests need examples of documents that aren't there.
    for source in sources
        .iter()
        .filter(|source| !source.is_document() && !source.path.starts_with("xtask/"))
    {
        found.extend(unknown_documents(source, sources));
    }
    found
}

/// The span as a path of this repository, when it can only be meant as one.
fn as_path(span: &str, sources: &[Source]) -> Option<String> {
    let text = span
        .split("::")
        .next()?
        .trim_start_matches("./")
        .trim_end_matches('/');
    let is_plain = text
        .chars()
        .all(|letter| code::is_name(letter) || "./-".contains(letter));
    if METHODS.contains(&text) {
        return None;
    }
    if !is_plain || text.is_empty() || text.starts_with('/') || text.starts_with("target/") {
        return None;
    }
    let has_ending = ENDINGS
        .iter()
        .any(|ending| text.ends_with(ending) && text != *ending);
    let first = text.split_once('/').map(|(first, _)| first);
    let starts_here = first.is_some_and(|first| {
        let prefix = format!("{first}/");
        let inner = format!("crates/{prefix}");
        sources
            .iter()
            .any(|source| source.path.starts_with(&prefix) || source.path.starts_with(&inner))
    });
    (has_ending || starts_here).then(|| text.to_owned())
}

/// A path counts from the root, from `crates/`, or, when it names a file, from any folder.
fn exists(path: &str, sources: &[Source]) -> bool {
    let is_at = |prefix: &str| {
        let whole = format!("{prefix}{path}");
        let folder = format!("{whole}/");
        sources
            .iter()
            .any(|source| source.path == whole || source.path.starts_with(&folder))
    };
    let ending = format!("/{path}");
    is_at("")
        || is_at("crates/")
        || sources.iter().any(|source| source.path.ends_with(&ending))
        || tree::root().join(path).exists()
}

/// The path of a link target, which counts from the folder of the document that holds it.
fn beside(document: &str, target: &str) -> String {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

/// Documents that a source names must exist as well.
fn unknown_documents(source: &Source, sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        for word in line.split(|letter: char| !(code::is_name(letter) || "./-".contains(letter))) {
            let name = word.trim_matches(['.', '/']).trim_start_matches("../");
            let is_document = name
                .strip_suffix(".md")
                .is_some_and(|stem| stem.ends_with(code::is_name));
            if is_document && !exists(name, sources) {
                found.push(format!("{}:{}: no such document: {name}", source.path, index + 1));
            }
        }
    }
    found
}

fn unknown_commands(source: &Source, sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for (place, words) in documents::commands(source, "cargo") {
        let subcommand = words.iter().skip(1).find(|word| !word.starts_with('+'));
        match subcommand.map(String::as_str) {
            None => {}
            Some("xtask") => found.extend(unknown_xtask(&words).map(|what| format!("{place}: {what}"))),
            Some(name) if CARGO.contains(&name) => {}
            Some(name) => found.push(format!("{place}: cargo has no {name}")),
        }
        if let Some(name) = package(&words).filter(|name| !packages(sources).contains(*name)) {
            found.push(format!("{place}: no package is called {name}"));
        }
    }
    let recipes = recipes(sources);
    for (place, words) in documents::commands(source, "just") {
        if let Some(name) = words.get(1).filter(|name| !recipes.contains(name.as_str())) {
            found.push(format!("{place}: the justfile has no {name}"));
        }
    }
    found
}

/// What is wrong with `cargo xtask …`, if anything is.
fn unknown_xtask(words: &[String]) -> Option<String> {
    let name = words.get(2)?;
    let cli = Cli::command();
    let Some(command) = cli.find_subcommand(name) else {
        return Some(format!("cargo xtask has no {name}"));
    };
    let options: BTreeSet<&str> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
    let named = words.iter().filter_map(|word| word.strip_prefix("--"));
    let unknown = named.map(|word| word.split('=').next().unwrap_or_default());
    let unknown = unknown.filter(|word| !word.is_empty() && *word != "help" && !options.contains(word));
    unknown
        .map(|word| format!("cargo xtask {name} has no --{word}"))
        .next()
}

fn package(words: &[String]) -> Option<&str> {
    let place = words
        .iter()
        .position(|word| word == "-p" || word == "--package")?;
    words
        .get(place + 1)
        .map(String::as_str)
        .filter(|name| !name.contains('<'))
}

fn packages(sources: &[Source]) -> BTreeSet<&str> {
    let manifests = sources
        .iter()
        .filter(|source| source.path.ends_with("/Cargo.toml"));
    let names = manifests.filter_map(|source| {
        let line = source.text.lines().find(|line| line.starts_with("name = "))?;
        line.split('"').nth(1)
    });
    names.collect()
}

/// The names of the justfile's recipes: what stands before the colon of a line that isn't indented.
fn recipes(sources: &[Source]) -> BTreeSet<&str> {
    let justfile = sources.iter().find(|source| source.path == "justfile");
    let lines = justfile.map(|source| source.text.lines()).into_iter().flatten();
    let heads = lines.filter(|line| !line.starts_with([' ', '#', '\t', '@', '[']) && !line.contains(":="));
    heads
        .filter_map(|line| line.split_once(':')?.0.split_whitespace().next())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{as_path, beside, unknown_xtask};
    use crate::tree::Source;

    fn sources() -> Vec<Source> {
        let paths = ["crates/engine/src/call.rs", "docs/api.md"];
        paths
            .map(|path| Source {
                path: path.to_owned(),
                text: String::new(),
            })
            .into_iter()
            .collect()
    }

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn only_what_must_be_a_path_is_taken_for_one() {
        assert!(as_path("engine/src/gone.rs", &sources()).is_some());
        assert!(as_path("docs/gone", &sources()).is_some());
        assert!(as_path("application/json", &sources()).is_none());
        assert!(as_path("/api/tasks", &sources()).is_none());
        assert!(as_path("crates/<name>/src", &sources()).is_none());
    }

    #[test]
    fn a_link_counts_from_its_document() {
        assert_eq!(beside("docs/adr/0001.md", "../api.md"), "docs/api.md");
        assert_eq!(beside("README.md", "docs/api.md"), "docs/api.md");
    }

    #[test]
    fn a_developer_command_must_exist_with_its_options() {
        assert_eq!(unknown_xtask(&words("cargo xtask tidy")), None);
        assert_eq!(unknown_xtask(&words("cargo xtask test --skip-fuzz")), None);
        assert!(unknown_xtask(&words("cargo xtask test --nonsense")).is_some());
        assert!(unknown_xtask(&words("cargo xtask nonsense")).is_some());
    }
}
