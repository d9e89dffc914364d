//! Changes of tasks that wait at the same moment: in one round trip, each with its own condition.

use std::{collections::HashMap, collections::HashSet, time::Duration};

use ::mongodb::{
    Database,
    bson::{
        Document, RawArrayBuf, RawDocumentBuf, Uuid, deserialize_from_document, doc, oid::ObjectId, rawdoc,
        serialize_to_raw_document_buf,
    },
};
use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use model::Error;
use serde::Deserialize;
use tokio::time::timeout;

use super::branches::IN_ONE_ANSWER;
use crate::mongodb::{
    collection::TASKS,
    failure::{Fault, of_refusal},
    together::{Grouped, Together},
};

/// A change of one task under a condition, which bears a token of its own: who isn't sure what came of it finds it there.
pub(in crate::mongodb) struct ConditionalChange {
    task: Uuid,
    token: ObjectId,
    statement: RawDocumentBuf,
}

impl ConditionalChange {
    /// A change of the task with this id.
    ///
    /// # Errors
    /// [`Fault::Refused`] when it can't be a document.
    pub(super) fn of(task: Uuid, filter: Document, mut update: Document) -> Result<Self, Fault> {
        let token = ObjectId::new();
        match update.get_document_mut("$set") {
            Ok(set) => drop(set.insert("gt", token)),
            Err(_) => drop(update.insert("$set", doc! { "gt": token })),
        }
        let statement = serialize_to_raw_document_buf(&doc! { "q": filter, "u": update })?;
        Ok(Self {
            task,
            token,
            statement,
        })
    }
}

/// What the server says of all of them.
#[derive(Deserialize)]
struct Reply {
    #[serde(rename = "n", default)]
    matched: usize,
    #[serde(rename = "writeErrors", default)]
    refused: Vec<Refusal>,
    #[serde(rename = "writeConcernError", default)]
    concern: Option<Document>,
}

#[derive(Deserialize)]
struct Refusal {
    index: usize,
    code: i32,
    #[serde(rename = "errmsg", default)]
    message: String,
}

/// The token of the last change of a task.
#[derive(Deserialize)]
struct TokenRow {
    #[serde(rename = "gt")]
    token: ObjectId,
}

/// Writes changes of tasks.
pub(in crate::mongodb) struct Changes {
    database: Database,
    limit: Duration,
}

/// Takes all changes that wait into one acknowledged command, again and again; what comes of one is whether its task was
/// still as its condition says.
pub(in crate::mongodb) type GroupedChanges = Grouped<Changes>;

impl GroupedChanges {
    /// Begins to write; each command may take `limit`.
    pub(in crate::mongodb) fn into(database: Database, limit: Duration) -> Self {
        Self::start(Changes { database, limit }, limit)
    }
}

#[async_trait]
impl Together for Changes {
    type Piece = ConditionalChange;
    type Outcome = bool;

    fn bytes(piece: &ConditionalChange) -> usize {
        piece.statement.as_bytes().len()
    }

    async fn do_all(&self, changes: Vec<ConditionalChange>) -> Vec<Result<bool, Fault>> {
        match self.write(&changes).await {
            Ok(reply) => self.outcomes(&changes, reply, true).await,
            // What was done the first time isn't done again, since its condition doesn't hold any more.
            Err(fault) if fault.may_pass() => match self.write(&changes).await {
                Ok(reply) => self.outcomes(&changes, reply, false).await,
                Err(fault) => all_failed(&changes, &fault),
            },
            Err(fault) => all_failed(&changes, &fault),
        }
    }
}

impl Changes {
    async fn write(&self, changes: &[ConditionalChange]) -> Result<Reply, Fault> {
        let mut updates = RawArrayBuf::new();
        for change in changes {
            updates.push(change.statement.clone());
        }
        let millis = i64::try_from(self.limit.as_millis()).unwrap_or(i64::MAX);
        let command = rawdoc! {
            "update": TASKS,
            "updates": updates,
            "ordered": false,
            "writeConcern": { "w": "majority", "j": true, "wtimeout": millis },
        };
        let running = self.database.run_raw_command(command).into_future();
        let reply = timeout(self.limit, running)
            .await
            .map_err(|_| Fault::TimedOut)??;
        let reply: Reply = deserialize_from_document(reply).map_err(Error::bug)?;
        if reply.concern.is_some() {
            let message = "the database could not make this durable now; try again";
            return Err(Error::unavailable(message).into());
        }
        Ok(reply)
    }

    /// What came of each change. The server only counts those whose condition held: when that isn't all of them, or some
    /// may have been made before, the tasks tell.
    async fn outcomes(
        &self,
        changes: &[ConditionalChange],
        reply: Reply,
        is_first: bool,
    ) -> Vec<Result<bool, Fault>> {
        let mut refused: HashMap<usize, Fault> = HashMap::new();
        for refusal in reply.refused {
            refused.insert(refusal.index, of_refusal(refusal.code, refusal.message));
        }
        let is_clear = is_first && reply.matched.saturating_add(refused.len()) >= changes.len();
        let made = if is_clear {
            None
        } else {
            match self.find_made(changes).await {
                Ok(made) => Some(made),
                Err(fault) => return all_failed(changes, &fault),
            }
        };
        let outcome = |(index, change): (usize, &ConditionalChange)| match refused.remove(&index) {
            Some(fault) => Err(fault),
            None => Ok(made.as_ref().is_none_or(|made| made.contains(&change.token))),
        };
        changes.iter().enumerate().map(outcome).collect()
    }

    /// The tokens of the changes that were made.
    async fn find_made(&self, changes: &[ConditionalChange]) -> Result<HashSet<ObjectId>, Fault> {
        let tasks: Vec<Uuid> = changes.iter().map(|change| change.task).collect();
        let tokens: Vec<ObjectId> = changes.iter().map(|change| change.token).collect();
        let collection = self.database.collection::<TokenRow>(TASKS);
        let reading = async {
            let find = collection
                .find(doc! { "_id": { "$in": tasks }, "gt": { "$in": tokens } })
                .projection(doc! { "gt": 1 })
                .batch_size(IN_ONE_ANSWER);
            find.await?.try_collect::<Vec<TokenRow>>().await
        };
        let rows = timeout(self.limit, reading)
            .await
            .map_err(|_| Fault::TimedOut)??;
        Ok(rows.into_iter().map(|row| row.token).collect())
    }
}

fn all_failed(changes: &[ConditionalChange], fault: &Fault) -> Vec<Result<bool, Fault>> {
    changes.iter().map(|_| Err(fault.again())).collect()
}
