//! Sees to it that one process at a time uses a data directory.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use model::{Error, Result};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

/// The name of the lock file in the data directory.
const LOCK_FILE: &str = "store.lock";

/// Holds a data directory for this process; the operating system lets go of it when the process ends.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: Flock<File>,
}

impl DirectoryLock {
    /// Takes the lock of a directory, without waiting.
    ///
    /// # Errors
    /// `Unavailable` when another process holds it, or the lock file can't be written.
    pub(super) fn take(directory: &Path) -> Result<Self> {
        let path = directory.join(LOCK_FILE);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| cannot_use(directory, error))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut held) => {
                note_holder(&mut held).map_err(|error| cannot_use(directory, error))?;
                Ok(Self { _file: held })
            }
            Err((file, Errno::EWOULDBLOCK)) => Err(in_use(directory, file)),
            Err((_, errno)) => Err(cannot_use(directory, errno.into())),
        }
    }
}

fn note_holder(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn in_use(directory: &Path, file: File) -> Error {
    const MAX_PID_DIGITS: u64 = 20;
    let mut holder = String::new();
    let is_known = file.take(MAX_PID_DIGITS).read_to_string(&mut holder).is_ok();
    let process = match holder.trim() {
        pid if is_known && !pid.is_empty() => format!("another process ({pid})"),
        _ => "another process".to_owned(),
    };
    Error::unavailable(format!(
        "{process} uses the data directory {}; stop it, or choose another DATA_DIR",
        directory.display()
    ))
}

/// Says that a data directory can't be used, and why.
pub(super) fn cannot_use(directory: &Path, error: std::io::Error) -> Error {
    let message = format!(
        "the data directory {} can't be written ({error}); make it writable for this user, or choose another DATA_DIR",
        directory.display()
    );
    Error::unavailable(message).source(error)
}
