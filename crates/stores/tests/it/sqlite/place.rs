//! Directories to open a store in, and copies of its files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use model::Error;
use stores::{SqliteOptions, SqliteStore};

pub(super) fn open(directory: &Path) -> Result<SqliteStore, Error> {
    SqliteStore::open(directory, &SqliteOptions::default())
}

/// The message with which opening is refused.
pub(super) fn refusal(directory: &Path) -> String {
    match open(directory) {
        Ok(_) => panic!("{} was opened", directory.display()),
        Err(error) => {
            assert_eq!(error.kind(), model::ErrorKind::Unavailable);
            error.message().to_owned()
        }
    }
}

pub(super) fn store_file(directory: &Path) -> PathBuf {
    directory.join("store.sqlite3")
}

pub(super) fn log_file(directory: &Path) -> PathBuf {
    directory.join("store.sqlite3-wal")
}

/// Copies what a power loss would leave: the database and its log, not what is only in memory.
pub(super) fn copy_files(from: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    fs::copy(store_file(from), store_file(copy.path())).unwrap();
    if log_file(from).exists() {
        fs::copy(log_file(from), log_file(copy.path())).unwrap();
    }
    copy
}

/// A file system of a given size in memory; unmounted when dropped.
pub(super) struct SmallDisk {
    directory: tempfile::TempDir,
}

impl SmallDisk {
    /// Mounts one; `None` where this user may not, which is said.
    pub(super) fn mount(kib: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"])
            .arg(directory.path())
            .output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        if !is_mounted {
            println!("SKIPPED: this user can't mount a small file system");
        }
        is_mounted.then_some(Self { directory })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Makes it read-only, or writable again.
    pub(super) fn remount(&self, mode: &str) {
        let remounted = Command::new("mount")
            .args(["-o", &format!("remount,{mode}")])
            .arg(self.path())
            .status();
        assert!(remounted.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazy, since a failed test may still have files open.
        let unmounted = Command::new("umount").arg("--lazy").arg(self.path()).status();
        drop(unmounted);
    }
}
