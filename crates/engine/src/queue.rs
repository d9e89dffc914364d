//! What verbs and the worker of one process tell each other about tasks. Losing any of it makes things slower,
//! never wrong: the store knows all that matters.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use model::{Hold, TaskId};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, futures::Notified, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Wakes the worker, stops running attempts, and tells those who wait that a task has ended. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct QueueHandle(Arc<Wires>);

#[derive(Default)]
struct Wires {
    /// There may be something to claim, or a slot to fill.
    work: Notify,
    /// A task has ended, and others may depend on it.
    ends: Notify,
    running: Mutex<HashMap<Hold, CancellationToken>>,
    waiting: Mutex<HashMap<TaskId, watch::Sender<()>>>,
}

impl QueueHandle {
    /// Lets the worker look for something to claim. To be called twice by whoever makes a job ready: right when the
    /// write is sent, so that the claim becomes durable together with it, and when it is durable.
    pub(crate) fn nudge(&self) {
        self.0.work.notify_one();
    }

    /// Waits for the next nudge; one that came since the last wait counts.
    pub(crate) fn nudged(&self) -> Notified<'_> {
        self.0.work.notified()
    }

    /// Waits for the next end of a task; one that came since the last wait counts. For the one who tells the tasks
    /// that depend on others.
    pub(crate) fn ended(&self) -> Notified<'_> {
        self.0.ends.notified()
    }

    /// Notes that an attempt runs here, until what is given is dropped.
    pub(crate) fn begin_attempt(&self, hold: Hold) -> RunningAttempt {
        let stop = CancellationToken::new();
        self.0.running.lock().insert(hold, stop.clone());
        RunningAttempt {
            handle: self.clone(),
            hold,
            stop,
        }
    }

    /// Stops an attempt if it runs here: its call is dropped and recorded as cancelled.
    pub(crate) fn stop_attempt(&self, task: TaskId, attempt: u32) {
        if let Some(stop) = self.0.running.lock().get(&Hold { task, attempt }) {
            stop.cancel();
        }
    }

    /// Stops every attempt that runs here.
    pub(crate) fn stop_attempts(&self) {
        for stop in self.0.running.lock().values() {
            stop.cancel();
        }
    }

    /// Every attempt that runs here.
    pub(crate) fn running_attempts(&self) -> Vec<Hold> {
        self.0.running.lock().keys().copied().collect()
    }

    /// Begins to listen for the end of a task. To be called before the task is looked at.
    pub(crate) fn subscribe(&self, task: TaskId) -> Waiter {
        let mut waiting = self.0.waiting.lock();
        let sender = waiting.entry(task).or_insert_with(|| watch::Sender::new(()));
        Waiter {
            task,
            receiver: Some(sender.subscribe()),
            handle: self.clone(),
        }
    }

    /// Wakes those who wait for a task that has come into a final state, and whoever tells the tasks that depend
    /// on it. To be called once that is durable.
    pub(crate) fn announce_end(&self, task: TaskId) {
        if let Some(sender) = self.0.waiting.lock().get(&task) {
            sender.send_replace(());
        }
        self.0.ends.notify_one();
    }

    /// Wakes everyone who waits: tasks have ended, and which isn't known.
    pub(crate) fn announce_ends(&self) {
        for sender in self.0.waiting.lock().values() {
            sender.send_replace(());
        }
        self.0.ends.notify_one();
    }
}

/// An attempt that runs here.
pub(crate) struct RunningAttempt {
    handle: QueueHandle,
    hold: Hold,
    stop: CancellationToken,
}

impl RunningAttempt {
    /// Is cancelled when the attempt is to stop.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }
}

impl Drop for RunningAttempt {
    fn drop(&mut self) {
        self.handle.0.running.lock().remove(&self.hold);
    }
}

/// Listens for the end of a task.
pub(crate) struct Waiter {
    task: TaskId,
    /// Taken when dropped.
    receiver: Option<watch::Receiver<()>>,
    handle: QueueHandle,
}

impl Waiter {
    /// Waits until the task may have ended, since the last wait or the subscription, for `longest` at most; look
    /// at the task then. On a store that other processes use too, ends over there aren't announced here: wait in
    /// pieces.
    pub(crate) async fn wait(&mut self, longest: Duration) {
        if let Some(receiver) = &mut self.receiver {
            // Whether it ended or the time is over, the task is looked at next.
            let _elapsed = timeout(longest, receiver.changed()).await;
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiting = self.handle.0.waiting.lock();
        // Given back under the lock, so that the last one to go sees that nobody is left.
        drop(self.receiver.take());
        if let Entry::Occupied(entry) = waiting.entry(self.task)
            && entry.get().receiver_count() == 0
        {
            entry.remove();
        }
    }
}
