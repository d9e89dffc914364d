//! The files of this repository, as the developer commands see them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Directories that hold no file of ours.
const SKIPPED: [&str; 6] = [
    ".git",
    "target",
    "node_modules",
    "data",
    "logs",
    "proptest-regressions",
];

/// The largest file that is read as text.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// One text file of the repository.
pub(crate) struct Source {
    /// Path from the root of the repository, with `/` between its parts.
    pub(crate) path: String,
    /// The whole content.
    pub(crate) text: String,
}

impl Source {
    /// Tells whether this is Rust code.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Tells whether this is a document that people read.
    pub(crate) fn is_document(&self) -> bool {
        self.path.ends_with(".md")
    }
}

/// The root of the repository: the parent of this package.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// Where build products and downloaded tools go.
pub(crate) fn target() -> PathBuf {
    root().join("target")
}

/// Makes an empty folder under `target/`, away from the sources and on a real disk.
pub(crate) fn scratch(name: &str) -> Result<PathBuf> {
    let folder = target()
        .join("xtask")
        .join(format!("{name}-{}", std::process::id()));
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("can't empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("can't create {}", folder.display()))?;
    Ok(folder)
}

/// Reads every text file of the repository, sorted by path.
///
/// Files that are not UTF-8, or larger than 1 MiB, are left out: they are no text of ours.
pub(crate) fn sources() -> Result<Vec<Source>> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("can't list {}", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
                folders.push(entry.path());
            } else if kind.is_file()
                && name != ".env"
                && entry.metadata()?.len() <= MAX_TEXT_BYTES
                && let Ok(text) = fs::read_to_string(entry.path())
            {
                found.push(Source {
                    path: relative(&root, &entry.path()),
                    text,
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root)
        .unwrap_or(path)
        .to_string_lossy()
        .replace('\\', "/")
}
