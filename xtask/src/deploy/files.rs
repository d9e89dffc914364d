//! The files of a deployment, each shown to the tool that it is written for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::subject::random_secret;
use crate::{process, say, tree};

/// How long a tool may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The largest exposure that `systemd-analyze` may see, in tenths: 0 is best, 100 is worst.
const MOST_EXPOSURE: &str = "20";

/// What `docker-compose.yml` wants from `deploy/.env`; without each of them it must say so.
const REQUIRED: [&str; 5] = [
    "JWT_SECRET",
    "REFRESH_TOKEN_SECRET",
    "MONGODB_PASSWORD",
    "REDIS_PASSWORD",
    "PUBLIC_HOST",
];

/// Lets the linter look at the Dockerfile, and looks itself whether what the build gets is enough for cargo.
///
/// # Errors
/// Fails on any finding.
pub(super) fn image(hadolint: &Path, folder: &Path) -> Result<()> {
    passes(Command::new(hadolint).arg(deploy("Dockerfile")), "hadolint")?;
    let ignored = fs::read_to_string(tree::root().join(".dockerignore"))?;
    for path in ignored.lines().filter_map(|line| line.strip_prefix('!')) {
        let target = folder.join(path);
        fs::create_dir_all(target.parent().context("a path without a folder")?)?;
        let mut copy = Command::new("cp");
        copy.arg("-R").arg(tree::root().join(path)).arg(target);
        process::run(&mut copy, LIMIT)?;
    }
    let mut cargo = process::cargo();
    cargo.current_dir(folder);
    cargo.args([
        "metadata",
        "--quiet",
        "--format-version",
        "1",
        "--locked",
        "--no-deps",
    ]);
    passes(&mut cargo, "cargo, with what the image is built from")
}

/// Lets Compose read its file: with all that it wants, and with one thing missing after another.
///
/// # Errors
/// Fails when it doesn't take the one, or takes the other.
pub(super) fn compose(program: impl Fn() -> Result<Command>, binary: &Path, folder: &Path) -> Result<()> {
    let mut values = REQUIRED
        .iter()
        .map(|name| Ok((*name, random_secret()?)))
        .collect::<Result<BTreeMap<_, _>>>()?;
    values.insert("PUBLIC_HOST", "tools.example.org".to_owned());
    let read = |missing: Option<&str>| {
        let lines = values.iter().filter(|(name, _)| Some(**name) != missing);
        let text: String = lines.map(|(name, value)| format!("{name}={value}\n")).collect();
        let settings = folder.join("compose.env");
        fs::write(&settings, text)?;
        let mut command = program()?;
        command.env_clear().env("PATH", path_of_programs());
        command.arg("--env-file").arg(settings);
        command.arg("--file").arg(deploy("docker-compose.yml"));
        command.args(["config", "--format", "json"]);
        process::capture(&mut command, LIMIT)
    };
    for name in REQUIRED {
        let (status, said) = read(Some(name))?;
        if status.success() || !said.contains(name) {
            bail!("docker compose config without {name}: {status}\n{said}");
        }
    }
    let (status, said) = read(None)?;
    if !status.success() {
        bail!("docker compose config: {status}\n{said}");
    }
    let whole: Value = serde_json::from_str(&said).context("docker compose config")?;
    for service in ["api-1", "api-2", "worker"] {
        let settings = whole.pointer(&format!("/services/{service}/environment"));
        let settings = settings
            .and_then(Value::as_object)
            .with_context(|| format!("{service} has no environment"))?;
        known(binary, service, settings.keys().map(String::as_str))?;
        // Those without a value are passed on from outside, where there is none.
        let settings: Vec<(String, String)> = settings
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect();
        accepted(binary, folder, &settings)?;
    }
    Ok(())
}

/// Lets systemd look at the unit, and the server at its settings.
///
/// # Errors
/// Fails when systemd finds a mistake or too much exposure, or the server takes settings without secrets.
pub(super) fn unit(binary: &Path, folder: &Path) -> Result<()> {
    let text = fs::read_to_string(deploy("mcp-server.service"))?;
    let installed = "ExecStart=/usr/local/bin/mcp-server ";
    if !text.contains(installed) {
        bail!("mcp-server.service has no {installed}");
    }
    let here = format!("ExecStart={} ", binary.display());
    let unit = folder.join("mcp-server.service");
    fs::write(&unit, text.replace(installed, &here))?;
    let mut verify = Command::new("systemd-analyze");
    verify
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&unit);
    passes(&mut verify, "systemd-analyze verify")?;
    let mut security = Command::new("systemd-analyze");
    security.args([
        "security",
        "--offline=true",
        "--no-pager",
        "--threshold",
        MOST_EXPOSURE,
    ]);
    let (status, said) = process::capture(security.arg(&unit), LIMIT)?;
    let verdict = said.lines().find(|line| line.contains("Overall exposure"));
    say::line(
        verdict
            .unwrap_or("systemd-analyze security gave no verdict")
            .trim(),
    );
    if !status.success() || verdict.is_none() {
        bail!("systemd-analyze security: {status}\n{said}");
    }
    let example = fs::read_to_string(deploy("mcp-server.environment"))?;
    let lines = example.lines().map(|line| line.trim_start_matches('#'));
    let pairs: Vec<(&str, &str)> = lines
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| is_variable(name))
        .collect();
    known(
        binary,
        "mcp-server.environment",
        pairs.iter().map(|(name, _)| *name),
    )?;
    let mut settings = vec![("NODE_ENV".to_owned(), "production".to_owned())];
    if accepted(binary, folder, &settings).is_ok() {
        bail!("the server takes production without secrets");
    }
    for (name, value) in pairs {
        let value = if value.is_empty() {
            random_secret()?
        } else {
            value.to_owned()
        };
        settings.push((name.to_owned(), value));
    }
    accepted(binary, folder, &settings)
}

/// Checks each resource against the schema of its kind, unknown fields refused, and lets kubectl put them together.
///
/// # Errors
/// Fails on any finding.
pub(super) fn kubernetes(validate: &Path, binary: &Path, folder: &Path) -> Result<()> {
    let mut resources: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(deploy("kubernetes"))? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name != "kustomization.yaml") {
            resources.push(path);
        }
    }
    passes(
        Command::new(validate).arg("--strict").args(resources),
        "kubernetes-validate",
    )?;
    let text = fs::read_to_string(deploy("kubernetes/settings.yaml"))?;
    let pairs = text
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_once(": "));
    let mut settings: Vec<(String, String)> = pairs
        .filter(|(name, _)| is_variable(name))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect();
    known(
        binary,
        "settings.yaml",
        settings.iter().map(|(name, _)| name.as_str()),
    )?;
    for secret in ["JWT_SECRET", "REFRESH_TOKEN_SECRET"] {
        settings.push((secret.to_owned(), random_secret()?));
    }
    accepted(binary, folder, &settings)?;
    if !process::is_installed("kubectl") {
        say::line("SKIPPED: kubectl is not installed, so that the kustomization wasn't built");
        return Ok(());
    }
    let mut build = Command::new("kubectl");
    build.arg("kustomize").arg(deploy("kubernetes"));
    let built = folder.join("kustomized.yaml");
    fs::write(&built, process::read(&mut build, LIMIT)?)?;
    passes(
        Command::new(validate).arg("--strict").arg(built),
        "kubernetes-validate",
    )
}

fn deploy(file: &str) -> PathBuf {
    tree::root().join("deploy").join(file)
}

/// Runs a tool that has nothing to say when all is well; shows what it says otherwise.
fn passes(command: &mut Command, name: &str) -> Result<()> {
    let (status, said) = process::capture(command, LIMIT)?;
    if !status.success() {
        bail!("{name}: {status}\n{said}");
    }
    Ok(())
}

/// Fails when one of the variables is none that the server reads.
fn known<'a>(binary: &Path, file: &str, names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut command = Command::new(binary);
    let example = process::read(command.env_clear().args(["config", "--example"]), LIMIT)?;
    let settings: BTreeSet<&str> = example
        .lines()
        .filter_map(|line| Some(line.strip_prefix('#')?.split_once('=')?.0))
        .collect();
    let unknown: Vec<&str> = names.filter(|name| !settings.contains(name)).collect();
    if !unknown.is_empty() {
        bail!("{file} sets what the server doesn't read: {}", unknown.join(", "));
    }
    Ok(())
}

/// Fails when the server doesn't start with these settings and no others.
fn accepted(binary: &Path, folder: &Path, settings: &[(String, String)]) -> Result<()> {
    let mut command = Command::new(binary);
    command.arg("config").current_dir(folder).env_clear();
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    passes(&mut command, "mcp-server config")
}

fn is_variable(name: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
    !name.is_empty() && name.chars().all(is_plain)
}

/// Where `docker` finds its parts; nothing else of the environment may reach the file.
fn path_of_programs() -> String {
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()
}
