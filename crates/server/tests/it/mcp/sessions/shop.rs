//! A shared memory and a bus in this process, which can be made to fail: what two servers need beside a real one.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use model::{Bus, BusListener, Error, ErrorCode, Heard, LogBounds, Notice, Result, SharedMemory};
use parking_lot::Mutex;
use tokio::{sync::broadcast, time::Instant};

/// What processes share.
pub(crate) struct Shop {
    state: Mutex<State>,
    notices: broadcast::Sender<(u64, Notice)>,
    processes: AtomicU64,
    /// Nothing can be reached.
    pub(crate) is_away: AtomicBool,
    /// Nothing is heard.
    pub(crate) is_mute: AtomicBool,
    /// How often something was asked for.
    pub(crate) asked: AtomicUsize,
}

/// Entries with their numbers.
type Entries = VecDeque<(u64, Vec<u8>)>;

#[derive(Default)]
struct State {
    values: BTreeMap<String, (Instant, Vec<u8>)>,
    sets: BTreeMap<String, (Instant, BTreeSet<String>)>,
    logs: BTreeMap<String, (Instant, u64, Entries)>,
}

impl State {
    fn expire(&mut self) {
        let now = Instant::now();
        self.values.retain(|_, (until, _)| now < *until);
        self.sets.retain(|_, (until, _)| now < *until);
        self.logs.retain(|_, (until, ..)| now < *until);
    }
}

impl Shop {
    pub(crate) fn open() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            notices: broadcast::channel(1024).0,
            processes: AtomicU64::new(0),
            is_away: AtomicBool::new(false),
            is_mute: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
        })
    }

    /// The memory and the bus of one more process.
    pub(crate) fn enter(self: &Arc<Self>) -> (Arc<dyn SharedMemory>, Arc<dyn Bus>) {
        let number = self.processes.fetch_add(1, Ordering::SeqCst);
        let visit = Arc::new(Visit {
            shop: Arc::clone(self),
            number,
        });
        (Arc::<Visit>::clone(&visit), visit)
    }

    /// Forgets everything.
    pub(crate) fn flush(&self) {
        *self.state.lock() = State::default();
    }

    fn look(&self) -> Result<parking_lot::MutexGuard<'_, State>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.is_away.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorCode::Unavailable, "the shop is closed"));
        }
        let mut state = self.state.lock();
        state.expire();
        Ok(state)
    }
}

struct Visit {
    shop: Arc<Shop>,
    number: u64,
}

struct Ear {
    number: u64,
    notices: broadcast::Receiver<(u64, Notice)>,
}

impl Bus for Visit {
    fn announce(&self, notice: Notice) {
        let shop = &self.shop;
        if !shop.is_away.load(Ordering::SeqCst) && !shop.is_mute.load(Ordering::SeqCst) {
            // Nobody may listen.
            drop(shop.notices.send((self.number, notice)));
        }
    }

    fn listen(&self) -> Box<dyn BusListener> {
        Box::new(Ear {
            number: self.number,
            notices: self.shop.notices.subscribe(),
        })
    }
}

#[async_trait]
impl BusListener for Ear {
    async fn next(&mut self) -> Heard {
        loop {
            match self.notices.recv().await {
                Ok((number, _)) if number == self.number => {}
                Ok((_, notice)) => return Heard::Notice(notice),
                Err(broadcast::error::RecvError::Lagged(_)) => return Heard::Missed,
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

#[async_trait]
impl SharedMemory for Visit {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.shop.look()?.values.get(key).map(|(_, value)| value.clone()))
    }

    async fn set(&self, key: &str, value: &[u8], lifetime: Duration) -> Result<()> {
        let until = Instant::now() + lifetime;
        self.shop
            .look()?
            .values
            .insert(key.to_owned(), (until, value.to_vec()));
        Ok(())
    }

    async fn remove(&self, key: &str) -> Result<()> {
        self.shop.look()?.values.remove(key);
        Ok(())
    }

    async fn add_member(&self, set: &str, member: &str, most: u32, lifetime: Duration) -> Result<bool> {
        let mut state = self.shop.look()?;
        let until = Instant::now() + lifetime;
        let (lives, members) = state
            .sets
            .entry(set.to_owned())
            .or_insert((until, BTreeSet::new()));
        *lives = until;
        if !members.contains(member) && members.len() >= usize::try_from(most).unwrap() {
            return Ok(false);
        }
        members.insert(member.to_owned());
        Ok(true)
    }

    async fn remove_member(&self, set: &str, member: &str) -> Result<()> {
        if let Some((_, members)) = self.shop.look()?.sets.get_mut(set) {
            members.remove(member);
        }
        Ok(())
    }

    async fn members(&self, set: &str) -> Result<Vec<String>> {
        let state = self.shop.look()?;
        let members = state
            .sets
            .get(set)
            .map(|(_, members)| members.iter().cloned().collect());
        Ok(members.unwrap_or_default())
    }

    async fn append(&self, log: &str, entry: &[u8], bounds: LogBounds) -> Result<u64> {
        let mut state = self.shop.look()?;
        let until = Instant::now() + bounds.lifetime;
        let (lives, last, entries) = state
            .logs
            .entry(log.to_owned())
            .or_insert((until, 0, Entries::new()));
        *lives = until;
        *last += 1;
        entries.push_back((*last, entry.to_vec()));
        while entries.len() > usize::try_from(bounds.entries).unwrap() {
            entries.pop_front();
        }
        Ok(*last)
    }

    async fn read_log(&self, log: &str, after: u64, most: u32) -> Result<(Vec<(u64, Vec<u8>)>, u64)> {
        let state = self.shop.look()?;
        let Some((_, last, entries)) = state.logs.get(log) else {
            return Ok((Vec::new(), 0));
        };
        let newer = entries.iter().filter(|(number, _)| *number > after);
        Ok((
            newer.take(usize::try_from(most).unwrap()).cloned().collect(),
            *last,
        ))
    }
}
