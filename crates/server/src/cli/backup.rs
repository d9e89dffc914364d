//! `mcp-server backup`: copies the embedded store, with the generated secrets, while a server may run on it.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aws_lc_rs::digest::{Context, SHA256};
use clap::{Arg, ArgMatches, Command, value_parser};
use model::{Clock as _, Timestamp};
use serde::{Deserialize, Serialize};

use super::{migrate::random_name, output};
use crate::config::Loaded;
use crate::system::SystemClock;
use crate::wire::transfer::{Digests, copy_store, inspect_store};

/// The store in a backup.
pub(super) const STORE_FILE: &str = "store.sqlite3";

/// The generated secrets in a data directory and in a backup.
pub(super) const SECRETS_FILE: &str = "secrets.json";

/// What a backup holds, in a backup.
pub(super) const MANIFEST_FILE: &str = "manifest.json";

/// The form of the manifest that is written here.
pub(super) const FORMAT: u32 = 1;

const EXAMPLES: &str = "\
Examples:
  mcp-server backup --to /var/backups/mcp-server/monday
  mcp-server restore --from /var/backups/mcp-server/monday --check

The server may run meanwhile. The directory must not exist, or be empty; it appears whole or not at all. It holds the \
store as it was at one moment, the secrets that the server generated for itself, and a manifest: keep it as safe as the \
data directory. A MongoDB is backed up with its own tools.";

/// Describes the command.
pub(super) fn command() -> Command {
    Command::new("backup")
        .about("Copy the embedded store and its secrets to a directory, while a server may run")
        .after_help(EXAMPLES)
        .arg(
            Arg::new("to")
                .long("to")
                .value_name("DIRECTORY")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The directory that the backup becomes"),
        )
        .args(super::flags(&super::DIRECTORY_SETTINGS))
}

/// What a backup holds, as it is written down.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    /// [`FORMAT`].
    pub(super) format: u32,
    /// The version of the server that made it.
    pub(super) version: String,
    /// When it was made.
    pub(super) created_at: Timestamp,
    /// The version of the store's tables.
    pub(super) schema: i64,
    /// Number and digest of each kind of record.
    pub(super) records: Option<Digests>,
    /// The other files.
    pub(super) files: Vec<FileEntry>,
}

/// A file of a backup.
#[derive(Deserialize, Serialize)]
pub(super) struct FileEntry {
    /// Its name.
    pub(super) name: String,
    /// How long it is.
    pub(super) bytes: u64,
    /// The SHA-256 of it, in hexadecimal digits.
    pub(super) sha256: String,
}

/// Makes a backup, and says where.
pub(super) fn run(matches: &ArgMatches, loaded: &Loaded) -> ExitCode {
    let to = matches.get_one::<PathBuf>("to").cloned().unwrap_or_default();
    if loaded.config.shared.mongodb_uri.is_some() {
        output::warn(
            "MONGODB_URI is set: this is a backup of the embedded store in DATA_DIR, not of that database",
        );
    }
    match back_up(&loaded.config.data_dir, &to) {
        Ok(manifest) => {
            let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
            let records = manifest.records.unwrap_or_default();
            let records: u64 = records.iter().map(|(_, of)| of.count).sum();
            output::say(&format!(
                "backed up {records} records ({bytes} bytes) to {}; it holds secrets: keep it safe",
                to.display()
            ));
            ExitCode::SUCCESS
        }
        Err(line) => {
            output::complain(&line);
            ExitCode::FAILURE
        }
    }
}

fn back_up(data_dir: &Path, to: &Path) -> Result<Manifest, String> {
    require_free(to)?;
    let mut aside = OsString::from(to);
    aside.push(format!(".partial-{}", random_name()));
    let aside = PathBuf::from(aside);
    let mut making = DirBuilder::new();
    let made = making.mode(0o700).create(&aside);
    made.map_err(|error| format!("can't make {}: {error}", aside.display()))?;
    let done = fill(data_dir, &aside).and_then(|manifest| {
        fs::rename(&aside, to)
            .and_then(|()| sync_parent(to))
            .map_err(|error| format!("can't rename {} to {}: {error}", aside.display(), to.display()))?;
        Ok(manifest)
    });
    if done.is_err() {
        // What is left of it helps nobody; that it stays is told by its name.
        drop(fs::remove_dir_all(&aside));
    }
    done
}

fn require_free(to: &Path) -> Result<(), String> {
    match fs::read_dir(to) {
        Ok(mut entries) => match entries.next() {
            Some(_) => Err(format!(
                "--to {}: the directory isn't empty; name a new one",
                to.display()
            )),
            None => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("--to {}: {error}", to.display())),
    }
}

/// Writes all files of a backup and waits until they are on disk.
fn fill(data_dir: &Path, aside: &Path) -> Result<Manifest, String> {
    let failed = |error: io::Error| format!("can't write to {}: {error}", aside.display());
    let store = aside.join(STORE_FILE);
    create(&store).map_err(failed)?;
    copy_store(data_dir, &store).map_err(|error| error.to_string())?;
    let mut files = vec![entry(&store, STORE_FILE).map_err(failed)?];
    let secrets = data_dir.join(SECRETS_FILE);
    if secrets.is_file() {
        let copy = aside.join(SECRETS_FILE);
        copy_file(&secrets, &copy).map_err(|error| format!("can't copy {}: {error}", secrets.display()))?;
        files.push(entry(&copy, SECRETS_FILE).map_err(failed)?);
    }
    let contents = inspect_store(&store).map_err(|error| error.to_string())?;
    let manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: SystemClock.now(),
        schema: contents.schema,
        records: contents.digests,
        files,
    };
    let mut text = serde_json::to_string_pretty(&manifest).map_err(|error| error.to_string())?;
    text.push('\n');
    let written = create(&aside.join(MANIFEST_FILE)).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        File::open(aside)?.sync_all()
    });
    written.map_err(failed)?;
    Ok(manifest)
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Copies a file to a new one of mode 0600, and waits until it is on disk.
pub(super) fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut copy = create(to)?;
    io::copy(&mut File::open(from)?, &mut copy)?;
    copy.sync_all()
}

/// Reads how long a file is, and its digest.
pub(super) fn entry(path: &Path, name: &str) -> io::Result<FileEntry> {
    const CHUNK: usize = 64 * 1024;
    let mut file = File::open(path)?;
    let (mut context, mut chunk, mut bytes) = (Context::new(&SHA256), vec![0; CHUNK], 0_u64);
    loop {
        let count = file.read(&mut chunk)?;
        let Some(read) = chunk.get(..count).filter(|read| !read.is_empty()) else {
            break;
        };
        context.update(read);
        bytes += u64::try_from(count).unwrap_or(u64::MAX);
    }
    let digest = context.finish();
    Ok(FileEntry {
        name: name.to_owned(),
        bytes,
        sha256: digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
}
