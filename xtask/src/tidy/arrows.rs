//! Which package may depend on which.

use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;

use crate::process;

/// What each package of ours may use of the others. Tests of the engine may run on real adapters; what measures and
/// torments the whole may start the whole.
const OURS: [(&str, &[&str], &[&str]); 10] = [
    ("model", &[], &[]),
    ("engine", &["model"], &["stores", "backplane", "runtimes"]),
    ("stores", &["model"], &[]),
    ("backplane", &["model"], &[]),
    ("runtimes", &["model"], &[]),
    ("protocol", &[], &[]),
    (
        "mcp-server",
        &["model", "engine", "stores", "backplane", "runtimes", "protocol"],
        &[],
    ),
    ("bench", &["model", "engine", "mcp-server"], &[]),
    ("peers", &[], &[]),
    ("xtask", &[], &[]),
];

/// The only packages that may depend on a foreign library, tests apart.
const FOREIGN: [(&str, &[&str]); 32] = [
    (
        "tokio",
        &[
            "engine",
            "stores",
            "backplane",
            "runtimes",
            "protocol",
            "mcp-server",
            "bench",
            "peers",
        ],
    ),
    ("rmcp", &["peers"]),
    ("axum", &["mcp-server", "bench", "peers"]),
    ("axum-extra", &["mcp-server"]),
    ("hyper", &["mcp-server"]),
    ("hyper-util", &["mcp-server"]),
    ("http", &["mcp-server", "protocol", "peers"]),
    ("http-body", &["mcp-server", "protocol"]),
    ("http-body-util", &["mcp-server", "protocol"]),
    ("tower", &["mcp-server", "protocol"]),
    ("tower-http", &["mcp-server"]),
    ("utoipa", &["mcp-server"]),
    ("utoipa-axum", &["mcp-server"]),
    ("utoipa-swagger-ui", &["mcp-server"]),
    ("clap", &["mcp-server", "xtask"]),
    ("dotenvy", &["mcp-server"]),
    ("tracing-subscriber", &["mcp-server"]),
    ("tracing-appender", &["mcp-server"]),
    ("prometheus-client", &["mcp-server"]),
    ("mimalloc", &["mcp-server", "bench", "peers"]),
    ("anyhow", &["mcp-server", "xtask"]),
    ("rusqlite", &["stores", "bench"]),
    ("reqwest", &["runtimes"]),
    ("rustls", &["runtimes", "backplane"]),
    ("mongodb", &["stores"]),
    ("redis", &["backplane"]),
    ("jsonwebtoken", &["engine"]),
    ("jsonschema", &["engine"]),
    ("bcrypt", &["engine", "bench"]),
    ("moka", &["engine"]),
    ("croner", &["engine"]),
    ("chrono-tz", &["engine"]),
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

/// Finds dependencies that point the wrong way, from what cargo itself says about the workspace.
pub(super) fn violations() -> Result<Vec<String>> {
    let words = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
    let text = process::read(process::cargo().args(words), Duration::from_secs(120))?;
    let metadata: Metadata = serde_json::from_str(&text)?;
    let mut found = Vec::new();
    for package in &metadata.packages {
        let Some((_, normal, tests)) = OURS.iter().find(|(name, ..)| *name == package.name) else {
            found.push(format!(
                "Cargo.toml: package {} has no place among the arrows",
                package.name
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let is_test = dependency.kind.as_deref() == Some("dev");
            let name = dependency.name.as_str();
            let is_ours = OURS.iter().any(|(ours, ..)| *ours == name);
            if is_ours && !normal.contains(&name) && !(is_test && tests.contains(&name)) {
                found.push(format!("{} must not know {name}", package.name));
            }
            let homes = FOREIGN.iter().find(|(foreign, _)| *foreign == name);
            if !is_test && homes.is_some_and(|(_, homes)| !homes.contains(&package.name.as_str())) {
                found.push(format!("{} must not depend on {name}", package.name));
            }
        }
    }
    Ok(found)
}
