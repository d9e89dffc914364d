//! Where a process's calls of its store wait until the simulation says what becomes of them.

use std::{
    any::Any,
    future::pending,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use model::{Claimed, Released, Settled};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::faulty::{Director, Fate, Method};

/// The calls of one process.
#[derive(Default)]
pub(super) struct Desk {
    waiting: Mutex<Vec<Waiting>>,
    arrived: AtomicUsize,
    ended: Notify,
    is_dead: AtomicBool,
    is_changed: AtomicBool,
}

struct Waiting {
    method: Method,
    grant: oneshot::Sender<Fate>,
}

impl Desk {
    /// The calls that wait, in the order of their arrival.
    pub(super) fn waiting(&self) -> Vec<Method> {
        let mut waiting = self.waiting.lock();
        waiting.retain(|call| !call.grant.is_closed());
        waiting.iter().map(|call| call.method).collect()
    }

    /// How many calls ever came.
    pub(super) fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    /// Lets a call that waits meet its fate, and waits until that has come about; gives which it was, and whether
    /// it may have changed something.
    pub(super) async fn settle(&self, place: usize, fate: Fate) -> (Method, bool) {
        let call = self.waiting.lock().remove(place);
        let ended = self.ended.notified();
        assert!(call.grant.send(fate).is_ok(), "a call was dropped meanwhile");
        ended.await;
        (call.method, self.is_changed.load(Ordering::SeqCst))
    }

    /// Lets no call have an effect any more: the process is gone.
    pub(super) fn die(&self) {
        self.is_dead.store(true, Ordering::SeqCst);
        self.waiting.lock().clear();
    }
}

#[async_trait]
impl Director for Desk {
    async fn admit(&self, method: Method) -> Fate {
        if self.is_dead.load(Ordering::SeqCst) {
            return pending().await;
        }
        let (grant, granted) = oneshot::channel();
        self.arrived.fetch_add(1, Ordering::SeqCst);
        self.waiting.lock().push(Waiting { method, grant });
        match granted.await {
            Ok(fate) => fate,
            Err(_) => pending().await,
        }
    }

    fn ended(&self, given: Option<&dyn Any>) {
        let is_changed = !given.is_some_and(is_nothing);
        self.is_changed.store(is_changed, Ordering::SeqCst);
        self.ended.notify_waiters();
    }
}

/// Tells whether an answer says that nothing was done.
fn is_nothing(given: &dyn Any) -> bool {
    let is_empty = [
        given
            .downcast_ref()
            .map(|claimed: &Claimed| claimed.tasks.is_empty()),
        given
            .downcast_ref()
            .map(|released: &Vec<Released>| released.is_empty()),
        given.downcast_ref().map(|settled: &Settled| settled.told == 0),
        given.downcast_ref().map(|count: &u64| *count == 0),
    ];
    is_empty.contains(&Some(true))
}
