//! How often keys were used since that was last written down.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use dashmap::DashMap;
use model::{KeyId, KeyUsage, Timestamp, UserId};

/// Counts the uses of one key. Lock-free, since it is touched by every request.
#[derive(Debug)]
pub(crate) struct KeyCounter {
    user_id: UserId,
    unwritten: AtomicU64,
    last_used_at: AtomicI64,
}

impl KeyCounter {
    /// Counts one use.
    pub(crate) fn count(&self, now: Timestamp) {
        self.last_used_at.fetch_max(now.as_millis(), Ordering::Relaxed);
        self.unwritten.fetch_add(1, Ordering::Relaxed);
    }

    fn usage(&self, id: KeyId) -> Option<KeyUsage> {
        let count = self.unwritten.load(Ordering::Relaxed);
        (count > 0).then(|| KeyUsage {
            id,
            user_id: self.user_id,
            count,
            last_used_at: Timestamp::from_millis(self.last_used_at.load(Ordering::Relaxed)),
        })
    }
}

/// Counts the uses of all keys. Holds those used lately, and those whose uses aren't written down yet.
#[derive(Default)]
pub(crate) struct KeyUses {
    counters: DashMap<KeyId, Arc<KeyCounter>>,
}

impl KeyUses {
    /// The counter of a key that was found to be accepted.
    pub(crate) fn counter(&self, id: KeyId, user_id: UserId) -> Arc<KeyCounter> {
        let counter = self.counters.entry(id).or_insert_with(|| {
            Arc::new(KeyCounter {
                user_id,
                unwritten: AtomicU64::new(0),
                last_used_at: AtomicI64::new(0),
            })
        });
        Arc::clone(&counter)
    }

    /// What isn't written down of one key.
    pub(crate) fn unwritten(&self, id: KeyId) -> Option<KeyUsage> {
        self.counters.get(&id).and_then(|counter| counter.usage(id))
    }

    /// Everything that isn't written down.
    pub(crate) fn all_unwritten(&self) -> Vec<KeyUsage> {
        self.counters
            .iter()
            .filter_map(|entry| entry.value().usage(*entry.key()))
            .collect()
    }

    /// Takes what was written down off the counts, and forgets keys that nobody uses any more.
    pub(crate) fn settle(&self, written: &[KeyUsage]) {
        for usage in written {
            if let Some(counter) = self.counters.get(&usage.id) {
                counter.unwritten.fetch_sub(usage.count, Ordering::Relaxed);
            }
        }
        // Whoever counts holds the counter; with one holder left, that is this map.
        self.counters.retain(|_, counter| {
            Arc::strong_count(counter) > 1 || counter.unwritten.load(Ordering::Relaxed) > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn key(number: u128) -> KeyId {
        KeyId::from_uuid(Uuid::from_u128(number))
    }

    fn owner() -> UserId {
        UserId::from_uuid(Uuid::from_u128(9))
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn uses_stay_counted_until_they_are_written_down() {
        let uses = KeyUses::default();
        let counter = uses.counter(key(1), owner());
        counter.count(at(5));
        counter.count(at(3));
        let taken = uses.all_unwritten();
        assert_eq!(taken.len(), 1);
        assert_eq!((taken[0].count, taken[0].last_used_at), (2, at(5)));
        counter.count(at(8));
        uses.settle(&taken);
        assert_eq!(uses.unwritten(key(1)).unwrap().count, 1);
    }

    #[test]
    fn keys_that_nobody_uses_are_forgotten_once_written_down() {
        let uses = KeyUses::default();
        for number in 0..100 {
            uses.counter(key(number), owner()).count(at(1));
        }
        let held = uses.counter(key(1), owner());
        uses.settle(&uses.all_unwritten());
        assert_eq!(uses.counters.len(), 1);
        held.count(at(2));
        assert_eq!(uses.unwritten(key(1)).unwrap().count, 1);
    }
}
