//! `cargo xtask deploy`: checks what `deploy/` holds with the tools that it is meant for.

mod tools;
mod files;
mod backend;
mod curl;
mod proxy;
mod rollout;

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::services::{Services, Wanted};
use crate::{install, process, say, tree};

/// What the deploy command is told.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Deploy {
    /// Treat a missing tool as a failure (set in CI)
    #[arg(long, env = "CI", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new())]
    ci: bool,
    /// Use this program instead of building the debug server
    #[arg(long, value_name = "PROGRAM")]
    server: Option<PathBuf>,
}

/// Checks everything in `deploy/`: each file with its own tool, and a real nginx, in front of servers that note what
/// it does and in front of real ones.
///
/// # Errors
/// Fails at the first check that fails. What can't be checked for want of a tool is named.
pub(crate) fn run(settings: &Deploy) -> Result<()> {
    let folder = tree::scratch("deploy")?;
    let binary = match &settings.server {
        Some(program) => program.canonicalize()?,
        None => install::debug_server()?,
    };
    let part = |name: &str| -> Result<PathBuf> {
        let part = folder.join(name);
        fs::create_dir_all(&part)?;
        Ok(part)
    };
    if let Some(hadolint) = settings.tool("hadolint", tools::hadolint())? {
        check("Dockerfile", || files::image(&hadolint, &part("image")?))?;
    }
    if settings.tool("Docker Compose", tools::compose())?.is_some() {
        check("docker-compose.yml", || {
            files::compose(tools::compose, &binary, &part("compose")?)
        })?;
    }
    if settings
        .tool("systemd-analyze", installed("systemd-analyze"))?
        .is_some()
    {
        check("mcp-server.service", || files::unit(&binary, &part("unit")?))?;
    }
    if let Some(validate) = settings.tool("kubernetes-validate", tools::kubernetes_validate())? {
        check("kubernetes", || {
            files::kubernetes(&validate, &binary, &part("kubernetes")?)
        })?;
    }
    let has_curl = settings.tool("curl", installed("curl"))?.is_some();
    if has_curl && settings.tool("nginx", install::nginx())?.is_some() {
        check("nginx.conf", || proxy::run(&part("nginx")?))?;
        if let Some(services) = settings.tool("MongoDB and Redis", Services::start(&Wanted::default()))? {
            check("two servers behind nginx", || {
                rollout::run(&services, &binary, &part("rollout")?)
            })?;
        }
    }
    // Kept after a failure, with its logs.
    fs::remove_dir_all(&folder)?;
    Ok(())
}

impl Deploy {
    /// What was got, or nothing when it can't be had, which is said; in CI that is a failure.
    fn tool<T>(&self, name: &str, got: Result<T>) -> Result<Option<T>> {
        match got {
            Ok(tool) => Ok(Some(tool)),
            Err(reason) if self.ci => Err(reason.context(format!("{name} can't be had"))),
            Err(reason) => {
                say::line(format!("SKIPPED: {name} can't be had here: {reason:#}"));
                Ok(None)
            }
        }
    }
}

fn installed(program: &str) -> Result<()> {
    if !process::is_installed(program) {
        bail!("{program} is not installed");
    }
    Ok(())
}

fn check(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    work().map_err(|reason| reason.context(name.to_owned()))?;
    say::line(format!("ok: {name}"));
    Ok(())
}
