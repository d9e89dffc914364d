//! Forgetting ended calls that rode in tasks and are in the history now: many in one round trip.

use std::time::Duration;

use ::mongodb::{
    Collection,
    bson::{Document, Uuid, doc},
};
use async_trait::async_trait;
use tokio::time::timeout;

use super::turn::soon;
use crate::mongodb::{
    failure::Fault,
    together::{Grouped, Together},
};

/// A call that is in the history and rides in this task still.
pub(in crate::mongodb) struct Rider {
    pub(super) task: Uuid,
    pub(super) call: Uuid,
}

/// Takes calls out of tasks.
pub(in crate::mongodb) struct Riders {
    tasks: Collection<Document>,
    limit: Duration,
}

/// Takes all calls that wait out of their tasks in one change, again and again.
pub(in crate::mongodb) type GroupedRiders = Grouped<Riders>;

impl GroupedRiders {
    /// Begins; each change may take `limit`.
    pub(in crate::mongodb) fn out_of(tasks: Collection<Document>, limit: Duration) -> Self {
        Self::start(Riders { tasks, limit }, limit)
    }
}

#[async_trait]
impl Together for Riders {
    type Piece = Rider;
    type Outcome = ();

    fn bytes(_: &Rider) -> usize {
        64
    }

    async fn do_all(&self, riders: Vec<Rider>) -> Vec<Result<(), Fault>> {
        let (tasks, calls): (Vec<Uuid>, Vec<Uuid>) =
            riders.iter().map(|rider| (rider.task, rider.call)).unzip();
        // Most have no other, and then there is no list to keep.
        let others = doc! { "$filter": {
            "input": { "$ifNull": ["$out", []] },
            "cond": { "$not": [{ "$in": ["$$this._id", calls] }] },
        } };
        let others = doc! { "$let": {
            "vars": { "others": others },
            "in": { "$cond": [{ "$eq": ["$$others", []] }, "$$REMOVE", "$$others"] },
        } };
        let update = vec![doc! { "$set": { "out": others } }];
        let forgetting = self
            .tasks
            .update_many(doc! { "_id": { "$in": tasks } }, update)
            .write_concern(soon());
        let outcome = match timeout(self.limit, forgetting.into_future()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Fault::from(error)),
            Err(_) => Err(Fault::TimedOut),
        };
        if let Err(fault) = &outcome {
            tracing::debug!(?fault, "calls are taken out of their tasks later");
        }
        let again = || match &outcome {
            Ok(()) => Ok(()),
            Err(fault) => Err(fault.again()),
        };
        riders.iter().map(|_| again()).collect()
    }
}
