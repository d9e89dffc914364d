//! What must hold after every step, read from the store's ports alone.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use model::{
    Answers, AttemptEnd, Direction, ExecutionOutcome, Inquiry, PageLimit, PageRequest, Sort, Standing, Store,
    Task, TaskEvent, TaskFilter, TaskId, TaskKind, TaskSort, TaskStatus, Timestamp,
};

use crate::faulty::Method;

/// How long a lease lasts; what the queue promises.
const LEASE: Duration = Duration::from_secs(15);

/// The state of all tasks, as last seen.
#[derive(Default)]
pub(super) struct Checker {
    tasks: BTreeMap<TaskId, Task>,
    /// Tasks whose submission was acknowledged, and whose deletion was not asked for.
    promised: BTreeSet<TaskId>,
    /// Tasks whose cancellation was acknowledged, and for which nobody asked anew, with the process that did it.
    called_off: HashMap<TaskId, u64>,
    /// Attempts that need no record: handed back, or called off.
    unrecorded: HashSet<(TaskId, u32)>,
    /// Tries that a plugin was called for.
    begun: HashSet<(TaskId, u32)>,
    /// Whether several processes use the store: then nobody may void the leases of others.
    pub(super) is_shared: bool,
    /// The latest moment that any clock has shown.
    pub(super) latest: Timestamp,
    /// How many changes were seen of each sort.
    pub(super) seen: BTreeMap<&'static str, u64>,
}

impl Checker {
    /// A checker that knows of tasks, all of them promised.
    pub(super) fn knowing(tasks: BTreeMap<TaskId, Task>) -> Self {
        Self {
            promised: tasks.keys().copied().collect(),
            tasks,
            ..Self::default()
        }
    }

    /// Notes that a task was acknowledged: it must be there from now on.
    pub(super) fn promise(&mut self, id: TaskId) {
        assert!(
            self.tasks.contains_key(&id),
            "I1: {id} is acknowledged and not there"
        );
        self.promised.insert(id);
    }

    /// Notes that a task may be gone from now on.
    pub(super) fn release(&mut self, id: TaskId) {
        self.promised.remove(&id);
    }

    /// Notes that a task was acknowledged as called off; somebody may have asked for it anew already.
    pub(super) fn called_off(&mut self, id: TaskId, process: u64) {
        let status = self.tasks.get(&id).map(|task| task.standing.status);
        if status == Some(TaskStatus::Cancelled) {
            self.called_off.insert(id, process);
        }
    }

    /// Notes that a process called a plugin for a try.
    pub(super) fn has_begun(&mut self, task: TaskId, (attempt, answers): (u32, &Answers), process: u64) {
        // Another process may not have heard of it yet; what it does is refused.
        assert_ne!(
            self.called_off.get(&task),
            Some(&process),
            "I6: attempt {attempt} of {task} began after its cancel was acknowledged"
        );
        assert!(
            self.begun.insert((task, attempt)),
            "I3: attempt {attempt} of {task} began twice"
        );
        if let Some(found) = self.tasks.get(&task) {
            assert!(attempt <= found.standing.attempt, "I3: {attempt} of {found:?}");
            if attempt == found.standing.attempt && found.standing.lease.is_some() {
                let asked = found.inquiry.as_ref().map(Inquiry::answers);
                assert_eq!(
                    *answers,
                    asked.unwrap_or_default(),
                    "told something else: {found:?}"
                );
            }
        }
    }

    /// Every task, as last seen.
    pub(super) fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values()
    }

    /// A task, as last seen.
    pub(super) fn task(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(&id)
    }

    /// Looks at everything after a call of `method` had its effect.
    pub(super) async fn look(&mut self, store: &dyn Store, method: Method) {
        self.compare(all_tasks(store).await, method);
    }

    /// Compares what is found after a call of `method` with what was there before.
    pub(super) fn compare(&mut self, found: BTreeMap<TaskId, Task>, method: Method) {
        let known = std::mem::take(&mut self.tasks);
        for (id, before) in &known {
            match found.get(id) {
                Some(after) if before.standing == after.standing => {}
                Some(after) => {
                    let change = explain(method, before, after);
                    *self.seen.entry(change).or_default() += 1;
                    self.note(before, after);
                    assert_dependencies(&found, after, change);
                }
                None => {
                    assert!(!self.promised.contains(id), "I1: {id} is gone after {method}");
                    let may_remove = matches!(method, "delete_task" | "remove_finished_tasks");
                    assert!(may_remove, "I1: {id} is gone after {method}");
                }
            }
        }
        for (id, task) in &found {
            assert_sound(task);
            if !known.contains_key(id) {
                let may_add = matches!(method, "submit_task" | "submit_tasks" | "fire_schedule");
                assert!(may_add, "{method} added {task:?}");
                assert_eq!(task.standing.attempt, 0, "{task:?}");
                *self.seen.entry("submitted").or_default() += 1;
            }
        }
        self.tasks = found;
        self.assert_unique();
    }

    /// Notes what follows from a change for what is to be seen later.
    fn note(&mut self, before: &Task, after: &Task) {
        let was_held = before.standing.lease.is_some();
        let (from, to) = (before.standing, after.standing);
        let is_counted = (from.retry_count, from.stall_count) != (to.retry_count, to.stall_count);
        let is_uncounted = to.status == TaskStatus::Pending && !is_counted;
        let is_handed_back = was_held && is_uncounted && !to.awaits_input;
        let is_called_off = was_held && to.status == TaskStatus::Cancelled;
        if is_handed_back || is_called_off {
            self.unrecorded.insert((before.id, from.attempt));
        }
        if from.status.is_final() && !to.status.is_final() {
            self.called_off.remove(&before.id);
        }
        let is_abandoned = from.stall_count < to.stall_count;
        let has_expired = from.lease.is_some_and(|lease| lease.until <= self.latest);
        assert!(
            !is_abandoned || has_expired || !self.is_shared,
            "I4: taken over before its lease had ended on any clock: {before:?}"
        );
        assert!(
            from.attempt == to.attempt || from.due_at <= self.latest,
            "I6: started before its time on every clock: {after:?}"
        );
        assert!(
            !self.called_off.contains_key(&before.id) || to.lease.is_none(),
            "I6: started after an acknowledged cancel: {after:?}"
        );
    }

    /// I9 and I10: what must be there once is there once.
    fn assert_unique(&self) {
        let mut keys = HashSet::new();
        let mut ticks = HashSet::new();
        for task in self.tasks.values() {
            if let Some(key) = &task.unique_key
                && !task.standing.status.is_final()
            {
                assert!(keys.insert((task.user_id, key.clone())), "I9: twice: {task:?}");
            }
            if let (Some(schedule), Some(tick)) = (task.schedule_id, task.scheduled_at) {
                assert!(ticks.insert((schedule, tick)), "I10: twice: {task:?}");
            }
        }
    }

    /// I7: the counts add up.
    pub(super) async fn count(&self, store: &dyn Store) {
        let depth = store.queue_depth().await.unwrap();
        let jobs = || {
            self.tasks
                .values()
                .map(|task| task.standing)
                .filter(|standing| standing.kind == TaskKind::Job)
        };
        let count =
            |is_one: &dyn Fn(&Standing) -> bool| u64::try_from(jobs().filter(is_one).count()).unwrap();
        let pending = |standing: &Standing| standing.status == TaskStatus::Pending;
        let waiting = depth.ready.iter().sum::<u64>() + depth.scheduled;
        assert_eq!(
            waiting,
            count(&|standing| pending(standing) && standing.unmet == 0 && !standing.awaits_input),
            "I7: {depth:?}"
        );
        assert_eq!(
            depth.awaiting_input,
            count(&|standing| standing.awaits_input),
            "I7: {depth:?}"
        );
        assert_eq!(
            depth.blocked,
            count(&|standing| pending(standing) && standing.unmet > 0),
            "I7: {depth:?}"
        );
        assert_eq!(
            depth.in_progress,
            count(&|standing| standing.lease.is_some()),
            "I7: {depth:?}"
        );
        let overview = store
            .task_overview(None, Timestamp::default(), 100)
            .await
            .unwrap();
        let mut counted = HashMap::new();
        for entry in overview.counts.iter().filter(|entry| entry.count > 0) {
            let sort = (entry.status, entry.priority, entry.plugin.clone());
            *counted.entry(sort).or_insert(0) += entry.count;
        }
        let mut expected = HashMap::new();
        for task in self.tasks.values() {
            let plugin = task.job.as_ref().map(|job| job.plugin.clone());
            *expected
                .entry((task.standing.status, task.priority, plugin))
                .or_insert(0) += 1;
        }
        assert_eq!(counted, expected, "I7");
    }

    /// I2 and I5: the history agrees with the tasks. To be called when nothing is going on any more.
    pub(super) async fn read_history(&self, store: &dyn Store) {
        for task in self.tasks.values() {
            let calls = store.list_attempts(task.id, 1_000).await.unwrap();
            let mut recorded = HashSet::new();
            let mut succeeded = HashSet::new();
            let mut results = Vec::new();
            for call in calls {
                let attempt = call.task.map(|tried| tried.attempt).unwrap();
                assert!(attempt <= task.standing.attempt, "I3: {call:?} of {task:?}");
                // An attempt that was taken over may be there twice: once from whoever took it, once from itself.
                let is_first = recorded.insert(attempt);
                match call.outcome {
                    ExecutionOutcome::Success(result) => {
                        assert!(is_first && succeeded.insert(attempt), "I2: {attempt} of {task:?}");
                        results.push(result);
                    }
                    ExecutionOutcome::Failure(_) => {
                        assert!(!succeeded.contains(&attempt), "I2: {attempt} of {task:?}");
                    }
                    ExecutionOutcome::Running => panic!("I5: never closed: {attempt} of {task:?}"),
                }
            }
            let expected: Vec<_> = task.result.clone().into_iter().collect();
            assert_eq!(results, expected, "I2: {task:?}");
            for attempt in 1..=task.standing.attempt {
                let may_lack = self.unrecorded.contains(&(task.id, attempt));
                assert!(
                    may_lack || recorded.contains(&attempt),
                    "I5: attempt {attempt} of {task:?} has no record"
                );
            }
        }
    }

    /// Forgets everything, between two rounds on one store.
    pub(super) fn forget(&mut self) {
        let seen = std::mem::take(&mut self.seen);
        *self = Self {
            seen,
            is_shared: self.is_shared,
            ..Self::default()
        };
    }
}

/// Says what a change was, if a call of `method` may make it.
fn explain(method: Method, before: &Task, after: &Task) -> &'static str {
    let (from, to) = (before.standing, after.standing);
    let becomes = |event| from.after(event).is_ok_and(|expected| expected == to);
    let due_at = to.due_at;
    let explained = match method {
        "claim_tasks" => to.lease.zip(after.started_at).and_then(|(lease, now)| {
            // Shorter on a clock that was set back since the task became due: it starts at its due time then.
            let lasts = lease.until.since(now) <= LEASE;
            (lasts && becomes(TaskEvent::Claimed { lease, now })).then_some("claimed")
        }),
        "renew_leases" => to.lease.and_then(|lease| {
            let attempt = from.attempt;
            becomes(TaskEvent::Renewed { attempt, lease }).then_some("renewed")
        }),
        "finish_task" => {
            let ends = [
                (AttemptEnd::Succeeded, "succeeded"),
                (AttemptEnd::FailedForGood, "failed for good"),
                (AttemptEnd::Failed { retry_at: due_at }, "failed"),
                (AttemptEnd::HandedBack { due_at }, "handed back"),
                (AttemptEnd::Asked, "asked"),
            ];
            let attempt = from.attempt;
            let fits = |(end, _): &(AttemptEnd, _)| becomes(TaskEvent::Ended { attempt, end: *end });
            ends.into_iter().find(fits).map(|(_, name)| name)
        }
        "release_expired" => becomes(TaskEvent::Abandoned { due_at }).then_some("abandoned"),
        "settle_dependents" => explain_settling(from, to),
        "cancel_task" => becomes(TaskEvent::Cancelled).then_some("cancelled"),
        "retry_task" => {
            let (now, unmet) = (due_at, to.unmet);
            becomes(TaskEvent::Retried { now, unmet }).then_some("retried")
        }
        "answer_task" => becomes(TaskEvent::Answered).then_some("answered"),
        "update_task" => explain_update(from, to),
        "hasten_task" => becomes(TaskEvent::Hastened { now: due_at }).then_some("hastened"),
        _ => None,
    };
    explained.unwrap_or_else(|| panic!("{method} may not change\n{before:?}\nto\n{after:?}"))
}

/// People move to-dos, and say anew when and how often a task that waits is tried.
fn explain_update(from: Standing, to: Standing) -> Option<&'static str> {
    let redefined = Standing {
        due_at: to.due_at,
        max_retries: to.max_retries,
        ..from
    };
    if from.status == TaskStatus::Pending && redefined == to {
        return Some("redefined");
    }
    let moved = redefined.after(TaskEvent::Moved { to: to.status });
    moved.is_ok_and(|moved| moved == to).then_some("moved")
}

/// Several of the tasks that one depends on may have ended.
fn explain_settling(from: Standing, to: Standing) -> Option<&'static str> {
    let mut standing = from;
    while let Ok(next) = standing.after(TaskEvent::DependencyCompleted) {
        standing = next;
        if standing == to {
            return Some("dependency completed");
        }
    }
    let mut standing = Ok(from);
    while let Ok(waiting) = standing {
        if waiting
            .after(TaskEvent::DependencyLost)
            .is_ok_and(|lost| lost == to)
        {
            return Some("dependency lost");
        }
        standing = waiting.after(TaskEvent::DependencyCompleted);
    }
    None
}

/// What holds of those that a task depends on after it was claimed or asked for anew; what is removed had ended.
fn assert_dependencies(found: &BTreeMap<TaskId, Task>, task: &Task, change: &str) {
    let others = || {
        let others = task.depends_on.iter().filter_map(|id| found.get(id));
        others.map(|other| other.standing.status)
    };
    if change == "claimed" {
        let are_met = others().all(|status| status == TaskStatus::Completed);
        assert!(are_met, "I6: started before what it depends on: {task:?}");
    }
    if change == "retried" {
        let is_any_lost = others().any(|status| matches!(status, TaskStatus::Failed | TaskStatus::Cancelled));
        assert!(!is_any_lost, "I6: waits for what doesn't come: {task:?}");
        let open = others().filter(|status| !status.is_final()).count();
        assert_eq!(
            usize::try_from(task.standing.unmet).unwrap(),
            open,
            "I6: {task:?}"
        );
    }
}

/// What holds of one task at any moment.
fn assert_sound(task: &Task) {
    let standing = task.standing;
    let status = standing.status;
    let is_held_job = standing.kind == TaskKind::Job && status == TaskStatus::InProgress;
    assert_eq!(standing.lease.is_some(), is_held_job, "I4: {task:?}");
    assert!(standing.retry_count <= standing.max_retries, "I5: {task:?}");
    let is_over = standing.stall_count > standing.max_stalls;
    assert!(!is_over || status == TaskStatus::Failed, "I5: {task:?}");
    assert_eq!(task.finished_at.is_some(), status.is_final(), "{task:?}");
    let is_asking = task
        .inquiry
        .as_ref()
        .is_some_and(|inquiry| !inquiry.is_answered());
    assert_eq!(is_asking, standing.awaits_input, "{task:?}");
    let is_waiting = status == TaskStatus::Pending && standing.unmet == 0;
    assert!(!standing.awaits_input || is_waiting, "{task:?}");
    assert!(task.inquiry.is_none() || !status.is_final(), "{task:?}");
    let has_started = task.started_at.is_some();
    let is_to_do = standing.kind == TaskKind::ToDo;
    assert!(is_to_do || has_started == (standing.attempt > 0), "{task:?}");
    let is_result_due = standing.kind == TaskKind::Job && status == TaskStatus::Completed;
    assert_eq!(task.result.is_some(), is_result_due, "{task:?}");
    if is_held_job && let (Some(started), Some(scheduled)) = (task.started_at, task.scheduled_at) {
        // Whoever hastened it or asked anew brought its due time forward.
        let is_in_time = started >= scheduled || standing.due_at < scheduled;
        assert!(is_in_time, "I6: {task:?}");
    }
}

/// Every task that the store holds.
async fn all_tasks(store: &dyn Store) -> BTreeMap<TaskId, Task> {
    let mut tasks = BTreeMap::new();
    let mut request = PageRequest {
        limit: PageLimit::new(PageLimit::MAX).unwrap(),
        sort: Sort {
            field: TaskSort::CreatedAt,
            direction: Direction::Ascending,
        },
        after: None,
    };
    loop {
        let page = store.list_tasks(&TaskFilter::default(), &request).await.unwrap();
        tasks.extend(page.items.into_iter().map(|task| (task.id, task)));
        if page.next.is_none() {
            return tasks;
        }
        request.after = page.next;
    }
}
