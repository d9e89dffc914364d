//! The store: embedded, or a database that several processes share.

use std::sync::Arc;

use model::Store;
use stores::{SqliteOptions, SqliteStore};

use super::{WireError, secrets::Secrets};
use crate::config::Config;

/// Opens the store that the configuration names.
///
/// With `secrets`, a shared one is refused whose other processes have others. One that can't be reached is
/// [`WireError::Unreachable`].
pub(super) async fn open(config: &Config, secrets: Option<&Secrets>) -> Result<Arc<dyn Store>, WireError> {
    if config.shared.mongodb_uri.is_some() {
        return shared(config, secrets).await;
    }
    let store = SqliteStore::open(&config.data_dir, &SqliteOptions::default())?;
    Ok(Arc::new(store))
}

#[cfg(feature = "mongodb")]
async fn shared(config: &Config, secrets: Option<&Secrets>) -> Result<Arc<dyn Store>, WireError> {
    use std::error::Error as StdError;

    use model::{Error, ErrorKind, Secret};
    use stores::{MongoOptions, MongoStore};

    let uri = config.shared.mongodb_uri.clone();
    let options = MongoOptions {
        database: config.shared.db_name.clone(),
        ..MongoOptions::new(uri.unwrap_or_else(|| Secret::new("")))
    };
    // What the network or the server said is the cause of the error; what is wrong for good has none.
    let refused = |error: Error| {
        if error.kind() == ErrorKind::Unavailable && StdError::source(&error).is_some() {
            WireError::Unreachable(error)
        } else {
            WireError::Database(error)
        }
    };
    let store = MongoStore::open(&options).await.map_err(refused)?;
    if let Some(secrets) = secrets {
        store.require_mark(&secrets.mark()).await.map_err(refused)?;
    }
    Ok(Arc::new(store))
}

#[cfg(not(feature = "mongodb"))]
async fn shared(_: &Config, _: Option<&Secrets>) -> Result<Arc<dyn Store>, WireError> {
    Err(WireError::Database(model::Error::unavailable(
        "this build has no MongoDB",
    )))
}
