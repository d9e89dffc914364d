//! `mcp-server restore`: checks a backup and puts it in the place of the embedded store.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use model::Clock as _;

use super::backup::{FORMAT, FileEntry, MANIFEST_FILE, Manifest, SECRETS_FILE, STORE_FILE, copy_file, entry};
use super::output;
use crate::config::Loaded;
use crate::system::SystemClock;
use crate::wire::transfer::{Restoration, inspect_store};

/// Largest manifest that is read, in bytes.
const MAX_MANIFEST_BYTES: u64 = 1024 * 1024;

/// How a file is called while it isn't in its place.
const ASIDE: &str = "restoring";

const EXAMPLES: &str = "\
Examples:
  mcp-server restore --from /var/backups/mcp-server/monday --check
  mcp-server restore --from /var/backups/mcp-server/monday
  mcp-server restore --from /var/backups/mcp-server/monday --replace

Everything is checked before anything is touched: the files against the manifest, the store by itself, and number and digest \
of each kind of record. Stop the server first. With --replace, what was there is kept beside it.";

/// Describes the command.
pub(super) fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
    };
    Command::new("restore")
        .about("Check a backup and put it into DATA_DIR, while the server is stopped")
        .after_help(EXAMPLES)
        .arg(
            Arg::new("from")
                .long("from")
                .value_name("DIRECTORY")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The directory of the backup"),
        )
        .arg(flag("check", "Check the backup and do nothing else"))
        .arg(flag("replace", "Put it in the place of what DATA_DIR holds"))
        .args(super::flags(&super::DIRECTORY_SETTINGS))
}

/// Restores a backup, or checks it, and says what came of it.
pub(super) fn run(matches: &ArgMatches, loaded: &Loaded) -> ExitCode {
    let from = matches.get_one::<PathBuf>("from").cloned().unwrap_or_default();
    let done = check(&from).and_then(|manifest| {
        let of = format!("the backup of {} is whole", manifest.created_at);
        if matches.get_flag("check") {
            return Ok(of);
        }
        let kept = restore(
            &from,
            &manifest,
            (&loaded.config.data_dir, matches.get_flag("replace")),
        )?;
        let place = loaded.config.data_dir.display();
        Ok(match kept {
            Some(kept) => format!("{of}; it is in {place} now, and what was there is called {kept}"),
            None => format!("{of}; it is in {place} now"),
        })
    });
    match done {
        Ok(line) => {
            output::say(&line);
            ExitCode::SUCCESS
        }
        Err(line) => {
            output::complain(&line);
            ExitCode::FAILURE
        }
    }
}

/// Checks a backup as a whole.
fn check(from: &Path) -> Result<Manifest, String> {
    let manifest = read_manifest(&from.join(MANIFEST_FILE))?;
    for file in &manifest.files {
        if ![STORE_FILE, SECRETS_FILE].contains(&file.name.as_str()) {
            return Err(format!("the manifest names {}, which no backup holds", file.name));
        }
        require_same(&from.join(&file.name), file)?;
    }
    if !manifest.files.iter().any(|file| file.name == STORE_FILE) {
        return Err("the manifest names no store".to_owned());
    }
    let contents = inspect_store(&from.join(STORE_FILE)).map_err(|error| error.to_string())?;
    if contents.schema != manifest.schema {
        return Err("the store is of another version than the manifest says".to_owned());
    }
    match (contents.digests, manifest.records) {
        (Some(found), Some(expected)) if found != expected => {
            Err("the store doesn't hold the records that the manifest names".to_owned())
        }
        (Some(_), None) => Err("the manifest names no records".to_owned()),
        // One of an older version is the same file, byte for byte; its records can be read once it is brought up to date.
        (Some(_) | None, _) => Ok(manifest),
    }
}

fn read_manifest(path: &Path) -> Result<Manifest, String> {
    use std::io::Read as _;
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_MANIFEST_BYTES).read_to_string(&mut text))
        .map_err(|error| format!("can't read {}: {error}; is this a backup?", path.display()))?;
    let manifest: Manifest = serde_json::from_str(&text)
        .map_err(|error| format!("{} is no manifest of a backup: {error}", path.display()))?;
    if manifest.format > FORMAT {
        return Err(format!(
            "the backup was made by the newer version {}; restore it with that one",
            manifest.version
        ));
    }
    Ok(manifest)
}

fn require_same(path: &Path, expected: &FileEntry) -> Result<(), String> {
    let found =
        entry(path, &expected.name).map_err(|error| format!("can't read {}: {error}", path.display()))?;
    if found.bytes == expected.bytes && found.sha256 == expected.sha256 {
        return Ok(());
    }
    Err(format!(
        "{} is damaged: it isn't the file that was backed up",
        path.display()
    ))
}

/// Puts a checked backup into a directory; gives how what was there is called now.
fn restore(
    from: &Path,
    manifest: &Manifest,
    (data_dir, may_replace): (&Path, bool),
) -> Result<Option<String>, String> {
    let restoration = Restoration::begin(data_dir).map_err(|error| error.to_string())?;
    let directory = restoration.directory();
    let failed = |error: io::Error| format!("DATA_DIR: can't write to {}: {error}", directory.display());
    if !may_replace && holds_something(directory).map_err(failed)? {
        return Err(format!(
            "DATA_DIR: {} isn't empty; choose another, or say --replace to put the backup in its place",
            directory.display()
        ));
    }
    let aside = |name: &str| directory.join(format!("{name}.{ASIDE}"));
    for file in &manifest.files {
        let aside = aside(&file.name);
        remove_if_there(&aside).map_err(failed)?;
        copy_file(&from.join(&file.name), &aside).map_err(failed)?;
        require_same(&aside, file)?;
    }
    let moment = SystemClock.now().to_string().replace(':', "-");
    let secrets = directory.join(SECRETS_FILE);
    if manifest.files.iter().any(|file| file.name == SECRETS_FILE) {
        if secrets.exists() {
            fs::hard_link(
                &secrets,
                directory.join(format!("{SECRETS_FILE}.replaced-{moment}")),
            )
            .map_err(failed)?;
        }
        fs::rename(aside(SECRETS_FILE), &secrets).map_err(failed)?;
    }
    let kept = format!("{STORE_FILE}.replaced-{moment}");
    let was_there = restoration
        .place(&aside(STORE_FILE), &kept)
        .map_err(|error| error.to_string())?;
    Ok(was_there.then_some(kept))
}

/// Tells whether a directory holds anything but the lock and what an interrupted restoration left.
fn holds_something(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let is_nothing = name == "store.lock" || name == "lost+found" || name.ends_with(&format!(".{ASIDE}"));
        if !is_nothing {
            return Ok(true);
        }
    }
    Ok(false)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
