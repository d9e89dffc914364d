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
use tokio::time::Instant;

use crate::usage::KeyCounter;

/// How long an answer is kept at most. What this process changes takes effect at once; this bounds how long a
/// change that it isn't told of goes unnoticed.
const LIFETIME: Duration = Duration::from_secs(30);
/// On a store that other processes use too: for how long after a reading of what they changed had begun an answer
/// counts. So nothing that was changed and acknowledged longer ago is missed.
const HEARD_FOR: Duration = Duration::from_secs(1);
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

/// Remembers accepted credentials by their SHA-256, at most 30 seconds each. On a store that other processes use too,
/// it knows nothing unless what these changed was read lately.
///
/// Accounts fall into groups, each with a generation number. An entry counts only as long as its group's
/// generation is the one that it was made in, so forgetting an account is one increment and can't be missed.
pub(crate) struct AcceptedCredentials {
    entries: Cache<[u8; 32], Arc<Entry>>,
    generations: Vec<AtomicU64>,
    /// Part of every group's generation.
    everybody: AtomicU64,
    /// Grows before any generation does.
    changes: AtomicU64,
    /// How far the changes of others are known; `None` where there are no others.
    heard: Option<Hearing>,
}

/// Until when what is known of others' changes is fresh, by a clock that nobody sets.
struct Hearing {
    base: Instant,
    /// In nanoseconds from the base.
    fresh_until: AtomicU64,
}

impl Hearing {
    fn is_fresh(&self) -> bool {
        nanos(self.base.elapsed()) < self.fresh_until.load(Ordering::SeqCst)
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// The moment at which a look-up began; what changes after it makes its outcome unfit to be kept.
pub(crate) struct Lookup {
    changes: u64,
}

impl AcceptedCredentials {
    /// Knows nothing yet. `is_shared` tells whether other processes use the same store.
    pub(crate) fn new(is_shared: bool) -> Self {
        let heard = is_shared.then(|| Hearing {
            base: Instant::now(),
            fresh_until: AtomicU64::new(0),
        });
        let entries = Cache::builder()
            .max_capacity(MAX_ENTRIES)
            // Runs by the machine's monotonic clock, beside our own check by the wall clock, which may be set back.
            .time_to_live(LIFETIME)
            .build();
        Self {
            entries,
            generations: (0..GROUPS).map(|_| AtomicU64::new(0)).collect(),
            everybody: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            heard,
        }
    }

    /// What a credential stands for, if that is known at `now`.
    pub(crate) fn get(&self, digest: &[u8; 32], now: Timestamp) -> Option<Arc<Accepted>> {
        if self.heard.as_ref().is_some_and(|heard| !heard.is_fresh()) {
            return None;
        }
        let entry = self.entries.get(digest)?;
        let is_fresh = (entry.kept_at..entry.fresh_until).contains(&now);
        let is_current = self.generation(entry.accepted.user_id) == entry.generation;
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
        let generation = self.generation(accepted.user_id);
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
        self.group(user_id).fetch_add(1, Ordering::SeqCst);
    }

    /// Forgets every credential of everyone, as [`Self::forget`] does an account's.
    pub(crate) fn forget_everybody(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.everybody.fetch_add(1, Ordering::SeqCst);
    }

    /// Notes that everything that others had changed by `began` is forgotten.
    pub(crate) fn note_reading(&self, began: Instant) {
        if let Some(heard) = &self.heard {
            let fresh_until = nanos(began.saturating_duration_since(heard.base) + HEARD_FOR);
            heard.fresh_until.fetch_max(fresh_until, Ordering::SeqCst);
        }
    }

    /// The generation of an account's group: two numbers that only grow, so their sum stays the same only when both
    /// do.
    fn generation(&self, user_id: UserId) -> u64 {
        let everybody = self.everybody.load(Ordering::SeqCst);
        everybody.wrapping_add(self.group(user_id).load(Ordering::SeqCst))
    }

    fn group(&self, user_id: UserId) -> &AtomicU64 {
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
        let credentials = AcceptedCredentials::new(false);
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
        let credentials = AcceptedCredentials::new(false);
        let lookup = credentials.begin();
        credentials.forget(user(1));
        credentials.keep(&lookup, DIGEST, accepted(user(1), Timestamp::MAX), now());
        assert!(credentials.get(&DIGEST, now()).is_none());
    }
    const ALMOST: Duration = Duration::from_millis(999);

    fn shared() -> AcceptedCredentials {
        let credentials = AcceptedCredentials::new(true);
        credentials.keep(
            &credentials.begin(),
            DIGEST,
            accepted(user(1), Timestamp::MAX),
            now(),
        );
        credentials
    }

    fn is_known(credentials: &AcceptedCredentials) -> bool {
        credentials.get(&DIGEST, now()).is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn a14_beside_other_processes_it_is_known_until_a_second_after_their_changes_were_read() {
        let credentials = shared();
        assert!(!is_known(&credentials));
        let began = Instant::now();
        tokio::time::advance(Duration::from_millis(400)).await;
        credentials.note_reading(began);
        assert!(is_known(&credentials));
        tokio::time::advance(ALMOST - Duration::from_millis(400)).await;
        assert!(is_known(&credentials));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!is_known(&credentials));
        credentials.note_reading(began);
        assert!(!is_known(&credentials));
        credentials.note_reading(Instant::now());
        assert!(is_known(&credentials));
    }

    #[tokio::test(start_paused = true)]
    async fn a14_forgetting_everybody_takes_effect_at_once_also_for_look_ups_under_way() {
        let credentials = shared();
        credentials.note_reading(Instant::now());
        let lookup = credentials.begin();
        credentials.forget_everybody();
        assert!(!is_known(&credentials));
        credentials.keep(&lookup, DIGEST, accepted(user(1), Timestamp::MAX), now());
        assert!(!is_known(&credentials));
        credentials.keep(
            &credentials.begin(),
            DIGEST,
            accepted(user(1), Timestamp::MAX),
            now(),
        );
        assert!(is_known(&credentials));
    }
}
