//! A small host: everything that the protocol can carry, in one handler that keeps what it knows in memory.

pub(crate) mod handler;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use protocol::{Change, Clock, Host, Limits, LocalSessions, McpService, Seal, TaskState};
use tokio::sync::{Semaphore, broadcast};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    /// The principal.
    pub(crate) name: String,
    /// Sees one tool more.
    pub(crate) is_admin: bool,
}

impl Who {
    pub(crate) fn user(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            is_admin: false,
        }
    }

    pub(crate) fn admin(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            is_admin: true,
        }
    }
}

/// The handler, and what tests look at.
pub(crate) struct Lab {
    /// Changes, as they are told to listeners.
    pub(crate) changes: broadcast::Sender<Change>,
    /// Tasks with their owners.
    pub(crate) tasks: Mutex<BTreeMap<String, (String, TaskState)>>,
    /// Resources that can be read.
    pub(crate) notes: Mutex<BTreeMap<String, String>>,
    /// Lets calls of `wait` end, one a permit.
    pub(crate) gate: Semaphore,
    /// Calls of `wait` that have begun.
    pub(crate) begun: Semaphore,
    /// Calls of `wait` that were dropped before their end.
    pub(crate) dropped: Arc<Semaphore>,
    /// Calls of tools that came through.
    pub(crate) calls: AtomicUsize,
}

/// A seal with a key of its own.
pub(crate) struct Key(RandomizedNonceKey);

impl Key {
    pub(crate) fn new() -> Self {
        Self(RandomizedNonceKey::new(&AES_256_GCM, &[7; 32]).unwrap())
    }
}

impl Seal for Key {
    fn seal(&self, associated: &[u8], plain: &[u8]) -> Option<String> {
        let mut text = plain.to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(associated), &mut text)
            .ok()?;
        Some(URL_SAFE_NO_PAD.encode([nonce.as_ref().as_slice(), &text].concat()))
    }

    fn open(&self, associated: &[u8], sealed: &str) -> Option<Vec<u8>> {
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        if bytes.len() < NONCE_LEN {
            return None;
        }
        let mut text = bytes.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).ok()?;
        let plain = self
            .0
            .open_in_place(nonce, Aad::from(associated), &mut text)
            .ok()?;
        Some(plain.to_vec())
    }
}

/// A host at work.
pub(crate) struct Bench {
    pub(crate) lab: Arc<Lab>,
    pub(crate) service: McpService<Lab>,
    pub(crate) stop: CancellationToken,
    pub(crate) cut_off: CancellationToken,
    pub(crate) tracker: TaskTracker,
    now: Arc<AtomicU64>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let lab = Arc::new(Lab::new());
        let now = Arc::new(AtomicU64::new(1_800_000_000_000));
        let host = host(&lab, &now, limits);
        Self {
            stop: host.stop.clone(),
            cut_off: host.cut_off.clone(),
            tracker: host.tracker.clone(),
            service: McpService::new(host),
            lab,
            now,
        }
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, milliseconds: u64) {
        self.now.fetch_add(milliseconds, Ordering::SeqCst);
    }
}

/// What the host brings; also for tests that serve it otherwise.
pub(crate) fn host(lab: &Arc<Lab>, now: &Arc<AtomicU64>, limits: Limits) -> Host<Lab> {
    let clock: Clock = {
        let now = Arc::clone(now);
        Arc::new(move || now.load(Ordering::SeqCst))
    };
    let names = AtomicU64::new(1);
    Host {
        handler: Arc::clone(lab),
        seal: Arc::new(Key::new()),
        sessions: Arc::new(LocalSessions::new({
            let clock = Arc::clone(&clock);
            move || clock()
        })),
        clock,
        random: Arc::new(move || u128::from(names.fetch_add(1, Ordering::SeqCst)) << 64 | 0xfeed),
        limits,
        tracker: TaskTracker::new(),
        stop: CancellationToken::new(),
        cut_off: CancellationToken::new(),
    }
}
