//! Counts of wrong passwords, and idempotency keys.

use model::Error;
use rusqlite::{Connection, params};

use super::Filled;
use crate::{
    sqlite::{column::Moment, failure::Outcome},
    transfer::{ClaimRecord, Cursor, MAX_PAGE_RECORDS, Record, SignInFailureRecord, read_hex, write_hex},
};

/// How many bytes each takes without what is longer.
const BYTES_EACH: usize = 128;

/// Reads counts of wrong passwords that follow an address.
pub(super) fn read_failures(connection: &Connection, from: &Cursor, page: &mut Filled) -> Outcome<()> {
    let mut statement = connection.prepare_cached(
        "SELECT email, count, last_at FROM sign_in_failure WHERE ?1 IS NULL OR email > ?1 ORDER BY email LIMIT ?2",
    )?;
    let mut rows = statement.query(params![from.after, MAX_PAGE_RECORDS])?;
    while let Some(row) = rows.next()? {
        let failure = SignInFailureRecord {
            email: row.get(0)?,
            count: row.get(1)?,
            last_at: row.get::<_, Moment>(2)?.0,
        };
        let id = failure.email.clone();
        if !page.add(Record::SignInFailure(failure), (id, BYTES_EACH)) {
            break;
        }
    }
    Ok(())
}

/// Adds a count of wrong passwords.
pub(super) fn write_failure(connection: &Connection, failure: &SignInFailureRecord) -> Outcome<()> {
    connection
        .prepare_cached("INSERT INTO sign_in_failure (email, count, last_at) VALUES (?1, ?2, ?3)")?
        .execute(params![failure.email, failure.count, Moment(failure.last_at)])?;
    Ok(())
}

/// Reads idempotency keys that follow one.
pub(super) fn read(connection: &Connection, from: &Cursor, page: &mut Filled) -> Outcome<()> {
    let after = match &from.after {
        Some(text) => read_hex(text)
            .ok_or_else(|| Error::bug("a cursor has no key"))?
            .to_vec(),
        None => Vec::new(),
    };
    let mut statement = connection.prepare_cached(
        "SELECT key, request, answer, expires_at FROM idempotency_claim WHERE key > ?1 ORDER BY key LIMIT ?2",
    )?;
    let mut rows = statement.query(params![after, MAX_PAGE_RECORDS])?;
    while let Some(row) = rows.next()? {
        let claim = ClaimRecord {
            key: row.get(0)?,
            request: row.get(1)?,
            answer: row.get(2)?,
            expires_at: row.get::<_, Moment>(3)?.0,
        };
        let bytes = claim
            .answer
            .as_ref()
            .map_or(0, Vec::len)
            .saturating_add(BYTES_EACH);
        let id = write_hex(&claim.key);
        if !page.add(Record::Claim(claim), (id, bytes)) {
            break;
        }
    }
    Ok(())
}

/// Adds an idempotency key.
pub(super) fn write(connection: &Connection, claim: &ClaimRecord) -> Outcome<()> {
    connection
        .prepare_cached(
            "INSERT INTO idempotency_claim (key, request, answer, expires_at) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            claim.key,
            claim.request,
            claim.answer,
            Moment(claim.expires_at)
        ])?;
    Ok(())
}
