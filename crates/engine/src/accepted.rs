//! Credentials that were found to be accepted a moment ago.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use model::{Principal, Timestamp, UserId};
use moka::sync::Cache;

use crate::usage::KeyCounter;

/// How long an answer is kept at most. What this process changes takes effect at once; this bounds how long a
/// change that it isn't told of goes unnoticed.
const LIFETIME: Duration = Duration::from_secs(30);
/// How many answers are kept at most: some 50 MB when full.
const MAX_ENTRIES: u64 = 100_000;
/// In how many groups accounts are forgotten: a change to one account costs the others of its group a look-up.
const GROUPS: usize = 4096;

/// A credential that is accepted, and what it stands for.
pub(crate) struct Accepted {
    /// Who presents it.
    pub(crate) principal: Arc<Principal>,
    /// Whose it is.
    pub(crate) user_id: UserId,
    /// The first moment at which it isn't accepted by itself any more.
    pub(crate) until: Timestamp,
    /// Counts its uses, if it is a key.
    pub(crate) counter: Option<Arc<KeyCounter>>,
}

struct Entry {
    accepted: Arc<Accepted>,
    fresh_until: Timestamp,
    kept_at: Timestamp,
    generation: u64,
}

/// Remembers accepted credentials by their SHA-256, at most 30 seconds each.
///
/// Accounts fall into groups, each with a generation number. An entry counts only as long as its group's
/// generation is the one that it was made in, so forgetting an account is one increment and can't be missed.
pub(crate) struct AcceptedCredentials {
    entries: Cache<[u8; 32], Arc<Entry>>,
    generations: Vec<AtomicU64>,
    /// Grows before any generation does.
    changes: AtomicU64,
}

/// The moment at which a look-up began; what changes after it makes its outcome unfit to be kept.
pub(crate) struct Lookup {
    changes: u64,
}

impl AcceptedCredentials {
    pub(crate) fn new() -> Self {
        let entries = Cache::builder()
            .max_capacity(MAX_ENTRIES)
            // Runs by the machine's monotonic clock, beside our own check by the wall clock, which may be set back.
            .time_to_live(LIFETIME)
            .build();
        Self {
            entries,
            generations: (0..GROUPS).map(|_| AtomicU64::new(0)).collect(),
            changes: AtomicU64::new(0),
        }
    }

    /// What a credential stands for, if that is known at `now`.
    pub(crate) fn get(&self, digest: &[u8; 32], now: Timestamp) -> Option<Arc<Accepted>> {
        let entry = self.entries.get(digest)?;
        let is_fresh = (entry.kept_at..entry.fresh_until).contains(&now);
        let is_current = self.generation(entry.accepted.user_id).load(Ordering::SeqCst) == entry.generation;
        (is_fresh && is_current).then(|| Arc::clone(&entry.accepted))
    }

    /// Begins a look-up in the store.
    pub(crate) fn begin(&self) -> Lookup {
        Lookup {
            changes: self.changes.load(Ordering::SeqCst),
        }
    }

    /// Keeps the outcome of a look-up, unless an account was to be forgotten meanwhile.
    pub(crate) fn keep(&self, lookup: &Lookup, digest: [u8; 32], accepted: Arc<Accepted>, now: Timestamp) {
        // Read in this order: whoever forgets raises `changes` first, so a new generation here means that the
        // comparison below fails.
        let generation = self.generation(accepted.user_id).load(Ordering::SeqCst);
        if self.changes.load(Ordering::SeqCst) != lookup.changes {
            return;
        }
        let entry = Entry {
            fresh_until: now.plus(LIFETIME).min(accepted.until),
            kept_at: now,
            generation,
            accepted,
        };
        self.entries.insert(digest, Arc::new(entry));
    }

    /// Forgets every credential of an account, and makes look-ups that are under way forget theirs.
    ///
    /// To be called after what changed is committed and before that is acknowledged.
    pub(crate) fn forget(&self, user_id: UserId) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.generation(user_id).fetch_add(1, Ordering::SeqCst);
    }

    fn generation(&self, user_id: UserId) -> &AtomicU64 {
        // The low bits of an id are random. A group always exists; `changes` stands in for none.
        let group = user_id.as_uuid().as_u128() % (GROUPS as u128);
        usize::try_from(group)
            .ok()
            .and_then(|group| self.generations.get(group))
            .unwrap_or(&self.changes)
    }
}

#[cfg(test)]
mod tests {
    use model::{Credential, Subject};
    use uuid::Uuid;

    use super::*;

    const DIGEST: [u8; 32] = [1; 32];

    fn user(number: u128) -> UserId {
        UserId::from_uuid(Uuid::from_u128(number))
    }

    fn accepted(user_id: UserId, until: Timestamp) -> Arc<Accepted> {
        let principal = Principal {
            subject: Subject::User(user_id),
            credential: Credential::AdminKey,
            ..Principal::command_line()
        };
        Arc::new(Accepted {
            principal: Arc::new(principal),
            user_id,
            until,
            counter: None,
        })
    }

    fn now() -> Timestamp {
        Timestamp::from_millis(1_000_000)
    }

    fn kept_until(until: Timestamp) -> AcceptedCredentials {
        let credentials = AcceptedCredentials::new();
        credentials.keep(&credentials.begin(), DIGEST, accepted(user(1), until), now());
        credentials
    }

    #[test]
    fn an_accepted_credential_is_known_for_thirty_seconds() {
        let credentials = kept_until(Timestamp::MAX);
        let almost = now().plus(LIFETIME).minus(Duration::from_millis(1));
        assert!(credentials.get(&DIGEST, now()).is_some());
        assert!(credentials.get(&DIGEST, almost).is_some());
        assert!(credentials.get(&DIGEST, now().plus(LIFETIME)).is_none());
        assert!(credentials.get(&[2; 32], now()).is_none());
    }

    #[test]
    fn it_is_not_known_longer_than_it_is_accepted_by_itself() {
        let end = now().plus(Duration::from_secs(2));
        let credentials = kept_until(end);
        assert!(
            credentials
                .get(&DIGEST, end.minus(Duration::from_millis(1)))
                .is_some()
        );
        assert!(credentials.get(&DIGEST, end).is_none());
    }

    #[test]
    fn a_clock_that_is_set_back_makes_it_unknown() {
        let credentials = kept_until(Timestamp::MAX);
        assert!(
            credentials
                .get(&DIGEST, now().minus(Duration::from_millis(1)))
                .is_none()
        );
    }

    #[test]
    fn a14_forgetting_an_account_takes_effect_at_once() {
        let credentials = kept_until(Timestamp::MAX);
        credentials.forget(user(2));
        assert!(credentials.get(&DIGEST, now()).is_some());
        credentials.forget(user(1));
        assert!(credentials.get(&DIGEST, now()).is_none());
    }

    #[test]
    fn a14_a_look_up_begun_before_an_account_is_forgotten_is_not_kept() {
        let credentials = AcceptedCredentials::new();
        let lookup = credentials.begin();
        credentials.forget(user(1));
        credentials.keep(&lookup, DIGEST, accepted(user(1), Timestamp::MAX), now());
        assert!(credentials.get(&DIGEST, now()).is_none());
    }
}
