//! One part of the keys, under one lock.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasherDefault, Hash, Hasher},
};

use model::{Decision, LimitKey, Timestamp};

use super::bucket::Bucket;
use crate::rate::Rate;

/// A bounded table of buckets.
#[derive(Debug)]
pub(super) struct Shard {
    buckets: Table,
    max_keys: usize,
}

impl Shard {
    pub(super) fn new(max_keys: usize) -> Self {
        Self {
            buckets: Table::default(),
            max_keys,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Counts one request of a key, of whose hash half is given, and decides on it.
    pub(super) fn decide(&mut self, hash: u32, key: LimitKey, rate: Rate, now: Timestamp) -> Decision {
        let key = HashedKey { key, hash };
        let is_full = self.buckets.len() >= self.max_keys;
        match self.buckets.entry(key) {
            Entry::Occupied(mut bucket) => return bucket.get_mut().decide(rate, now),
            Entry::Vacant(place) if !is_full => {
                return place.insert(Bucket::new(now)).decide(rate, now);
            }
            Entry::Vacant(_) => {}
        }
        self.make_room(now);
        self.buckets
            .entry(key)
            .or_insert_with(|| Bucket::new(now))
            .decide(rate, now)
    }

    /// Lets an eighth of the keys go, or all whose quota is whole again if they are more; so the cost of
    /// looking at every key is shared by as many new ones.
    fn make_room(&mut self, now: Timestamp) {
        let mut moments: Vec<Timestamp> = self.buckets.values().map(Bucket::full_again_at).collect();
        let last = (self.max_keys / 8).min(moments.len().saturating_sub(1));
        if moments.is_empty() {
            return;
        }
        let (below, threshold, _) = moments.select_nth_unstable(last);
        let threshold = *threshold;
        // Many may share the moment of the threshold: no more of them go than must.
        let mut ties = below.iter().filter(|moment| **moment == threshold).count() + 1;
        let mut stays = |bucket: &Bucket| {
            let full_at = bucket.full_again_at();
            let goes = full_at <= now || full_at < threshold || (full_at == threshold && ties > 0);
            if goes && full_at == threshold {
                ties = ties.saturating_sub(1);
            }
            !goes
        };
        // A new table: removal leaves marks in the old one, for which it would grow to twice the size.
        let mut kept = Table::with_capacity_and_hasher(self.max_keys, BuildHasherDefault::default());
        kept.extend(self.buckets.drain().filter(|(_, bucket)| stays(bucket)));
        self.buckets = kept;
    }
}

type Table = HashMap<HashedKey, Bucket, BuildHasherDefault<Spread>>;

/// A key with half of its hash, so that it is computed once for the choice of a shard and the place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HashedKey {
    key: LimitKey,
    hash: u32,
}

impl Hash for HashedKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(self.hash);
    }
}

/// Spreads the half of a hash that a [`HashedKey`] brings over 64 bits.
#[derive(Debug, Default)]
struct Spread(u64);

impl Spread {
    /// 2⁶⁴ divided by the golden ratio, odd: multiplying by it loses nothing.
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
}

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0.rotate_left(8) ^ u64::from(*byte)).wrapping_mul(Self::GOLDEN);
        }
    }

    fn write_u32(&mut self, hash: u32) {
        self.0 = u64::from(hash).wrapping_mul(Self::GOLDEN);
    }
}
