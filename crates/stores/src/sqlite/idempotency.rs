//! Idempotency keys.

use async_trait::async_trait;
use model::{Claim, IdempotencyKey, IdempotencyStore, RequestDigest, Result, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{SqliteStore, column::Moment, failure::Outcome};

#[async_trait]
impl IdempotencyStore for SqliteStore {
    async fn claim_idempotency_key(
        &self,
        key: IdempotencyKey,
        request: RequestDigest,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Claim> {
        self.writer
            .step(move |connection| claim(connection, (key, request), now, expires_at))
            .await
    }

    async fn record_answer(&self, key: IdempotencyKey, sealed: Vec<u8>) -> Result<()> {
        self.writer
            .step(move |connection| {
                connection
                    .prepare_cached(
                        "UPDATE idempotency_claim SET answer = ?2 WHERE key = ?1 AND answer IS NULL",
                    )?
                    .execute(params![key.0, sealed])?;
                Ok(())
            })
            .await
    }

    async fn release_idempotency_key(&self, key: IdempotencyKey) -> Result<()> {
        self.writer
            .step(move |connection| {
                connection
                    .prepare_cached("DELETE FROM idempotency_claim WHERE key = ?1 AND answer IS NULL")?
                    .execute([key.0])?;
                Ok(())
            })
            .await
    }

    async fn remove_expired_claims(&self, now: Timestamp, limit: u32) -> Result<u64> {
        self.writer
            .step(move |connection| {
                let removed = connection
                    .prepare_cached(
                        "DELETE FROM idempotency_claim WHERE rowid IN (SELECT rowid FROM idempotency_claim \
                         WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)",
                    )?
                    .execute(params![Moment(now), limit])?;
                Ok(u64::try_from(removed).unwrap_or(u64::MAX))
            })
            .await
    }
}

fn claim(
    connection: &Connection,
    (key, request): (IdempotencyKey, RequestDigest),
    now: Timestamp,
    expires_at: Timestamp,
) -> Outcome<Claim> {
    let found = connection
        .prepare_cached(
            "SELECT request, answer, expires_at FROM idempotency_claim WHERE key = ?1 AND expires_at > ?2",
        )?
        .query_row(params![key.0, Moment(now)], |row| {
            let answer: Option<Vec<u8>> = row.get(1)?;
            Ok((RequestDigest(row.get(0)?), answer, row.get::<_, Moment>(2)?))
        })
        .optional()?;
    match found {
        Some((earlier, _, _)) if earlier != request => return Ok(Claim::Different),
        Some((_, Some(sealed), _)) => return Ok(Claim::Answered(sealed)),
        Some((_, None, Moment(expires_at))) => return Ok(Claim::Begun { expires_at }),
        None => {}
    }
    connection
        .prepare_cached(
            "INSERT INTO idempotency_claim (key, request, expires_at) VALUES (?1, ?2, ?3) \
             ON CONFLICT (key) DO UPDATE SET request = ?2, answer = NULL, expires_at = ?3",
        )?
        .execute(params![key.0, request.0, Moment(expires_at)])?;
    Ok(Claim::Fresh)
}
