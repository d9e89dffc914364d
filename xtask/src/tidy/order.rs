//! Modules stand in reading order, and each uses only what stands above it.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::code;
use crate::tree::Source;

/// The modules of a crate: for each parent path, its children in the order in which they are declared.
type Children = BTreeMap<Vec<String>, Vec<String>>;

/// One source file as a module of its crate.
struct Module<'a> {
    path: Vec<String>,
    file: &'a str,
    code: String,
}

/// Finds modules that use a sibling declared below them, or below a parent of theirs.
pub(super) fn violations(sources: &[Source]) -> Vec<String> {
    let mut crates: BTreeMap<String, Vec<Module>> = BTreeMap::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        if let Some((folder, path)) = module_of(source, sources) {
            let code = code::only(&source.text);
            crates.entry(folder).or_default().push(Module {
                path,
                file: &source.path,
                code,
            });
        }
    }
    let mut found = Vec::new();
    for (folder, modules) in &crates {
        let children: Children = modules
            .iter()
            .map(|module| (module.path.clone(), declared(&module.code)))
            .collect();
        let mut broken = BTreeSet::new();
        let mut uses = BTreeSet::new();
        for Module { path, file, code } in modules {
            for (line, used) in references(code, path) {
                let Some(step) = between_siblings(&children, path, &used) else {
                    continue;
                };
                if step.is_down {
                    let (own, later) = (&step.user, &step.used);
                    found.push(format!(
                        "{file}:{line}: {own} uses {later}, which is declared below it"
                    ));
                    broken.insert(step.parent.clone());
                }
                uses.insert((step.parent, step.user, step.used));
            }
        }
        found.extend(
            broken
                .iter()
                .map(|parent| advice(folder, parent, &children, &uses)),
        );
    }
    found.dedup();
    found
}

/// The crate's source folder and the module path of a file, or `None` for tests, binaries and build scripts.
fn module_of(source: &Source, sources: &[Source]) -> Option<(String, Vec<String>)> {
    let (folder, file) = source.path.split_once("/src/")?;
    let stem = file.strip_suffix(".rs")?;
    let is_library = sources
        .iter()
        .any(|other| other.path == format!("{folder}/src/lib.rs"));
    let root = if is_library { "lib" } else { "main" };
    if stem == root {
        return Some((folder.to_owned(), Vec::new()));
    }
    if stem == "main" || stem.starts_with("bin/") {
        return None;
    }
    Some((folder.to_owned(), stem.split('/').map(str::to_owned).collect()))
}

/// The names of `mod name;` declarations, top to bottom.
fn declared(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| {
        let name = line.strip_suffix(';')?;
        let name = name
            .rsplit_once("mod ")
            .filter(|(before, _)| before.is_empty() || before.ends_with("pub ") || before.ends_with(") "))?;
        name.1.chars().all(code::is_name).then(|| name.1.to_owned())
    });
    names.collect()
}

/// Every path into this crate that the code names, with its line.
fn references(text: &str, own: &[String]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (position, _) in text.match_indices(start) {
            let before = text.get(..position).unwrap_or_default();
            if before.ends_with(code::is_name) || before.ends_with("::") {
                continue;
            }
            let mut rest = text.get(position..).unwrap_or_default();
            let mut base = Vec::new();
            if let Some(after) = rest.strip_prefix("crate::") {
                rest = after;
            } else {
                base = own.to_vec();
                while let Some(after) = rest.strip_prefix("super::") {
                    rest = after;
                    base.pop();
                }
            }
            let line = code::line_at(text, position);
            found.extend(expand(&mut rest, &base).into_iter().map(|path| (line, path)));
        }
    }
    found
}

/// Reads `a::b`, `a::{b, c::d}` or `{a, b}` from the front of `rest`, each as a whole path.
fn expand(rest: &mut &str, base: &[String]) -> Vec<Vec<String>> {
    let mut path = base.to_vec();
    loop {
        if let Some(after) = rest.strip_prefix('{') {
            *rest = after;
            return group(rest, &path);
        }
        let end = rest
            .find(|letter: char| !code::is_name(letter))
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        *rest = after;
        if name.is_empty() {
            return vec![path];
        }
        path.push(name.to_owned());
        match rest.strip_prefix("::") {
            Some(after) => *rest = after,
            None => return vec![path],
        }
    }
}

fn group(rest: &mut &str, base: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    loop {
        *rest = rest.trim_start_matches([' ', '\n', ',']);
        match rest.chars().next() {
            None => return found,
            Some('}') => {
                *rest = rest.get(1..).unwrap_or_default();
                return found;
            }
            Some(letter) if code::is_name(letter) || letter == '{' => found.extend(expand(rest, base)),
            Some(letter) => *rest = rest.get(letter.len_utf8()..).unwrap_or_default(),
        }
        // The new name of `a as b` is no path.
        if let Some(after) = rest.strip_prefix(" as ") {
            *rest = after.trim_start_matches(code::is_name);
        }
    }
}

/// One module that uses another below the same parent.
struct Step {
    parent: Vec<String>,
    user: String,
    used: String,
    /// The used one is declared after the user.
    is_down: bool,
}

/// Where two paths part below a common parent: the two siblings.
fn between_siblings(children: &Children, own: &[String], used: &[String]) -> Option<Step> {
    let common = own.iter().zip(used).take_while(|(a, b)| a == b).count();
    let parent = own.get(..common)?;
    let siblings = children.get(parent)?;
    let (user, used) = (own.get(common)?.clone(), used.get(common)?.clone());
    let place = |name: &String| siblings.iter().position(|sibling| sibling == name);
    let is_down = place(&used)? > place(&user)?;
    Some(Step {
        parent: parent.to_vec(),
        user,
        used,
        is_down,
    })
}

/// An order that would hold, or the modules of which none can come first: they use each other in a ring.
fn advice(
    folder: &str,
    parent: &[String],
    children: &Children,
    uses: &BTreeSet<(Vec<String>, String, String)>,
) -> String {
    let mut waiting = children.get(parent).cloned().unwrap_or_default();
    let mut placed: Vec<String> = Vec::new();
    let is_free = |name: &String, waiting: &[String]| {
        !uses
            .iter()
            .any(|(at, user, used)| at == parent && user == name && waiting.contains(used))
    };
    while let Some(next) = waiting.iter().position(|name| is_free(name, &waiting)) {
        placed.push(waiting.remove(next));
    }
    let place = format!("{folder} {}", parent.join("::"));
    if waiting.is_empty() {
        format!("{}: this order holds: {}", place.trim(), placed.join(", "))
    } else {
        format!(
            "{}: these use each other, or one that does: {}",
            place.trim(),
            waiting.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::violations;
    use crate::tree::Source;

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_module_that_uses_one_above_is_in_order() {
        let sources = [
            source("crates/a/src/lib.rs", "mod one;\npub mod two;\n"),
            source("crates/a/src/one.rs", "// crate::two\n"),
            source("crates/a/src/two.rs", "use crate::{one::{A, B}, C};\n"),
        ];
        assert!(violations(&sources).is_empty());
    }

    #[test]
    fn a_module_that_uses_one_below_is_found() {
        let sources = [
            source("crates/a/src/lib.rs", "mod one;\npub(crate) mod two;\n"),
            source("crates/a/src/one.rs", "\nuse crate::{X, two::{A, B}};\n"),
            source("crates/a/src/two.rs", ""),
        ];
        let expected = [
            "crates/a/src/one.rs:2: one uses two, which is declared below it",
            "crates/a: this order holds: two, one",
        ];
        assert_eq!(violations(&sources), expected);
    }

    #[test]
    fn siblings_of_a_folder_are_ordered_too() {
        let sources = [
            source("crates/a/src/lib.rs", "mod top;\n"),
            source("crates/a/src/top.rs", "mod left;\nmod right;\n"),
            source("crates/a/src/top/left.rs", "fn f() { super::right::g() }\n"),
            source("crates/a/src/top/right.rs", "use super::left;\n"),
        ];
        let expected = [
            "crates/a/src/top/left.rs:1: left uses right, which is declared below it",
            "crates/a top: these use each other, or one that does: left, right",
        ];
        assert_eq!(violations(&sources), expected);
    }
}
