//! The secrets that a server generates for itself, once, into its data directory.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{Entropy, Secret};
use serde::{Deserialize, Serialize};

/// Name of the file in the data directory.
const FILE_NAME: &str = "secrets.json";

/// Random bytes in each secret.
const SECRET_BYTES: usize = 32;

/// Largest secrets file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// The generated secrets of one data directory.
#[derive(Debug)]
pub struct GeneratedSecrets {
    /// Signs access tokens unless `JWT_SECRET` is set.
    pub jwt: Secret,
    /// Signs refresh tokens unless `REFRESH_TOKEN_SECRET` is set.
    pub refresh_token: Secret,
    /// Seals what clients carry for the server, such as cursors.
    pub sealing: Secret,
}

/// What the file holds.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    jwt: String,
    refresh_token: String,
    sealing: String,
}

/// Why the data directory or its secrets can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The file system refused.
    #[error("DATA_DIR: can't {action} {}: {source}; make it this user's own, or choose another DATA_DIR", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file was changed or cut; replacing it would end every session, so a person has to decide.
    #[error(
        "DATA_DIR: {} does not hold the secrets that this server wrote; put it back from a backup, or remove it to have new ones (all sessions end)",
        .0.display()
    )]
    Damaged(PathBuf),
}

impl GeneratedSecrets {
    /// Reads the secrets of `data_dir`, or generates them when there are none; makes the directory (mode 0700) if need be.
    ///
    /// The file appears whole or not at all (written aside, synced, linked into place), with mode 0600. When two
    /// processes start at once, both get the secrets of the first. Answers a line for each thing that was put right.
    ///
    /// # Errors
    /// [`SecretsError`], each with a line fit to be shown.
    pub fn open(data_dir: &Path, entropy: &dyn Entropy) -> Result<(Self, Vec<String>), SecretsError> {
        make_directory(data_dir)?;
        let path = data_dir.join(FILE_NAME);
        if let Some(found) = read(&path)? {
            return Ok(found);
        }
        generate(data_dir, &path, entropy)?;
        read(&path)?.ok_or(SecretsError::Damaged(path))
    }
}

fn make_directory(data_dir: &Path) -> Result<(), SecretsError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data_dir);
    made.map_err(|source| SecretsError::Io {
        action: "make the directory",
        path: data_dir.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<Option<(GeneratedSecrets, Vec<String>)>, SecretsError> {
    let failed = |source| SecretsError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let warnings = tighten(path, &file).map_err(failed)?;
    let mut text = String::new();
    file.take(MAX_FILE_BYTES)
        .read_to_string(&mut text)
        .map_err(failed)?;
    let content: Content = serde_json::from_str(&text).map_err(|_| SecretsError::Damaged(path.to_owned()))?;
    let parts = [&content.jwt, &content.refresh_token, &content.sealing];
    if parts.iter().any(|part| part.len() < SECRET_BYTES) {
        return Err(SecretsError::Damaged(path.to_owned()));
    }
    let secrets = GeneratedSecrets {
        jwt: Secret::new(content.jwt),
        refresh_token: Secret::new(content.refresh_token),
        sealing: Secret::new(content.sealing),
    };
    Ok(Some((secrets, warnings)))
}

/// Takes the rights of group and others away.
fn tighten(path: &Path, file: &File) -> io::Result<Vec<String>> {
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(Vec::new());
    }
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(vec![format!(
        "{} could be read by other accounts (mode {mode:04o}); it is 0600 now, and removing it makes new secrets if someone did",
        path.display()
    )])
}

fn generate(data_dir: &Path, path: &Path, entropy: &dyn Entropy) -> Result<(), SecretsError> {
    let content = Content {
        jwt: random(entropy),
        refresh_token: random(entropy),
        sealing: random(entropy),
    };
    let mut text =
        serde_json::to_string_pretty(&content).map_err(|_| SecretsError::Damaged(path.to_owned()))?;
    text.push('\n');
    let aside = data_dir.join(format!("{FILE_NAME}.{}.new", random(entropy)));
    let placed = write_aside(&aside, &text)
        .and_then(|()| place(&aside, path))
        .and_then(|()| File::open(data_dir)?.sync_all());
    let removed = fs::remove_file(&aside);
    placed.map_err(|source| SecretsError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    })?;
    // After the rename of `place` there is nothing left to remove.
    match removed {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(SecretsError::Io {
            action: "remove",
            path: aside,
            source,
        }),
        _ => Ok(()),
    }
}

fn write_aside(aside: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Gives the file its name unless another process was quicker.
fn place(aside: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(aside, path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        // Some file systems know no links.
        Err(_) => fs::rename(aside, path),
    }
}

fn random(entropy: &dyn Entropy) -> String {
    let mut bytes = [0_u8; SECRET_BYTES];
    entropy.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
