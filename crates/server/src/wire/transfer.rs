//! Stores as ends of a migration, and copies of the embedded one.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use model::Secret;
use stores::{SqliteOptions, SqliteStore};

pub(crate) use stores::transfer::{
    Digests, RecordKind, Transfer, TransferProgress, TransferReport, transfer,
};
pub(crate) use stores::{Restoration, copy_store, inspect_store};

use super::chain;
use crate::config::Config;

/// Where a store is.
#[derive(Clone)]
pub(crate) enum StorePlace {
    /// The embedded store of a directory.
    Embedded(PathBuf),
    /// A database: its address, and its name if the address isn't to say it.
    Shared(Secret, Option<String>),
}

impl StorePlace {
    /// Understands `embedded`, `embedded:DIR`, `mongodb` and the address of a MongoDB.
    ///
    /// # Errors
    /// A line that says what is wrong. It doesn't repeat the text, which may hold a password.
    pub(crate) fn parse(text: &str, config: &Config) -> Result<Self, String> {
        let shared = &config.shared;
        if text == "embedded" {
            return Ok(Self::Embedded(config.data_dir.clone()));
        }
        if let Some(directory) = text.strip_prefix("embedded:").filter(|text| !text.is_empty()) {
            return Ok(Self::Embedded(directory.into()));
        }
        if text == "mongodb" {
            let uri = shared.mongodb_uri.clone();
            let uri = uri.ok_or_else(|| "mongodb stands for MONGODB_URI, which isn't set".to_owned())?;
            return Ok(Self::Shared(uri, shared.db_name.clone()));
        }
        let is_address = ["mongodb://", "mongodb+srv://"]
            .iter()
            .any(|scheme| text.starts_with(scheme));
        if is_address {
            return Ok(Self::Shared(
                Secret::new(text),
                shared.db_name.clone().filter(|_| !names_database(text)),
            ));
        }
        Err(
            "must be embedded, embedded:DIRECTORY, mongodb, or an address such as mongodb://host/database"
                .to_owned(),
        )
    }

    /// Opens the store as one end of a migration.
    ///
    /// # Errors
    /// A line fit to be shown.
    pub(crate) async fn open(&self) -> Result<Arc<dyn Transfer>, String> {
        let opened = match self {
            Self::Embedded(directory) => SqliteStore::open_for_transfer(directory, &SqliteOptions::default())
                .map(|store| Arc::new(store) as Arc<dyn Transfer>),
            Self::Shared(uri, database) => open_shared(uri, database.as_deref()).await,
        };
        opened.map_err(|error| format!("{self}: {}", chain(&error)))
    }

    /// The directory of an embedded store.
    pub(crate) fn directory(&self) -> Option<&PathBuf> {
        match self {
            Self::Embedded(directory) => Some(directory),
            Self::Shared(..) => None,
        }
    }
}

impl fmt::Display for StorePlace {
    /// Names the place without the address of a database, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(directory) => write!(f, "embedded:{}", directory.display()),
            Self::Shared(_, Some(database)) => write!(f, "the MongoDB database {database}"),
            Self::Shared(..) => f.write_str("the MongoDB database"),
        }
    }
}

/// Tells whether an address names a database.
fn names_database(address: &str) -> bool {
    let (_, rest) = address.split_once("://").unwrap_or_default();
    let (rest, _) = rest.split_once('?').unwrap_or((rest, ""));
    let (_, hosts) = rest.rsplit_once('@').unwrap_or(("", rest));
    hosts.split_once('/').is_some_and(|(_, name)| !name.is_empty())
}

#[cfg(feature = "mongodb")]
async fn open_shared(uri: &Secret, database: Option<&str>) -> model::Result<Arc<dyn Transfer>> {
    use std::time::Duration;

    /// A page of large documents may take longer than anything that callers wait for.
    const LIMIT: Duration = Duration::from_secs(30);
    let options = stores::MongoOptions {
        database: database.map(str::to_owned),
        limit: LIMIT,
        ..stores::MongoOptions::new(uri.clone())
    };
    let store = stores::MongoStore::open_for_transfer(&options).await?;
    Ok(Arc::new(store))
}

#[cfg(not(feature = "mongodb"))]
async fn open_shared(_: &Secret, _: Option<&str>) -> model::Result<Arc<dyn Transfer>> {
    Err(model::Error::unavailable("this build has no MongoDB"))
}

#[cfg(test)]
mod tests {
    use super::names_database;

    #[test]
    fn an_address_names_a_database_behind_its_hosts() {
        assert!(names_database("mongodb://a:b@h1,h2/tools?replicaSet=rs0"));
        assert!(!names_database("mongodb://a:b/c@h1/?replicaSet=rs0"));
        assert!(!names_database("mongodb://h1"));
    }
}
