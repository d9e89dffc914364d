//! That one active admin stays, though accounts are documents of their own.
//!
//! An admin steps down in three writes. First a guard is put into the document of another active admin, who can't step
//! down while it is there. Then the one who steps down is changed, on the condition that nobody's guard stands in that
//! document and that it still has the version that the guard names. Last, the guard is taken away. So at the moment of
//! the second write, which is the step itself, another active admin is there and stays. A guard that somebody left
//! behind is taken away by whoever is hindered by it: first the version that it names is made void, so that the step
//! that it was for can't be taken any more.

use ::mongodb::bson::{Document, Uuid, doc, oid::ObjectId};
use model::Result;
use serde::{Deserialize, Serialize};

use super::COLLECTION;
use crate::{
    account::last_admin,
    mongodb::{MongoStore, column::value, contention::Contention, failure::Fault},
};

/// How often a step waits for others that are just being taken, before it makes them void.
const PATIENT_TRIES: u32 = 3;

/// What happens to an account.
pub(super) enum Step {
    /// It is changed by this update, and gets its next version.
    Change(Document),
    /// It is deleted.
    Delete,
}

/// Who relies on an admin to stay.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Guard {
    token: ObjectId,
    user: Uuid,
    version: i64,
}

#[derive(Deserialize)]
struct GuardsRow {
    #[serde(rename = "_id")]
    user: Uuid,
    #[serde(default)]
    guards: Vec<Guard>,
}

impl MongoStore {
    /// Takes a step with an account of which a version was seen; tells whether it still had it.
    pub(super) async fn take_step(&self, (user, version): (Uuid, i64), step: &Step) -> Result<bool, Fault> {
        self.take(doc! { "_id": user, "version": version }, step).await
    }

    /// Takes a step after which an account is no active admin any more; tells whether it could.
    ///
    /// # Errors
    /// `LastAdmin` when there is no other.
    pub(super) async fn step_down(
        &self,
        (user, version): (Uuid, i64),
        step: &Step,
        contention: &Contention,
    ) -> Result<bool, Fault> {
        let guard = Guard {
            token: ObjectId::new(),
            user,
            version,
        };
        let Some(other) = self.put_guard(&guard).await? else {
            return Err(last_admin().into());
        };
        let unguarded = doc! { "_id": user, "version": version, "guards.0": { "$exists": false } };
        let taken = self.take(unguarded, step).await;
        match &taken {
            // Whether the step was taken isn't known: it may be, any time now. The guard stays.
            Err(fault) if !fault.is_duplicate() => return taken,
            Err(_) | Ok(_) => self.remove_guard(other, guard.token).await?,
        }
        if matches!(taken, Ok(false)) && contention.losses() >= PATIENT_TRIES {
            self.void_guards(user).await?;
        }
        taken
    }

    async fn take(&self, filter: Document, step: &Step) -> Result<bool, Fault> {
        let collection = self.connection.collection::<Document>(COLLECTION);
        match step {
            Step::Change(update) => {
                let mut update = update.clone();
                update.insert("$inc", doc! { "version": 1_i64 });
                let changed = self.connection.run(collection.update_one(filter, update)).await?;
                Ok(changed.matched_count > 0)
            }
            Step::Delete => {
                let deleted = self.connection.run(collection.delete_one(filter)).await?;
                Ok(deleted.deleted_count > 0)
            }
        }
    }

    /// Puts a guard into the document of an active admin other than the one that it is for; gives whose.
    async fn put_guard(&self, guard: &Guard) -> Result<Option<Uuid>, Fault> {
        let collection = self.connection.collection::<GuardsRow>(COLLECTION);
        let putting = collection
            .find_one_and_update(
                doc! { "role": "admin", "active": true, "_id": { "$ne": guard.user } },
                doc! { "$push": { "guards": value(guard)? } },
            )
            .projection(doc! { "_id": 1 });
        Ok(self.connection.run(putting).await?.map(|row| row.user))
    }

    async fn remove_guard(&self, user: Uuid, token: ObjectId) -> Result<(), Fault> {
        let collection = self.connection.collection::<Document>(COLLECTION);
        let removing = collection.update_one(
            doc! { "_id": user },
            doc! { "$pull": { "guards": { "token": token } } },
        );
        self.connection.run(removing).await?;
        Ok(())
    }

    /// Makes the steps void that rely on an account to stay, and takes their guards away.
    async fn void_guards(&self, user: Uuid) -> Result<(), Fault> {
        let collection = self.connection.collection::<GuardsRow>(COLLECTION);
        let reading = collection
            .find_one(doc! { "_id": user })
            .projection(doc! { "guards": 1 });
        let Some(row) = self.connection.run(reading).await? else {
            return Ok(());
        };
        for guard in row.guards {
            let collection = self.connection.collection::<Document>(COLLECTION);
            let voiding = collection.update_one(
                doc! { "_id": guard.user, "version": guard.version },
                doc! { "$inc": { "version": 1_i64 } },
            );
            self.connection.run(voiding).await?;
            self.remove_guard(user, guard.token).await?;
        }
        Ok(())
    }
}
