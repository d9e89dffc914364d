//! The same request sent twice is done once.

use std::{fmt, sync::Arc, time::Duration};

use model::{Claim, Credential, Error, ErrorCode, IdempotencyKey, Principal, RequestDigest, Result, Subject};

use crate::{
    parts::Engine,
    seal::{Sealer, sha256},
};

/// How long an answer is repeated.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The most bytes of an answer's body that are kept.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// The most characters of a key.
const MAX_KEY_CHARS: usize = 255;

/// A request that came with an idempotency key.
///
/// A key belongs to the account and to what its credential may do: a narrowed API key never gets the answer to
/// a request that only a wider credential could make. Callers without a credential share one space of keys,
/// in which a key is bound to its route and body alone; they are well advised to choose random ones.
#[derive(Clone, Copy, Debug)]
pub struct IdempotentRequest<'a> {
    /// Who sent it; `None` for nobody known.
    pub principal: Option<&'a Principal>,
    /// The route's template.
    pub route: &'static str,
    /// The key that the caller chose: 1 to 255 visible ASCII characters.
    pub key: &'a str,
    /// The request's body.
    pub body: &'a [u8],
}

/// An answer that is kept for repeated requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body: JSON.
    pub body: Vec<u8>,
}

/// What to do with a request that came with an idempotency key.
#[derive(Debug)]
pub enum IdempotencyClaim {
    /// Do it, then [`Engine::settle_idempotent_request`].
    Fresh(IdempotencyTicket),
    /// It was done: give this answer again.
    Answered(Answer),
}

/// The right and duty to settle a claimed key.
///
/// Dropped unsettled, the key stays claimed: the work may have been done, so it isn't done again.
pub struct IdempotencyTicket {
    key: IdempotencyKey,
    sealer: Sealer,
}

impl fmt::Debug for IdempotencyTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyTicket").finish_non_exhaustive()
    }
}

impl Engine {
    /// Claims an idempotency key for 24 hours.
    ///
    /// # Errors
    /// `IdempotencyKeyReused` when it came with another request before; `IdempotencyKeyInUse` while the first
    /// request has no recorded answer, or had one above 1 MiB; `Invalid` for a key outside the limits.
    pub async fn claim_idempotent_request(&self, request: IdempotentRequest<'_>) -> Result<IdempotencyClaim> {
        require_key(request.key)?;
        let now = self.parts.clock.now();
        let digest = sha256(&[request.body]);
        let ticket = self.ticket(&request, &digest)?;
        let claim = self.parts.store.claim_idempotency_key(
            ticket.key,
            RequestDigest(digest),
            now,
            now.plus(LIFETIME),
        );
        match claim.await? {
            Claim::Fresh => Ok(IdempotencyClaim::Fresh(ticket)),
            Claim::Answered(sealed) => open(&ticket, sealed).map(IdempotencyClaim::Answered),
            Claim::Begun => Err(in_use(
                "a request with this key was begun and has no recorded answer (yet); if this stays so, look at \
                 what it did, in the history for instance, and use a new key",
            )),
            Claim::Different => Err(Error::new(
                ErrorCode::IdempotencyKeyReused,
                "this key came with another request before; use a new key for each request",
            )),
        }
    }

    /// Records the answer, sealed; gives the key back when the answer is `None`: the request had no effect.
    ///
    /// Once begun, it is carried through even when the future is dropped. The answer is sealed with a key made
    /// of the caller's own, so that nobody reads it from the database alone. Of an answer above 1 MiB only the fact is kept.
    ///
    /// # Errors
    /// `Unavailable` when the store can't be reached.
    pub async fn settle_idempotent_request(
        &self,
        ticket: IdempotencyTicket,
        answer: Option<&Answer>,
    ) -> Result<()> {
        let sealed = answer.map(|answer| self.seal(&ticket, answer)).transpose()?;
        let store = Arc::clone(&self.parts.store);
        let settled = self.parts.tasks.spawn(async move {
            match sealed {
                Some(sealed) => store.record_answer(ticket.key, sealed).await,
                None => store.release_idempotency_key(ticket.key).await,
            }
        });
        settled.await.map_err(Error::bug)?
    }

    fn ticket(&self, request: &IdempotentRequest<'_>, digest: &[u8; 32]) -> Result<IdempotencyTicket> {
        let caller = sha256(&[caller(request.principal).as_bytes()]);
        let route = sha256(&[request.route.as_bytes()]);
        // All parts but the last have one length, so no two requests run together.
        let key = sha256(&[&caller, &route, request.key.as_bytes()]);
        let context = sha256(&[&key, digest, request.key.as_bytes()]);
        Ok(IdempotencyTicket {
            key: IdempotencyKey(key),
            sealer: self.parts.sealing.derive("idempotent answer", &context)?,
        })
    }

    fn seal(&self, ticket: &IdempotencyTicket, answer: &Answer) -> Result<Vec<u8>> {
        let mut plain = Vec::with_capacity(answer.body.len() + size_of::<u16>());
        if answer.body.len() <= MAX_ANSWER_BYTES {
            plain.extend_from_slice(&answer.status.to_be_bytes());
            plain.extend_from_slice(&answer.body);
        }
        let entropy = self.parts.entropy.as_ref();
        ticket.sealer.seal(entropy, &ticket.key.0, &plain)
    }
}

/// Opens a kept answer. An empty one stands for an answer that was too large.
fn open(ticket: &IdempotencyTicket, sealed: Vec<u8>) -> Result<Answer> {
    let plain = ticket.sealer.open(&ticket.key.0, sealed).ok_or_else(|| {
        in_use("the request with this key was done, and its answer can't be read any more since the server's secret changed")
    })?;
    let (status, body) = plain.split_first_chunk().ok_or_else(|| {
        in_use("the request with this key was done, and its answer was too large to be repeated; look at what it did")
    })?;
    Ok(Answer {
        status: u16::from_be_bytes(*status),
        body: body.to_vec(),
    })
}

fn in_use(message: &'static str) -> Error {
    Error::new(ErrorCode::IdempotencyKeyInUse, message)
}

fn require_key(key: &str) -> Result<()> {
    let is_visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    if is_visible && (1..=MAX_KEY_CHARS).contains(&key.len()) {
        return Ok(());
    }
    Err(Error::invalid(
        "Idempotency-Key",
        "must have 1 to 255 visible ASCII characters",
    ))
}

/// Names a caller together with what its credential may do. Signing in again changes neither.
fn caller(principal: Option<&Principal>) -> String {
    let Some(principal) = principal else {
        return "nobody".to_owned();
    };
    let subject = match principal.subject {
        Subject::User(id) => id.to_string(),
        Subject::BuiltinAdmin => "admin".to_owned(),
    };
    let credential = match principal.credential {
        Credential::Session(_) => "session",
        Credential::Key(_) => "key",
        Credential::AdminKey | Credential::CommandLine => "operator",
    };
    let scopes: Vec<_> = principal
        .scopes
        .as_slice()
        .iter()
        .map(ToString::to_string)
        .collect();
    format!("{subject} {} {credential} {}", principal.role, scopes.join(" "))
}
