//! The collections' indexes, and the version of all of it.

use std::time::Duration;

use ::mongodb::{
    Database,
    bson::{Document, doc},
};
use model::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{
    connection::Connection, execution, failure::Fault, idempotency, index::Indexes, session, task, user,
};

/// The version that this program writes.
const VERSION: i32 = 1;

/// Where the version stands.
pub(super) const META: &str = "meta";

/// How long a new index of a collection may take, with the entries of years in it.
const INDEX_LIMIT: Duration = Duration::from_secs(600);

#[derive(Debug, Serialize, Deserialize)]
struct SchemaRow {
    version: i32,
}

/// Marks an empty database as a store of this server, makes the indexes that are missing, and refuses what isn't ours.
///
/// Safe when several processes do it at once.
///
/// # Errors
/// `Unavailable`, with what to do.
pub(super) async fn prepare(connection: &Connection) -> Result<()> {
    let database = connection.database();
    let meta = database.collection::<SchemaRow>(META);
    let found = connection.run(meta.find_one(doc! { "_id": "schema" })).await?;
    match found {
        Some(SchemaRow { version }) if version > VERSION => return Err(too_new(database, version)),
        Some(_) => {}
        None => mark(connection).await?,
    }
    for (collection, indexes) in all_indexes() {
        let collection = database.collection::<Document>(collection);
        let making = collection.create_indexes(indexes);
        connection.run_within(INDEX_LIMIT, making).await?;
    }
    Ok(())
}

async fn mark(connection: &Connection) -> Result<(), Fault> {
    let database = connection.database();
    let names = connection.run(database.list_collection_names()).await?;
    // One that another process of ours is just preparing has its mark already, or nothing else yet.
    if names.iter().any(|name| name != META) {
        let is_marked = connection
            .run(
                database
                    .collection::<SchemaRow>(META)
                    .find_one(doc! { "_id": "schema" }),
            )
            .await?
            .is_some();
        if !is_marked {
            let message = format!(
                "the database {} belongs to another program; name another one for this server",
                database.name()
            );
            return Err(Error::unavailable(message).into());
        }
    }
    let meta = database.collection::<Document>(META);
    let mark = meta
        .update_one(
            doc! { "_id": "schema" },
            doc! { "$setOnInsert": { "version": VERSION } },
        )
        .upsert(true);
    match connection.run(mark).await {
        Ok(_) => Ok(()),
        Err(fault) if fault.is_duplicate() => Ok(()),
        Err(fault) => Err(fault),
    }
}

fn too_new(database: &Database, version: i32) -> Error {
    Error::unavailable(format!(
        "the database {} was written by a newer version of this server (schema {version}; this version knows up to \
         {VERSION}); start that version, or restore a backup made before the upgrade",
        database.name()
    ))
}

fn all_indexes() -> impl Iterator<Item = Indexes> {
    user::indexes()
        .into_iter()
        .chain(session::indexes())
        .chain(execution::indexes())
        .chain(task::indexes())
        .chain(idempotency::indexes())
}
