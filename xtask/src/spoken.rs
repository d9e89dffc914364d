//! The `mcp-server` commands that documents name, tried on the program itself.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::{documents, install, process, say, tree};

/// Asks the program for the help of each command that a document names, and looks for each option in it.
///
/// # Errors
/// Fails when a document names a command or an option that the program doesn't know.
pub(crate) fn run() -> Result<()> {
    let binary = install::debug_server()?;
    let mut unknown = Vec::new();
    let mut tried = 0;
    for (words, place) in named()? {
        let known = |word: &&String| !word.starts_with('-');
        let subcommands: Vec<&String> = words.iter().take_while(known).collect();
        let mut command = Command::new(&binary);
        command
            .env_clear()
            .args(&subcommands)
            .arg("--help")
            .stderr(std::process::Stdio::null());
        tried += 1;
        let Ok(help) = process::read(&mut command, Duration::from_secs(30)) else {
            unknown.push(format!("{place}: mcp-server {}", words.join(" ")));
            continue;
        };
        let options = words
            .iter()
            .filter(|word| word.starts_with("--") && word.len() > 2);
        for option in options.map(|word| word.split('=').next().unwrap_or_default()) {
            if !help.split([' ', '\n', ',', '=', '[']).any(|word| word == option) {
                unknown.push(format!("{place}: mcp-server {} has no {option}", words.join(" ")));
            }
        }
    }
    if !unknown.is_empty() {
        bail!(
            "documents name what the program doesn't know:\n{}",
            unknown.join("\n")
        );
    }
    say::line(format!("{tried} commands named, all known"));
    Ok(())
}

/// The distinct commands, as the words after the program's name, each with the place that names it first.
fn named() -> Result<BTreeMap<Vec<String>, String>> {
    let mut found = BTreeMap::new();
    for source in tree::sources()?
        .iter()
        .filter(|source| documents::is_current(source))
    {
        let direct = documents::commands(source, "mcp-server");
        let by_cargo = documents::commands(source, "cargo")
            .into_iter()
            .filter_map(|(place, words)| {
                let is_run = words.get(1).is_some_and(|word| word == "run");
                let start = words.iter().position(|word| word == "--").filter(|_| is_run)?;
                Some((place, words.get(start..)?.to_vec()))
            });
        for (place, words) in direct.into_iter().chain(by_cargo) {
            let rest: Vec<String> = words.into_iter().skip(1).collect();
            let is_complete = !rest.is_empty() && !rest.iter().any(|word| word.contains(['<', '…', '|']));
            if is_complete {
                found.entry(rest).or_insert(place);
            }
        }
    }
    Ok(found)
}
