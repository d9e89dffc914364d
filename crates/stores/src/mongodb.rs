//! The shared store: one MongoDB database that any number of processes use at the same time.
//!
//! Each step is one write of one document, so that a standalone server is enough. What belongs together stands
//! together: an account's document holds its sessions, keys and security events. The driver is known here and nowhere
//! else.

mod failure;
mod collection;
mod index;
mod column;
mod contention;
mod paging;
mod connection;
mod together;
mod batcher;
mod security;
mod session;
mod user;
mod access;
mod key;
mod execution;
mod task;
mod idempotency;
mod schema;
mod transfer;
mod mark;

use std::time::{Duration, Instant};

use ::mongodb::bson::{Document, doc};
use async_trait::async_trait;
use model::{Result, Secret, Store};

use self::{batcher::Batcher, connection::Connection, contention::Turns};

/// Where the shared store is, and how much of it one process may use.
#[derive(Clone, Debug)]
pub struct MongoOptions {
    /// The address, with credentials if needed (`mongodb://` or `mongodb+srv://`).
    pub uri: Secret,
    /// The name of the database; `None` for the one in the address, or else `mcp_server`.
    pub database: Option<String>,
    /// How many connections to each member there are at most.
    pub connections: u16,
    /// How long one operation may take, and how long it may look for a member that can do it.
    pub limit: Duration,
}

impl MongoOptions {
    /// The options that fit most uses: 32 connections, 5 s.
    #[must_use]
    pub fn new(uri: Secret) -> Self {
        Self {
            uri,
            database: None,
            connections: 32,
            limit: Duration::from_secs(5),
        }
    }
}

/// The store on a MongoDB database. Writes are acknowledged once a majority of its members has them on disk.
pub struct MongoStore {
    connection: Connection,
    /// Of those who count failed sign-ins under an address.
    counting: Turns,
    executions: Batcher,
    task_inserts: Batcher,
    changes: task::GroupedChanges,
    riders: task::GroupedRiders,
    tasks: task::Tasks,
}

impl MongoStore {
    /// Reaches the database and brings its indexes up to date.
    ///
    /// # Errors
    /// `Unavailable`, with what to do: the database can't be reached, refuses the credentials, or is half filled, or is another
    /// program's or a newer version's.
    pub async fn open(options: &MongoOptions) -> Result<Self> {
        let store = Self::open_for_transfer(options).await?;
        store.require_whole().await?;
        store.settle_accounts(SETTLED_AT_OPENING).await?;
        Ok(store)
    }

    /// Opens the store as [`Self::open`] does, but one that is half filled too: as one end of a transfer.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_for_transfer(options: &MongoOptions) -> Result<Self> {
        let connection = Connection::new(options).await?;
        schema::prepare(&connection).await?;
        Ok(Self {
            counting: Turns::default(),
            executions: Batcher::into(connection.raw(execution::COLLECTION), connection.limit()),
            task_inserts: Batcher::into(connection.raw(collection::TASKS), connection.limit()),
            changes: task::GroupedChanges::into(connection.database().clone(), connection.limit()),
            riders: task::GroupedRiders::out_of(connection.collection(collection::TASKS), connection.limit()),
            tasks: task::Tasks::default(),
            connection,
        })
    }
}

/// How many accounts, and as many counts of wrong passwords, are looked at on opening for what a process that died left
/// to be done.
const SETTLED_AT_OPENING: u32 = 100;

#[async_trait]
impl Store for MongoStore {
    fn kind(&self) -> &'static str {
        "mongodb"
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn ping(&self) -> Result<Duration> {
        let begin = Instant::now();
        let meta = self.connection.collection::<Document>(schema::META);
        self.connection
            .run(meta.find_one(doc! { "_id": "schema" }))
            .await?;
        Ok(begin.elapsed())
    }

    async fn close(&self) -> Result<()> {
        self.changes.close().await;
        self.executions.close().await;
        self.task_inserts.close().await;
        self.riders.close().await;
        Ok(self.connection.close().await?)
    }
}
