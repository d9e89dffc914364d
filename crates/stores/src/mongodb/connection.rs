//! The way to the database.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use ::mongodb::{
    Client, Collection, Cursor, Database,
    bson::RawDocumentBuf,
    error::Result as DriverResult,
    options::{Acknowledgment, ClientOptions, ReadPreference, SelectionCriteria, WriteConcern},
};
use model::{Error, Result};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{MongoOptions, failure::Fault};

/// The database that is used when neither the options nor the address name one.
const DEFAULT_DATABASE: &str = "mcp_server";

/// One client with its pool of connections, and the database. All that is asked of it goes through [`Self::run`].
pub(super) struct Connection {
    client: Client,
    database: Database,
    limit: Duration,
    is_closed: AtomicBool,
}

impl Connection {
    /// Reads the address and makes a client; connections are made when they are needed.
    ///
    /// # Errors
    /// `Unavailable` when the address can't be read or resolved. The message does not repeat it: it may hold a password.
    pub(super) async fn new(options: &MongoOptions) -> Result<Self> {
        let parsing = ClientOptions::parse(options.uri.expose());
        let client_options = match timeout(options.limit, parsing.into_future()).await {
            Ok(Ok(parsed)) => settle(parsed, options),
            Ok(Err(_)) => return Err(unusable("it can't be read, or its host not be found")),
            Err(_) => return Err(unusable("its host is not found in time")),
        };
        let named = options
            .database
            .clone()
            .or_else(|| client_options.default_database.clone());
        let name = named.unwrap_or_else(|| DEFAULT_DATABASE.to_owned());
        let client = Client::with_options(client_options)
            .map_err(|error| unusable("it asks for what can't be").source(error))?;
        Ok(Self {
            database: client.database(&name),
            client,
            limit: options.limit,
            is_closed: AtomicBool::new(false),
        })
    }

    /// The database.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// A collection of rows.
    pub(super) fn collection<T: Send + Sync>(&self, name: &str) -> Collection<T> {
        self.database.collection(name)
    }

    /// How long one operation may take.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Waits for an operation, as long as one may take.
    ///
    /// # Errors
    /// Whatever the database says; [`Fault::TimedOut`] without an answer in time, [`Fault::Closed`] after
    /// [`Self::close`].
    pub(super) async fn run<T, W>(&self, work: W) -> Result<T, Fault>
    where
        W: IntoFuture<Output = DriverResult<T>, IntoFuture: Send> + Send,
    {
        self.run_within(self.limit, work).await
    }

    /// Waits for an operation that may take longer than others.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(super) async fn run_within<T, W>(&self, limit: Duration, work: W) -> Result<T, Fault>
    where
        W: IntoFuture<Output = DriverResult<T>, IntoFuture: Send> + Send,
    {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(Fault::Closed);
        }
        match timeout(limit, work.into_future()).await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(Fault::TimedOut),
        }
    }

    /// Waits for all rows that an operation gives; the operation sets their number's limit.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(super) async fn read_all<T, W>(&self, work: W) -> Result<Vec<T>, Fault>
    where
        T: DeserializeOwned + Send,
        W: IntoFuture<Output = DriverResult<Cursor<T>>, IntoFuture: Send> + Send,
    {
        self.run(collect(work)).await
    }

    /// The rows of a collection as they are on the wire.
    pub(super) fn raw(&self, name: &str) -> Collection<RawDocumentBuf> {
        self.database.collection(name)
    }

    /// Lets go of the database.
    ///
    /// # Errors
    /// [`Fault::Closed`] when that was done before.
    pub(super) async fn close(&self) -> Result<(), Fault> {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return Err(Fault::Closed);
        }
        let ending = self.client.clone().shutdown().immediate(true);
        if timeout(self.limit, ending.into_future()).await.is_err() {
            tracing::warn!("the connections to the database did not end in time");
        }
        Ok(())
    }
}

async fn collect<T, W>(work: W) -> DriverResult<Vec<T>>
where
    T: DeserializeOwned + Send,
    W: IntoFuture<Output = DriverResult<Cursor<T>>, IntoFuture: Send> + Send,
{
    let mut cursor = work.into_future().await?;
    let mut rows = Vec::new();
    while cursor.advance().await? {
        rows.push(cursor.deserialize_current()?);
    }
    Ok(rows)
}

/// What must hold whatever the address says: nothing is acknowledged that a fail-over or a crash could undo, and
/// nothing is read from a member that lags behind.
fn settle(mut client: ClientOptions, options: &MongoOptions) -> ClientOptions {
    let durable = WriteConcern::builder()
        .w(Acknowledgment::Majority)
        .journal(true)
        .w_timeout(options.limit)
        .build();
    client.write_concern = Some(durable);
    client.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    client.retry_writes = Some(true);
    client.retry_reads = Some(true);
    client.max_pool_size = Some(u32::from(options.connections.max(1)));
    // Less than one operation may take, so that its failure names the members that were tried.
    client.server_selection_timeout = Some(options.limit * 9 / 10);
    client.connect_timeout = Some(options.limit);
    client.app_name.get_or_insert_with(|| "mcp-server".to_owned());
    client
}

fn unusable(why: &str) -> Error {
    Error::unavailable(format!("the address of the database can't be used: {why}"))
}
