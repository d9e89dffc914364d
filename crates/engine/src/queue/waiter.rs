//! Those who wait for the end of a task, or watch it on its way.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use model::TaskId;
use parking_lot::Mutex;
use tokio::{sync::watch, time::timeout};

use super::QueueHandle;

/// Everyone who waits.
#[derive(Default)]
pub(super) struct Waiters(Mutex<HashMap<TaskId, watch::Sender<()>>>);

impl Waiters {
    pub(super) fn wake(&self, task: TaskId) {
        if let Some(sender) = self.0.lock().get(&task) {
            sender.send_replace(());
        }
    }

    pub(super) fn wake_all(&self) {
        for sender in self.0.lock().values() {
            sender.send_replace(());
        }
    }
}

/// What is listened for.
#[derive(Clone, Copy)]
pub(super) enum Hears {
    /// That the task may have ended, or waits for answers.
    Ends,
    /// That anything of it may have changed.
    Changes,
}

/// Listens for the end of a task, or for every change of it.
pub(crate) struct Waiter {
    task: TaskId,
    hears: Hears,
    /// Taken when dropped.
    receiver: Option<watch::Receiver<()>>,
    handle: QueueHandle,
}

impl Waiter {
    pub(super) fn begin(handle: QueueHandle, task: TaskId, hears: Hears) -> Self {
        let receiver = {
            let mut waiting = handle.waiters(hears).0.lock();
            let sender = waiting.entry(task).or_insert_with(|| watch::Sender::new(()));
            Some(sender.subscribe())
        };
        Self {
            task,
            hears,
            receiver,
            handle,
        }
    }

    /// Waits until what is listened for may have come about, since the last wait or the subscription, for `longest` at
    /// most; look at the task then. On a store that other processes use too, what happens over there may not be heard
    /// here: wait in pieces.
    pub(crate) async fn wait(&mut self, longest: Duration) {
        if let Some(receiver) = &mut self.receiver {
            // Whether it ended or the time is over, the task is looked at next.
            let _elapsed = timeout(longest, receiver.changed()).await;
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiting = self.handle.waiters(self.hears).0.lock();
        // Given back under the lock, so that the last one to go sees that nobody is left.
        drop(self.receiver.take());
        if let Entry::Occupied(entry) = waiting.entry(self.task)
            && entry.get().receiver_count() == 0
        {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn task(number: u128) -> TaskId {
        TaskId::from_uuid(Uuid::from_u128(number))
    }

    #[tokio::test]
    async fn an_end_that_is_announced_before_the_wait_is_not_missed() {
        let handle = QueueHandle::default();
        let mut waiter = handle.subscribe(task(1));
        handle.announce_end(task(1));
        waiter.wait(LONG).await;
        handle.announce_cancelled(&[task(1)]);
        waiter.wait(LONG).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_another_task_wakes_nobody() {
        let handle = QueueHandle::default();
        let mut waiter = handle.subscribe(task(1));
        handle.announce_end(task(2));
        let begun = tokio::time::Instant::now();
        waiter.wait(LONG).await;
        assert!(begun.elapsed() >= LONG);
    }

    #[tokio::test(start_paused = true)]
    async fn who_watches_hears_of_every_change_and_who_waits_of_the_end_alone() {
        let handle = QueueHandle::default();
        let (mut watching, mut waiting) = (handle.watch(task(1)), handle.subscribe(task(1)));
        handle.announce_change(task(1));
        let begun = tokio::time::Instant::now();
        watching.wait(LONG).await;
        assert!(begun.elapsed() < LONG);
        waiting.wait(LONG).await;
        assert!(begun.elapsed() >= LONG);
        let begun = tokio::time::Instant::now();
        handle.announce_question(task(1));
        watching.wait(LONG).await;
        waiting.wait(LONG).await;
        handle.announce_end(task(1));
        watching.wait(LONG).await;
        waiting.wait(LONG).await;
        assert!(begun.elapsed() < LONG);
    }

    #[test]
    fn nothing_is_kept_of_those_who_wait_no_more() {
        let handle = QueueHandle::default();
        let (first, second) = (handle.subscribe(task(1)), handle.subscribe(task(1)));
        drop(first);
        assert_eq!(handle.0.waiters.0.lock().len(), 1);
        drop(second);
        assert_eq!(handle.0.waiters.0.lock().len(), 0);
    }
}
