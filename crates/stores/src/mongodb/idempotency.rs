//! Idempotency keys.

use ::mongodb::bson::{Binary, Bson, DateTime, Document, doc};
use async_trait::async_trait;
use model::{Claim, IdempotencyKey, IdempotencyStore, RequestDigest, Result, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    MongoStore,
    column::{bytes, digest, moment, timestamp},
    contention::Contention,
    index::{Indexes, index},
};
use crate::transfer::ClaimRecord;

pub(super) const COLLECTION: &str = "idempotency_claim";

#[derive(Debug, Deserialize)]
struct ClaimRow {
    request: Binary,
    expires_at: DateTime,
    answer: Option<Binary>,
}

/// A claim with its key, as it stands in its document.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredClaim {
    #[serde(rename = "_id")]
    key: Binary,
    request: Binary,
    expires_at: DateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<Binary>,
}

impl StoredClaim {
    /// The document of a record.
    pub(super) fn of_record(record: &ClaimRecord) -> Self {
        Self {
            key: bytes(&record.key),
            request: bytes(&record.request),
            expires_at: moment(record.expires_at),
            answer: record.answer.as_deref().map(bytes),
        }
    }

    /// Makes a record of a claim.
    ///
    /// # Errors
    /// `Bug` when what is stored can't be one.
    pub(super) fn into_record(self) -> Result<ClaimRecord> {
        Ok(ClaimRecord {
            key: digest(&self.key)?,
            request: digest(&self.request)?,
            answer: self.answer.map(|sealed| sealed.bytes),
            expires_at: timestamp(self.expires_at),
        })
    }
}

/// The indexes of claims.
pub(super) fn indexes() -> Vec<Indexes> {
    vec![(COLLECTION, vec![index(doc! { "expires_at": 1 })])]
}

#[async_trait]
impl IdempotencyStore for MongoStore {
    async fn claim_idempotency_key(
        &self,
        key: IdempotencyKey,
        request: RequestDigest,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Claim> {
        let (key, collection) = (bytes(&key.0), self.connection.collection::<ClaimRow>(COLLECTION));
        let mut contention = Contention::default();
        loop {
            // A live claim doesn't fit the filter, and so its key can't be added.
            let claiming = collection
                .update_one(
                    doc! { "_id": &key, "expires_at": { "$lte": moment(now) } },
                    doc! {
                        "$set": { "request": bytes(&request.0), "expires_at": moment(expires_at) },
                        "$unset": { "answer": 1 },
                    },
                )
                .upsert(true);
            match self.connection.run(claiming).await {
                Ok(_) => return Ok(Claim::Fresh),
                Err(fault) if fault.is_duplicate() => {}
                Err(fault) => return Err(fault.into()),
            }
            let reading = collection.find_one(doc! { "_id": &key, "expires_at": { "$gt": moment(now) } });
            if let Some(row) = self.connection.run(reading).await? {
                return row.claim(request);
            }
            // It was given back between the two, or two callers took over one that expired.
            contention.again().await?;
        }
    }

    async fn record_answer(&self, key: IdempotencyKey, sealed: Vec<u8>) -> Result<()> {
        let collection = self.connection.collection::<Document>(COLLECTION);
        let recording = collection.update_one(
            doc! { "_id": bytes(&key.0), "answer": Bson::Null },
            doc! { "$set": { "answer": bytes(&sealed) } },
        );
        self.connection.run(recording).await?;
        Ok(())
    }

    async fn release_idempotency_key(&self, key: IdempotencyKey) -> Result<()> {
        let collection = self.connection.collection::<Document>(COLLECTION);
        let releasing = collection.delete_one(doc! { "_id": bytes(&key.0), "answer": Bson::Null });
        self.connection.run(releasing).await?;
        Ok(())
    }

    async fn remove_expired_claims(&self, now: Timestamp, limit: u32) -> Result<u64> {
        let collection = self.connection.collection::<Document>(COLLECTION);
        let expired = doc! { "expires_at": { "$lt": moment(now) } };
        let listing = collection
            .find(expired.clone())
            .projection(doc! { "_id": 1 })
            .sort(doc! { "expires_at": 1 })
            .limit(i64::from(limit.max(1)));
        let rows = self.connection.read_all(listing).await?;
        let keys: Vec<Bson> = rows.into_iter().filter_map(|mut row| row.remove("_id")).collect();
        if keys.is_empty() {
            return Ok(0);
        }
        let mut still_expired = expired;
        still_expired.insert("_id", doc! { "$in": keys });
        let removed = self.connection.run(collection.delete_many(still_expired)).await?;
        Ok(removed.deleted_count)
    }
}

impl ClaimRow {
    fn claim(self, request: RequestDigest) -> Result<Claim> {
        if digest(&self.request)? != request.0 {
            return Ok(Claim::Different);
        }
        Ok(match self.answer {
            Some(sealed) => Claim::Answered(sealed.bytes),
            None => Claim::Begun {
                expires_at: timestamp(self.expires_at),
            },
        })
    }
}
