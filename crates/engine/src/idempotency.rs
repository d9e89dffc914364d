//! The same request sent twice is done once.

use model::{Principal, Result};

use crate::parts::Engine;

/// A request that came with an idempotency key.
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
#[derive(Debug)]
pub struct IdempotencyTicket {
    /// The claimed key.
    pub(crate) key: model::IdempotencyKey,
}

impl Engine {
    /// Claims an idempotency key for 24 hours.
    ///
    /// # Errors
    /// `IdempotencyKeyReused` when it came with another request before; `IdempotencyKeyInUse` while the first
    /// request has no recorded answer; `Invalid` for a key outside the limits.
    pub async fn claim_idempotent_request(
        &self,
        _request: IdempotentRequest<'_>,
    ) -> Result<IdempotencyClaim> {
        todo!()
    }

    /// Records the answer, sealed; gives the key back when the answer is `None`: the request had no effect.
    ///
    /// # Errors
    /// `Unavailable` when the store can't be reached.
    pub async fn settle_idempotent_request(
        &self,
        ticket: IdempotencyTicket,
        _answer: Option<&Answer>,
    ) -> Result<()> {
        todo!("{:?}", ticket.key)
    }
}
