//! Several looks at the tasks in one round trip.

use futures_util::TryStreamExt as _;
use model::Result;
use mongodb::bson::{Bson, Document, doc};
use serde::de::DeserializeOwned;

use super::row::{TASKS, TaskRow};
use crate::mongodb::MongoStore;

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

impl MongoStore {
    /// Runs a pipeline on the tasks, and reads all that comes of it.
    pub(super) async fn aggregate_tasks<T>(&self, pipeline: Vec<Document>) -> Result<Vec<T>>
    where
        T: DeserializeOwned + Send + Sync + Unpin,
    {
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        let cursor = self
            .connection
            .run(tasks.aggregate(pipeline).with_type::<T>())
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
        Ok(match reply.get("n") {
            Some(Bson::Int32(count)) => i64::from(*count),
            Some(Bson::Int64(count)) => *count,
            _ => 0,
        })
    }
}
