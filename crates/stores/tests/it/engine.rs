//! The databases that the contract is checked on.

use std::{path::Path, sync::Arc};

use model::Store;
use stores::{SqliteOptions, SqliteStore};

#[cfg(feature = "mongodb")]
mod mongo;
#[cfg(feature = "mongodb")]
mod tap;

#[cfg(feature = "mongodb")]
pub(crate) use self::{mongo::Mongo, tap::Tapped};

/// A place that holds one store; empty when it is opened first.
pub(crate) trait Engine: Default + Send + Sync {
    /// Tells whether such stores can be made here; says why, where they can't.
    fn is_there() -> bool {
        true
    }

    /// Opens the store of this place, with all that was written to it before.
    fn open(&self) -> impl Future<Output = Arc<dyn Store>> + Send;
}

/// Makes a test of each case, on every database: one line for each database stands here.
#[macro_export]
macro_rules! on_every_engine {
    ($($case:ident),* $(,)?) => {
        $crate::cases_on!(sqlite, $crate::engine::Sqlite, $($case),*);
        #[cfg(feature = "mongodb")]
        $crate::cases_on!(mongodb, $crate::engine::Mongo, $($case),*);
    };
}

/// Makes a test of each case on one database.
#[macro_export]
macro_rules! cases_on {
    ($name:ident, $engine:ty, $($case:ident),*) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if <$engine as $crate::engine::Engine>::is_there() {
                        super::$case(<$engine>::default()).await;
                    }
                }
            )*
        }
    };
}

/// The embedded store in a directory of its own.
pub(crate) struct Sqlite {
    directory: tempfile::TempDir,
}

impl Sqlite {
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Default for Sqlite {
    fn default() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }
}

impl Engine for Sqlite {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(self.path(), &SqliteOptions::default()).unwrap())
    }
}
