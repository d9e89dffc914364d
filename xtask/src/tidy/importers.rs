//! Each foreign library has one home, and only the wiring names concrete adapters.

use crate::tidy::code;
use crate::tree::Source;

/// A name as it appears in code, the area in which the rule holds, and where it may appear there.
struct Rule {
    name: &'static str,
    area: &'static str,
    homes: &'static [&'static str],
    /// The name has at most this many files, wherever they are.
    most_files: usize,
}

const ANY: usize = usize::MAX;

const RULES: [Rule; 16] = [
    Rule {
        name: "rusqlite",
        area: "crates/",
        homes: &["crates/stores/src/sqlite.rs", "crates/stores/src/sqlite/"],
        most_files: ANY,
    },
    Rule {
        name: "mongodb",
        area: "crates/",
        homes: &[
            "crates/stores/src/lib.rs",
            "crates/stores/src/mongodb.rs",
            "crates/stores/src/mongodb/",
        ],
        most_files: ANY,
    },
    Rule {
        name: "redis",
        area: "crates/",
        homes: &[
            "crates/backplane/src/lib.rs",
            "crates/backplane/src/redis.rs",
            "crates/backplane/src/redis/",
        ],
        most_files: ANY,
    },
    Rule {
        name: "axum",
        area: "crates/",
        homes: &["crates/server/src/"],
        most_files: ANY,
    },
    Rule {
        name: "hyper",
        area: "crates/",
        homes: &["crates/server/src/"],
        most_files: ANY,
    },
    Rule {
        name: "reqwest",
        area: "crates/",
        homes: &["crates/runtimes/src/"],
        most_files: ANY,
    },
    Rule {
        name: "bcrypt",
        area: "crates/",
        homes: &["crates/engine/src/"],
        most_files: 1,
    },
    Rule {
        name: "jsonwebtoken",
        area: "crates/",
        homes: &["crates/engine/src/"],
        most_files: 1,
    },
    Rule {
        name: "jsonschema",
        area: "crates/",
        homes: &["crates/engine/src/"],
        most_files: ANY,
    },
    Rule {
        name: "croner",
        area: "crates/",
        homes: CRON,
        most_files: ANY,
    },
    Rule {
        name: "chrono_tz",
        area: "crates/",
        homes: CRON,
        most_files: ANY,
    },
    Rule {
        name: "dotenvy",
        area: "crates/",
        homes: CONFIGURATION,
        most_files: ANY,
    },
    Rule {
        name: "env::var",
        area: "crates/",
        homes: CONFIGURATION,
        most_files: ANY,
    },
    Rule {
        name: "env::vars",
        area: "crates/",
        homes: CONFIGURATION,
        most_files: ANY,
    },
    Rule {
        name: "env::vars_os",
        area: "crates/",
        homes: CONFIGURATION,
        most_files: ANY,
    },
    Rule {
        name: "env::var_os",
        area: "crates/",
        homes: CONFIGURATION,
        most_files: ANY,
    },
];

const CRON: &[&str] = &[
    "crates/engine/src/schedule/cron.rs",
    "crates/engine/src/schedule/cron/",
];

const CONFIGURATION: &[&str] = &["crates/server/src/config.rs", "crates/server/src/config/"];

/// Adapters that only the wiring may name.
const ADAPTERS: [&str; 3] = ["stores", "backplane", "runtimes"];

const WIRING: &[&str] = &["crates/server/src/wire.rs", "crates/server/src/wire/"];

/// Finds uses of a library outside its home.
pub(super) fn violations(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    let shipped = |source: &&Source| source.is_rust() && source.path.contains("/src/");
    let files: Vec<(&str, String)> = sources
        .iter()
        .filter(shipped)
        .map(|source| (source.path.as_str(), code::only(&source.text)))
        .collect();
    for rule in &RULES {
        let users: Vec<&str> = files
            .iter()
            .filter(|(path, text)| path.starts_with(rule.area) && names(text, rule.name))
            .map(|(path, _)| *path)
            .collect();
        for path in users.iter().filter(|path| !is_home(path, rule.homes)) {
            found.push(format!(
                "{path}: uses {}, whose home is {}",
                rule.name,
                rule.homes.join(", ")
            ));
        }
        if users.len() > rule.most_files {
            found.push(format!(
                "{} is used in {} files: {}",
                rule.name,
                users.len(),
                users.join(", ")
            ));
        }
    }
    for (path, text) in files
        .iter()
        .filter(|(path, _)| path.starts_with("crates/server/src/"))
    {
        for adapter in ADAPTERS.iter().filter(|adapter| names(text, adapter)) {
            if !is_home(path, WIRING) {
                found.push(format!("{path}: names {adapter}, which only the wiring may"));
            }
        }
    }
    found
}

fn is_home(path: &str, homes: &[&str]) -> bool {
    homes
        .iter()
        .any(|home| path == *home || (home.ends_with('/') && path.starts_with(home)))
}

/// Tells whether code names a library at the start of a path, or a path such as `env::var` anywhere.
fn names(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(start, _)| {
        let before = text.get(..start).unwrap_or_default();
        let after = text.get(start + name.len()..).unwrap_or_default();
        let is_whole = !before.ends_with(code::is_name) && !after.starts_with(code::is_name);
        if name.contains("::") {
            return is_whole;
        }
        let is_used = after.starts_with("::") || (before.ends_with("use ") && after.starts_with([';', ' ']));
        is_whole && is_used && !before.ends_with("::") && !before.ends_with('.')
    })
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_library_is_named_only_at_the_start_of_a_path() {
        assert!(names("use axum::Router;", "axum"));
        assert!(names("fn f() -> axum::Router", "axum"));
        assert!(names("use rusqlite as db;", "rusqlite"));
        assert!(!names("use crate::axum::Router;", "axum"));
        assert!(!names("let x = axum_like::Router", "axum"));
    }

    #[test]
    fn the_environment_is_found_behind_any_path() {
        assert!(names("std::env::var(\"A\")", "env::var"));
        assert!(!names("std::env::vars()", "env::var"));
    }
}
