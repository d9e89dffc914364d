//! `cargo xtask licenses`: the licence of every dependency against a list, and versions that appear twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::{process, say};

/// Licences under which code may be linked into ours. `deny.toml` holds the same list.
const ALLOWED: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
}

/// Checks every package in the lock file.
///
/// # Errors
/// Fails when a package has no licence expression, or one that the list can't satisfy. Duplicate versions are
/// only reported.
pub(crate) fn run() -> Result<()> {
    let text = process::read(
        process::cargo().args(["metadata", "--format-version", "1"]),
        Duration::from_secs(300),
    )?;
    let metadata: Metadata = serde_json::from_str(&text)?;
    let mut refused = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in &metadata.packages {
        versions
            .entry(&package.name)
            .or_default()
            .insert(&package.version);
        let expression = package.license.as_deref().unwrap_or_default();
        if !is_allowed(expression).unwrap_or(false) {
            refused.push(format!("{} {}: \"{expression}\"", package.name, package.version));
        }
    }
    for (name, several) in versions.iter().filter(|(_, several)| several.len() > 1) {
        let list: Vec<&str> = several.iter().copied().collect();
        say::line(format!("twice in the lock file: {name} {}", list.join(", ")));
    }
    if !refused.is_empty() {
        bail!("licences that aren't on the list:\n{}", refused.join("\n"));
    }
    say::line(format!(
        "{} packages, every licence allowed",
        metadata.packages.len()
    ));
    Ok(())
}

/// Evaluates an SPDX expression: `OR` needs one allowed side, `AND` both.
///
/// # Errors
/// Fails when the expression can't be read.
fn is_allowed(expression: &str) -> Result<bool> {
    // The old form `MIT/Apache-2.0` means a choice.
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let allowed = any_of(&mut rest)?;
    if !rest.is_empty() {
        bail!("unexpected end of the licence expression {expression}");
    }
    Ok(allowed)
}

fn any_of(words: &mut &[&str]) -> Result<bool> {
    let mut allowed = all_of(words)?;
    while take(words, "OR") {
        allowed |= all_of(words)?;
    }
    Ok(allowed)
}

fn all_of(words: &mut &[&str]) -> Result<bool> {
    let mut allowed = one(words)?;
    while take(words, "AND") {
        allowed &= one(words)?;
    }
    Ok(allowed)
}

fn one(words: &mut &[&str]) -> Result<bool> {
    if take(words, "(") {
        let allowed = any_of(words)?;
        if !take(words, ")") {
            bail!("a parenthesis is open");
        }
        return Ok(allowed);
    }
    let name = next(words)?;
    if take(words, "WITH") {
        let exception = next(words)?;
        let whole = format!("{name} WITH {exception}");
        return Ok(ALLOWED.contains(&whole.as_str()));
    }
    Ok(ALLOWED.contains(&name))
}

fn next<'a>(words: &mut &[&'a str]) -> Result<&'a str> {
    let (first, rest) = words.split_first().context("the licence expression is cut off")?;
    *words = rest;
    Ok(first)
}

fn take(words: &mut &[&str], expected: &str) -> bool {
    if words.first() != Some(&expected) {
        return false;
    }
    *words = words.get(1..).unwrap_or_default();
    true
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn a_choice_needs_one_allowed_licence() {
        assert!(is_allowed("GPL-3.0-only OR MIT").unwrap());
        assert!(is_allowed("MIT/Apache-2.0").unwrap());
        assert!(!is_allowed("GPL-3.0-only OR AGPL-3.0-only").unwrap());
    }

    #[test]
    fn a_conjunction_needs_every_licence() {
        assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0").unwrap());
        assert!(!is_allowed("MIT AND GPL-3.0-only").unwrap());
        assert!(is_allowed("Apache-2.0 WITH LLVM-exception OR GPL-2.0-only").unwrap());
    }

    #[test]
    fn a_broken_expression_is_not_allowed() {
        assert!(is_allowed("").is_err());
        assert!(is_allowed("(MIT").is_err());
        assert!(is_allowed("MIT MIT").is_err());
    }
}
