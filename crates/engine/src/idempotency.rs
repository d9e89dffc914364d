//! The same request sent twice is done once.

use std::{fmt, sync::Arc, time::Duration};

use model::{
    Claim, Credential, Error, ErrorCode, IdempotencyKey, Principal, RequestDigest, Result, Subject, TaskId,
    Timestamp,
};
use uuid::Uuid;

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
    /// What a repeated request does when the first one has no recorded answer (yet).
    pub when_begun: WhenBegun,
}

/// What a repeated request does when the first one was begun and has no recorded answer: it is still being worked
/// on, or the process died in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenBegun {
    /// It is refused: the work may have been done, and doing it again would do it twice.
    Refuse,
    /// It does the work once more: what the work makes is named by the key's [`Reservation`], so that it is made
    /// once, however often it is done. The key is never given back, since that would end the reservation.
    Resume,
}

/// The names of what a request under an idempotency key makes. They belong to the key for as long as it is
/// claimed: a repeated request, in another process too, has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    claimed_at: Timestamp,
    seed: [u8; 8],
}

impl Reservation {
    /// How many bits the number of a thing has.
    const NUMBER_BITS: u32 = 14;

    fn new(key: &IdempotencyKey, expires_at: Timestamp) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = sha256(&[b"reserved names ", &key.0]);
        Self {
            claimed_at: expires_at.minus(LIFETIME),
            seed: [a, b, c, d, e, f, g, h],
        }
    }

    /// The name of the task with this number among those that the request makes; higher numbers have greater names.
    ///
    /// A UUID of version 7 (RFC 9562 §5.7) of the moment when the key was claimed. Its random bits are those of the
    /// SHA-256 of the key, which nobody else has, and at its end the number.
    pub(crate) fn task(&self, number: u16) -> TaskId {
        const VERSION: u128 = 7 << 76;
        const VARIANT: u128 = 2 << 62;
        const LOW_BITS: u32 = 62 - Reservation::NUMBER_BITS;
        let seed = u128::from(u64::from_be_bytes(self.seed));
        let high = (seed >> LOW_BITS) & 0xfff;
        let low = seed & ((1 << LOW_BITS) - 1);
        let number = u128::from(number) & ((1 << Self::NUMBER_BITS) - 1);
        let millis = u128::try_from(self.claimed_at.as_millis()).unwrap_or_default();
        let random = (high << 64) | (low << Self::NUMBER_BITS) | number;
        TaskId::from_uuid(Uuid::from_u128((millis << 80) | VERSION | VARIANT | random))
    }
}

/// An answer that is kept for repeated requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Where what was made can be found, when the answer said so; at most 64 KiB.
    pub location: Option<String>,
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
    when_begun: WhenBegun,
    reservation: Reservation,
}

impl IdempotencyTicket {
    /// The names of what the request makes.
    #[must_use]
    pub fn reservation(&self) -> Reservation {
        self.reservation
    }
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
    /// request has no recorded answer and can't be resumed, or had an answer above 1 MiB; `Invalid` for a key
    /// outside the limits.
    pub async fn claim_idempotent_request(&self, request: IdempotentRequest<'_>) -> Result<IdempotencyClaim> {
        require_key(request.key)?;
        let now = self.parts.clock.now();
        let expires_at = now.plus(LIFETIME);
        let digest = sha256(&[request.body]);
        let ticket = self.ticket(&request, &digest, expires_at)?;
        let store = &self.parts.store;
        let claim = store.claim_idempotency_key(ticket.key, RequestDigest(digest), now, expires_at);
        match claim.await? {
            Claim::Fresh => Ok(IdempotencyClaim::Fresh(ticket)),
            Claim::Answered(sealed) => open(&ticket, sealed).map(IdempotencyClaim::Answered),
            Claim::Begun { expires_at } if request.when_begun == WhenBegun::Resume => {
                let reservation = Reservation::new(&ticket.key, expires_at);
                Ok(IdempotencyClaim::Fresh(IdempotencyTicket {
                    reservation,
                    ..ticket
                }))
            }
            Claim::Begun { .. } => Err(in_use(
                "a request with this key was begun and has no recorded answer (yet); if this stays so, look at \
                 what it did, in the history for instance, and use a new key",
            )),
            Claim::Different => Err(Error::new(
                ErrorCode::IdempotencyKeyReused,
                "this key came with another request before; use a new key for each request",
            )),
        }
    }

    /// Records the answer, sealed; gives the key back when the answer is `None`: the request had no effect. A key
    /// whose request can be resumed isn't given back, nor is an answer recorded that is too large to be kept: the
    /// same request does the work again.
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
        let is_repeatable = answer.is_some_and(|answer| answer.body.len() <= MAX_ANSWER_BYTES);
        if !is_repeatable && ticket.when_begun == WhenBegun::Resume {
            return Ok(());
        }
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

    fn ticket(
        &self,
        request: &IdempotentRequest<'_>,
        digest: &[u8; 32],
        expires_at: Timestamp,
    ) -> Result<IdempotencyTicket> {
        let caller = sha256(&[caller(request.principal).as_bytes()]);
        let route = sha256(&[request.route.as_bytes()]);
        // All parts but the last have one length, so no two requests run together.
        let key = IdempotencyKey(sha256(&[&caller, &route, request.key.as_bytes()]));
        let context = sha256(&[&key.0, digest, request.key.as_bytes()]);
        Ok(IdempotencyTicket {
            reservation: Reservation::new(&key, expires_at),
            when_begun: request.when_begun,
            key,
            sealer: self.parts.sealing.derive("idempotent answer", &context)?,
        })
    }

    fn seal(&self, ticket: &IdempotencyTicket, answer: &Answer) -> Result<Vec<u8>> {
        let location = answer.location.as_deref().unwrap_or_default();
        let mut plain = Vec::with_capacity(answer.body.len() + location.len() + 2 * size_of::<u16>());
        if answer.body.len() <= MAX_ANSWER_BYTES {
            let length = u16::try_from(location.len()).map_err(Error::bug)?;
            plain.extend_from_slice(&answer.status.to_be_bytes());
            plain.extend_from_slice(&length.to_be_bytes());
            plain.extend_from_slice(location.as_bytes());
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
    read(&plain).ok_or_else(|| {
        in_use("the request with this key was done, and its answer was too large to be repeated; look at what it did")
    })
}

fn read(plain: &[u8]) -> Option<Answer> {
    let (status, rest) = plain.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (location, body) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let location = str::from_utf8(location).ok().filter(|path| !path.is_empty());
    Some(Answer {
        status: u16::from_be_bytes(*status),
        location: location.map(str::to_owned),
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
        Credential::Worker => "worker",
    };
    let scopes: Vec<_> = principal
        .scopes
        .as_slice()
        .iter()
        .map(ToString::to_string)
        .collect();
    format!("{subject} {} {credential} {}", principal.role, scopes.join(" "))
}
