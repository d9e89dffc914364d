//! Several looks at the tasks in one round trip.

use futures_util::TryStreamExt as _;
use model::{Error, Result};
use mongodb::bson::{Document, deserialize_from_document, doc};
use serde::{Deserialize, de::DeserializeOwned};

use super::row::TaskRow;
use crate::mongodb::{MongoStore, collection::TASKS, failure::is_duplicate};

/// How many rows come in one answer, if they fit: all that are asked for.
pub(super) const IN_ONE_ANSWER: u32 = 100_000;

/// Looks that are taken together: what they find comes one after the other.
#[derive(Debug, Default)]
pub(super) struct Branches(Vec<Vec<Document>>);

impl Branches {
    /// Adds the first so many tasks of a selection in an order, with these fields.
    pub(super) fn add(&mut self, selection: Document, order: Document, (limit, fields): (i64, Document)) {
        self.0.push(vec![
            doc! { "$match": selection },
            doc! { "$sort": order },
            doc! { "$limit": limit },
            doc! { "$project": fields },
        ]);
    }

    /// Adds all documents of another collection.
    pub(super) fn add_all_of(&mut self, collection: &str) {
        self.0.push(vec![doc! { "$unionWith": collection }]);
    }

    /// All of it as one pipeline on the collection of tasks.
    pub(super) fn into_pipeline(self) -> Vec<Document> {
        let mut branches = self.0.into_iter();
        let mut pipeline = branches.next().unwrap_or_default();
        for mut branch in branches {
            // A branch that is a union already stands for itself.
            if branch.len() == 1 {
                pipeline.append(&mut branch);
            } else {
                pipeline.push(doc! { "$unionWith": { "coll": TASKS, "pipeline": branch } });
            }
        }
        pipeline
    }
}

/// What the server says of several changes.
#[derive(Deserialize)]
struct Reply {
    #[serde(rename = "n", default)]
    count: i64,
    #[serde(rename = "writeErrors", default)]
    refused: Vec<Refusal>,
    #[serde(rename = "writeConcernError", default)]
    concern: Option<Document>,
}

#[derive(Deserialize)]
struct Refusal {
    code: i32,
}

impl MongoStore {
    /// Runs a pipeline on the tasks, and reads all that comes of it.
    pub(super) async fn aggregate_tasks<T>(&self, pipeline: Vec<Document>) -> Result<Vec<T>>
    where
        T: DeserializeOwned + Send + Sync + Unpin,
    {
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        let cursor = self
            .connection
            .run(
                tasks
                    .aggregate(pipeline)
                    .batch_size(IN_ONE_ANSWER)
                    .with_type::<T>(),
            )
            .await?;
        Ok(self.connection.run(cursor.try_collect()).await?)
    }

    /// Makes changes to tasks, each with its own condition, in one round trip; gives how many were made.
    pub(super) async fn update_tasks(&self, updates: Vec<Document>) -> Result<i64> {
        if updates.is_empty() {
            return Ok(0);
        }
        let command = doc! {
            "update": TASKS,
            "updates": updates,
            "ordered": false,
            "writeConcern": { "w": "majority", "j": true },
        };
        let reply = self
            .connection
            .run(self.connection.database().run_command(command))
            .await?;
        let reply: Reply = deserialize_from_document(reply).map_err(Error::bug)?;
        let mut refused = reply.refused.iter();
        // Two processes made the same document: both ask for the same.
        if reply.concern.is_some() || refused.any(|refusal| !is_duplicate(refusal.code)) {
            let message = "the database could not do all of this now; try again";
            return Err(Error::unavailable(message));
        }
        Ok(reply.count)
    }
}
