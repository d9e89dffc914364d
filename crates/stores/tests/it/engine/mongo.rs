//! A database of its own on the MongoDB that the environment names.

use std::sync::Arc;

use model::{Secret, Store};
use stores::{MongoOptions, MongoStore};
use uuid::Uuid;

use super::Engine;

/// The shared store in a database of its own, which is dropped at the end.
pub(crate) struct Mongo {
    options: MongoOptions,
}

#[expect(
    clippy::disallowed_methods,
    reason = "where the database is, nobody else tells these tests"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[expect(
    clippy::disallowed_methods,
    reason = "nothing but the name of a database comes of it"
)]
fn random_name() -> String {
    format!("contract_{}", Uuid::new_v4().simple())
}

impl Mongo {
    pub(crate) fn options(&self) -> &MongoOptions {
        &self.options
    }

    /// The database as the driver sees it, to put there what a process that died would leave.
    pub(crate) async fn raw(&self) -> ::mongodb::Database {
        let client = ::mongodb::Client::with_uri_str(self.options.uri.expose())
            .await
            .unwrap();
        client.database(self.options.database.as_ref().unwrap())
    }
}

impl Default for Mongo {
    fn default() -> Self {
        let uri = variable("MONGODB_URI").expect("MONGODB_URI names a database");
        let mut options = MongoOptions::new(Secret::new(uri));
        options.database = Some(random_name());
        // Many tests run at the same time, on few processors.
        options.limit = std::time::Duration::from_secs(30);
        Self { options }
    }
}

impl Engine for Mongo {
    fn is_there() -> bool {
        if variable("MONGODB_URI").is_some() {
            return true;
        }
        let is_required = variable("CI").is_some_and(|value| value != "0" && value != "false");
        assert!(
            !is_required,
            "MONGODB_URI is not set, and here no test may be left out"
        );
        eprintln!("SKIPPED: MONGODB_URI is not set (`cargo xtask services` starts a MongoDB and prints it)");
        false
    }

    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(MongoStore::open(&self.options).await.unwrap())
    }
}

impl Drop for Mongo {
    fn drop(&mut self) {
        let options = self.options.clone();
        // The test's own runtime can't be waited for here.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let client = ::mongodb::Client::with_uri_str(options.uri.expose())
                    .await
                    .unwrap();
                let name = options.database.unwrap();
                // What can't be dropped hinders nobody: the name is random.
                drop(client.database(&name).drop().await);
            });
        });
        drop(dropping.join());
    }
}
