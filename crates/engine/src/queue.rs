//! What verbs and the worker of one process tell each other about tasks, and other processes. Losing any of it makes
//! things slower, never wrong: the store knows all that matters.

mod awaited;
mod crew;
mod running;
mod waiter;

use std::{future::poll_fn, pin::pin, sync::Arc};

use model::{Bus, Hold, Notice, TaskId, WorkerId};
use tokio::sync::{Notify, futures::Notified};
use tokio_util::sync::CancellationToken;

use awaited::Awaited;
use crew::Crew;
pub(crate) use crew::{AtWork, Slot, Slots, SlotsAside};
pub(crate) use running::RunningAttempt;
use running::RunningAttempts;
pub(crate) use waiter::Waiter;
use waiter::{Hears, Waiters};

pub use crew::{WorkerHealth, WorkerState};

/// Wakes the worker, stops running attempts, and tells those who wait that a task has ended. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct QueueHandle(Arc<Wires>);

#[derive(Default)]
struct Wires {
    /// There may be something to claim.
    work: Notify,
    /// There is a slot to fill.
    slots: Notify,
    /// A task has ended on which others depend.
    ends: Notify,
    awaited: Awaited,
    running: RunningAttempts,
    waiters: Waiters,
    watchers: Waiters,
    crew: Crew,
    /// Cancelled when this process begins no more tasks.
    stopping: CancellationToken,
    /// Tells other processes, where there are any.
    bus: Option<Arc<dyn Bus>>,
}

impl QueueHandle {
    /// Tells other processes as well, if there are any.
    pub(crate) fn new(bus: Option<Arc<dyn Bus>>) -> Self {
        Self(Arc::new(Wires {
            bus,
            ..Wires::default()
        }))
    }

    /// Wakes those here who wait for what another process tells. It isn't told again.
    pub(crate) fn hear(&self, notice: &Notice) {
        match notice {
            Notice::WorkReady => self.0.work.notify_one(),
            Notice::TaskChanged { task } => self.0.watchers.wake(*task),
            Notice::TaskAsks { task } => self.wake_all_of(*task),
            Notice::TaskEnded { task } => self.note_end(*task),
            Notice::AttemptStopped { task, attempt } => self.0.running.stop(Hold {
                task: *task,
                attempt: *attempt,
            }),
            // Others understand these.
            Notice::AccessChanged { .. } | Notice::Message { .. } | _ => {}
        }
    }

    /// Wakes everyone here, since another process told something that wasn't heard.
    pub(crate) fn hear_missed(&self) {
        self.0.work.notify_one();
        self.0.waiters.wake_all();
        self.0.watchers.wake_all();
        self.want_settling();
    }

    fn tell(&self, notice: Notice) {
        if let Some(bus) = &self.0.bus {
            bus.announce(notice);
        }
    }

    /// Lets other processes look for something to claim.
    pub(crate) fn offer_work(&self) {
        self.tell(Notice::WorkReady);
    }

    fn wake_all_of(&self, task: TaskId) {
        self.0.waiters.wake(task);
        self.0.watchers.wake(task);
    }

    fn note_end(&self, task: TaskId) {
        self.wake_all_of(task);
        if self.0.awaited.take(task) {
            self.want_settling();
        }
    }

    /// Lets the worker look for something to claim. To be called twice by whoever makes a job ready: right when the
    /// write is sent (see [`once_sent`]), so that the claim becomes durable together with it, and when it is durable.
    ///
    /// Other processes are told only when the worker here has no slot free: else all of them would ask the store for
    /// what one of them takes. When it turns out to be more than fits in here, [`Self::offer_work`] follows.
    pub(crate) fn nudge(&self) {
        self.0.work.notify_one();
        if self.0.bus.is_some() && !self.0.crew.has_free_slot() {
            self.offer_work();
        }
    }

    /// Waits for the next nudge; one that came since the last wait counts.
    pub(crate) fn nudged(&self) -> Notified<'_> {
        self.0.work.notified()
    }

    /// Lets the worker fill a slot that is free now, if it knows with what.
    fn note_free_slot(&self) {
        self.0.slots.notify_one();
    }

    /// Waits for the next slot that becomes free; one that did since the last wait counts.
    pub(crate) fn slot_freed(&self) -> Notified<'_> {
        self.0.slots.notified()
    }

    /// Waits for the next end of a task on which others depend; one that came since the last wait counts. For the one
    /// who tells those.
    pub(crate) fn ended(&self) -> Notified<'_> {
        self.0.ends.notified()
    }

    /// Notes that a worker makes an attempt here, until what is given is dropped.
    pub(crate) fn begin_attempt(&self, hold: Hold, worker: WorkerId) -> RunningAttempt {
        RunningAttempt::begin(self.clone(), hold, worker)
    }

    /// Stops an attempt, whether it runs here already or is about to: its call is dropped and recorded as cancelled. One
    /// before it that runs here, since it hasn't heard yet that it was superseded, is stopped too.
    pub(crate) fn stop_attempt(&self, task: TaskId, attempt: u32) {
        self.0.running.stop(Hold { task, attempt });
        self.tell(Notice::AttemptStopped { task, attempt });
    }

    /// Stops every attempt of a worker, and those that it is about to begin, since the server stops.
    pub(crate) fn stop_worker(&self, worker: WorkerId) {
        self.0.running.stop_worker(worker);
    }

    /// The attempts that a worker makes here.
    pub(crate) fn attempts_of(&self, worker: WorkerId) -> Vec<Hold> {
        self.0.running.of(worker)
    }

    /// Stops an attempt that doesn't hold its task any more; tells whether it was still being made.
    pub(crate) fn stop_superseded(&self, hold: Hold) -> bool {
        self.0.running.stop_superseded(hold)
    }

    /// Begins to listen for the end of a task. To be called before the task is looked at.
    pub(crate) fn subscribe(&self, task: TaskId) -> Waiter {
        Waiter::begin(self.clone(), task, Hears::Ends)
    }

    /// Begins to listen for every change of a task. To be called before the task is looked at.
    pub(crate) fn watch(&self, task: TaskId) -> Waiter {
        Waiter::begin(self.clone(), task, Hears::Changes)
    }

    fn waiters(&self, hears: Hears) -> &Waiters {
        match hears {
            Hears::Ends => &self.0.waiters,
            Hears::Changes => &self.0.watchers,
        }
    }

    /// Wakes those who watch a task that has changed and hasn't ended. To be called once that is durable.
    pub(crate) fn announce_change(&self, task: TaskId) {
        self.0.watchers.wake(task);
        self.tell(Notice::TaskChanged { task });
    }

    /// Wakes those who wait for a task that waits for answers itself now. To be called once that is durable.
    pub(crate) fn announce_question(&self, task: TaskId) {
        self.wake_all_of(task);
        self.tell(Notice::TaskAsks { task });
    }

    /// Notes that a task is about to be kept that depends on these.
    pub(crate) fn note_dependencies(&self, on: &[TaskId]) {
        self.0.awaited.add(on);
    }

    /// Wakes those who wait for a task that has come into a final state, and whoever tells the tasks that depend
    /// on it, if it is known here that there are any. To be called once that is durable.
    pub(crate) fn announce_end(&self, task: TaskId) {
        self.note_end(task);
        self.tell(Notice::TaskEnded { task });
    }

    /// Wakes those who wait for tasks that ended since one on which they depend did; those that depend on these in
    /// turn are told already, or by whoever calls this.
    pub(crate) fn announce_cancelled(&self, tasks: &[TaskId]) {
        for task in tasks {
            self.wake_all_of(*task);
            self.tell(Notice::TaskEnded { task: *task });
        }
    }

    /// Wakes whoever tells tasks what became of those that they depend on.
    pub(crate) fn want_settling(&self) {
        self.0.ends.notify_one();
    }

    /// Notes that this process begins no more tasks, and wakes everyone who waits for one.
    pub(crate) fn note_stopping(&self) {
        self.0.stopping.cancel();
        self.0.waiters.wake_all();
    }

    /// Tells whether this process begins no more tasks, so that it makes no sense to wait for one that hasn't begun.
    pub(crate) fn is_stopping(&self) -> bool {
        self.0.stopping.is_cancelled()
    }

    /// Notes that a worker goes to work here, until what is given is dropped.
    pub(crate) fn begin_work(&self, slots: Arc<Slots>) -> AtWork {
        AtWork::begin(self.clone(), slots)
    }

    /// Notes that the store was asked for something to do, and answered.
    pub(crate) fn note_progress(&self) {
        self.0.crew.note_progress();
    }

    /// How the worker is; `is_waiting` says whether a task is ready for it.
    pub(crate) fn worker_health(&self, is_waiting: bool) -> WorkerHealth {
        self.0.crew.health(is_waiting)
    }
}

/// Awaits a write, and does `then` right when it has been sent, before anyone knows what comes of it.
pub(crate) async fn once_sent<F: Future>(write: F, then: impl FnOnce()) -> F::Output {
    let mut write = pin!(write);
    let mut then = Some(then);
    poll_fn(|context| {
        // The first poll sends.
        let polled = write.as_mut().poll(context);
        if let Some(then) = then.take() {
            then();
        }
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use uuid::Uuid;

    use super::*;

    fn task(number: u128) -> TaskId {
        TaskId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn the_end_of_a_task_on_which_none_depends_is_told_to_none() {
        let handle = QueueHandle::default();
        handle.announce_end(task(1));
        handle.announce_cancelled(&[task(1)]);
        assert!(handle.ended().now_or_never().is_none());
    }

    #[test]
    fn the_end_of_a_task_on_which_others_depend_is_told_once() {
        let handle = QueueHandle::default();
        handle.note_dependencies(&[task(1)]);
        handle.announce_end(task(1));
        assert!(handle.ended().now_or_never().is_some());
        handle.announce_end(task(1));
        assert!(handle.ended().now_or_never().is_none());
    }
    /// Keeps what is announced.
    #[derive(Default)]
    struct Record(parking_lot::Mutex<Vec<Notice>>);

    impl Bus for Record {
        fn announce(&self, notice: Notice) {
            self.0.lock().push(notice);
        }

        fn listen(&self) -> Box<dyn model::BusListener> {
            unreachable!("the handle only speaks")
        }
    }

    impl Record {
        fn take(&self) -> Vec<Notice> {
            std::mem::take(&mut self.0.lock())
        }
    }

    fn beside_others() -> (QueueHandle, Arc<Record>) {
        let record = Arc::<Record>::default();
        (QueueHandle::new(Some(Arc::clone(&record) as _)), record)
    }

    fn everything() -> [Notice; 5] {
        let task = task(1);
        [
            Notice::WorkReady,
            Notice::TaskChanged { task },
            Notice::TaskAsks { task },
            Notice::TaskEnded { task },
            Notice::AttemptStopped { task, attempt: 1 },
        ]
    }

    #[test]
    fn what_matters_to_other_processes_is_announced() {
        let (handle, record) = beside_others();
        handle.nudge();
        handle.announce_change(task(1));
        handle.announce_question(task(1));
        handle.announce_end(task(1));
        handle.stop_attempt(task(1), 1);
        assert_eq!(record.take(), everything());
        handle.announce_cancelled(&[task(1)]);
        assert_eq!(record.take(), [Notice::TaskEnded { task: task(1) }]);
    }

    #[test]
    fn what_is_heard_is_not_announced_again() {
        let (handle, record) = beside_others();
        everything().iter().for_each(|notice| handle.hear(notice));
        handle.hear_missed();
        assert_eq!(record.take(), []);
    }

    #[test]
    fn work_is_offered_to_others_only_when_the_worker_here_has_its_hands_full() {
        let (handle, record) = beside_others();
        let slots = Arc::new(Slots::new(1));
        let at_work = handle.begin_work(Arc::clone(&slots));
        handle.nudge();
        assert_eq!(record.take(), []);
        let aside = slots.put_aside(1);
        handle.nudge();
        assert_eq!(record.take(), [Notice::WorkReady]);
        drop(aside);
        drop(at_work);
        handle.nudge();
        assert_eq!(record.take(), [Notice::WorkReady]);
    }

    #[test]
    fn heard_work_wakes_the_worker_and_a_heard_end_wakes_who_tells_those_that_depend_on_it() {
        let handle = QueueHandle::default();
        handle.hear(&Notice::WorkReady);
        assert!(handle.nudged().now_or_never().is_some());
        handle.hear(&Notice::TaskEnded { task: task(1) });
        assert!(handle.ended().now_or_never().is_none());
        handle.note_dependencies(&[task(1)]);
        handle.hear(&Notice::TaskEnded { task: task(1) });
        assert!(handle.ended().now_or_never().is_some());
        handle.hear_missed();
        assert!(handle.nudged().now_or_never().is_some() && handle.ended().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_and_watch_here_hear_at_once_what_happens_elsewhere() {
        const LONG: std::time::Duration = std::time::Duration::from_secs(60);
        let handle = QueueHandle::default();
        let begun = tokio::time::Instant::now();
        for notice in [
            Notice::TaskAsks { task: task(1) },
            Notice::TaskEnded { task: task(1) },
        ] {
            let (mut waiting, mut watching) = (handle.subscribe(task(1)), handle.watch(task(1)));
            handle.hear(&notice);
            waiting.wait(LONG).await;
            watching.wait(LONG).await;
        }
        let (mut waiting, mut watching) = (handle.subscribe(task(1)), handle.watch(task(1)));
        handle.hear(&Notice::TaskChanged { task: task(1) });
        watching.wait(LONG).await;
        handle.hear_missed();
        waiting.wait(LONG).await;
        watching.wait(LONG).await;
        assert!(begun.elapsed() < LONG);
    }
}
