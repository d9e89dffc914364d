//! Tasks in numbers.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use model::{
    AttemptEnd, NewTask, Priority, QueueDepth, Store, Task, TaskChange, TaskCount, TaskFilter, TaskKind,
    TaskOverview, TaskSort, TaskStatus, Timestamp, UserId,
};

use super::{claimed, claimed_one, end, found, submit};
use crate::{
    engine::Engine,
    make::{action, count, job, job_of, moment, plugin, recurring, task_id, to_do, unique_key, user_id},
    walk::{BOTH, first_page, walk},
};

crate::on_every_engine![
    i07_counts_add_up_to_the_tasks_after_every_kind_of_change,
    wait_and_run_times_are_those_of_the_jobs_that_ended_last,
    a_job_that_never_started_has_no_times,
    the_job_that_is_ready_longest_is_named,
    b01_an_overview_of_ones_own_counts_nothing_of_others,
];

/// Counts by status, priority and plugin, as texts, so that they can be compared.
type Counts = BTreeMap<(&'static str, &'static str, Option<String>), u64>;

fn counts_of(entries: Vec<TaskCount>) -> Counts {
    let mut counts = Counts::new();
    for entry in entries {
        assert!(entry.count > 0, "what isn't there isn't named");
        let plugin = entry.plugin.map(|plugin| plugin.to_string());
        let kind = (entry.status.as_str(), entry.priority.as_str(), plugin);
        assert_eq!(counts.insert(kind, entry.count), None, "each sort is named once");
    }
    counts
}

async fn overview(store: &Arc<dyn Store>, owner: Option<UserId>) -> TaskOverview {
    store.task_overview(owner, moment(0), 10_000).await.unwrap()
}

async fn all_tasks(store: &Arc<dyn Store>) -> Vec<Task> {
    let list = async |request: &_| store.list_tasks(&TaskFilter::default(), request).await;
    walk(first_page(TaskSort::CreatedAt, BOTH[0], 100), list).await.0
}

/// Checks that every number that the store gives of its tasks is what one gets by looking at each of them.
async fn check_numbers(store: &Arc<dyn Store>) {
    let tasks = all_tasks(store).await;
    for owner in [None, Some(user_id(1)), Some(user_id(2))] {
        let mut expected = Counts::new();
        let own: Vec<&Task> = tasks
            .iter()
            .filter(|task| owner.is_none() || task.user_id == owner)
            .collect();
        for task in &own {
            let plugin = task.job.as_ref().map(|job| job.plugin.to_string());
            let kind = (task.standing.status.as_str(), task.priority.as_str(), plugin);
            *expected.entry(kind).or_default() += 1;
        }
        let overview = overview(store, owner).await;
        assert_eq!(counts_of(overview.counts), expected);
        let ended = own
            .iter()
            .filter(|task| task.standing.kind == TaskKind::Job && task.standing.status.is_final())
            .count();
        assert_eq!(overview.ended, u64::try_from(ended).unwrap());
    }
    check_depth(&tasks, &store.queue_depth().await.unwrap());
}

fn check_depth(tasks: &[Task], depth: &QueueDepth) {
    let jobs = || tasks.iter().filter(|task| task.standing.kind == TaskKind::Job);
    let pending = || jobs().filter(|task| task.standing.status == TaskStatus::Pending);
    let number = |count: usize| u64::try_from(count).unwrap();
    let held = jobs().filter(|task| task.standing.lease.is_some()).count();
    assert_eq!(depth.in_progress, number(held));
    let blocked = pending().filter(|task| task.standing.unmet > 0).count();
    assert_eq!(depth.blocked, number(blocked));
    // Which of these are due is a matter of the time.
    let free = pending().filter(|task| task.standing.unmet == 0).count();
    assert_eq!(depth.ready.iter().sum::<u64>() + depth.scheduled, number(free));
    for (priority, ready) in Priority::ALL.into_iter().zip(depth.ready) {
        let most = pending().filter(|task| task.priority == priority).count();
        assert!(ready <= number(most));
    }
    for task in tasks {
        let is_held = task.standing.kind == TaskKind::Job && task.standing.status == TaskStatus::InProgress;
        assert_eq!(task.standing.lease.is_some(), is_held);
        assert_eq!(task.finished_at.is_some(), task.standing.status.is_final());
    }
}

/// Numbers that look like chance and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn any_task(dice: &mut Dice, number: u64) -> NewTask {
    let mut task = match dice.below(6) {
        0 => to_do(number),
        1 => recurring(number, 100_000),
        _ => job(number),
    };
    let owner = dice.below(3);
    task.user_id = (owner > 0).then(|| user_id(owner));
    task.priority = Priority::ALL[usize::try_from(dice.below(4)).unwrap()];
    task.patience.max_retries = 1;
    task.patience.max_stalls = 1;
    if let (Some(job), 0) = (&mut task.job, dice.below(3)) {
        (job.plugin, job.action) = (plugin("other"), action("run"));
    }
    task.scheduled_at = (dice.below(4) == 0).then(|| moment(count(number + dice.below(100))));
    task.unique_key = unique_key(&format!("key {}", dice.below(20))).filter(|_| number.is_multiple_of(3));
    if dice.below(3) == 0 {
        task.depends_on = vec![task_id(1 + dice.below(number))];
    }
    task
}

/// Does one thing that may be refused; nothing else may go wrong with it.
async fn stir(store: &Arc<dyn Store>, dice: &mut Dice, now: u64) {
    let at = moment(count(now));
    let any = task_id(1 + dice.below(now));
    let statuses = TaskStatus::ALL;
    let result = match dice.below(14) {
        0..=3 => store.submit_task(any_task(dice, now)).await.map(drop),
        4 => store.cancel_task(any, None, at).await.map(drop),
        5 => store.retry_task(any, None, at).await.map(drop),
        6 => store.hasten_task(any, None, at).await.map(drop),
        7 => store.delete_task(any, None).await.map(drop),
        8 | 9 => {
            let status = (dice.below(2) == 0).then(|| statuses[usize::try_from(dice.below(5)).unwrap()]);
            let priority = Some(Priority::ALL[usize::try_from(dice.below(4)).unwrap()]);
            let time = (dice.below(2) == 0).then(|| Some(moment(count(now + dice.below(50)))));
            let change = TaskChange {
                status,
                priority: priority.filter(|_| status.is_none()),
                scheduled_at: time.filter(|_| status.is_none()),
                ..TaskChange::default()
            };
            store.update_task(any, None, change, at).await.map(drop)
        }
        10 => store.settle_dependents(at, 3).await.map(drop),
        11 => store.release_expired(at, at, 2).await.map(drop),
        12 if dice.below(8) == 0 => store.remove_finished_tasks(at, 2).await.map(drop),
        _ => work(store, dice, count(now)).await,
    };
    if let Err(error) = result {
        assert!(!error.is_retryable(), "{error:?}");
        assert_ne!(error.code(), model::ErrorCode::Internal, "{error:?}");
    }
}

async fn work(store: &Arc<dyn Store>, dice: &mut Dice, now: i64) -> model::Result<()> {
    let mut request = crate::make::claim(now, 2);
    request.lease_until = moment(now + 20);
    for held in store.claim_tasks(request).await?.tasks {
        let retry_at = moment(now + count(dice.below(30)));
        let ending = match dice.below(6) {
            0 | 1 => AttemptEnd::Succeeded,
            2 => AttemptEnd::FailedForGood,
            3 => AttemptEnd::Failed { retry_at },
            4 => AttemptEnd::HandedBack { due_at: retry_at },
            _ => continue,
        };
        end(store, &held, ending, now).await?;
    }
    Ok(())
}

async fn i07_counts_add_up_to_the_tasks_after_every_kind_of_change(engine: impl Engine) {
    let mut store = engine.open().await;
    let mut dice = Dice(0x1234_5678_9abc_def1);
    for now in 1..=1_200 {
        stir(&store, &mut dice, now).await;
        if now.is_multiple_of(60) {
            check_numbers(&store).await;
        }
        if now.is_multiple_of(400) {
            store.close().await.unwrap();
            drop(store);
            store = engine.open().await;
            check_numbers(&store).await;
        }
    }
    assert!(all_tasks(&store).await.len() > 50);
}

/// Runs a job that is ready at `number`, started at `started` and ended at `ended`.
async fn run(store: &Arc<dyn Store>, task: NewTask, (started, ended): (i64, i64)) {
    submit(store, task).await;
    let held = claimed_one(store, started).await;
    end(store, &held, AttemptEnd::Succeeded, ended).await.unwrap();
}

fn millis(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap())
}

async fn wait_and_run_times_are_those_of_the_jobs_that_ended_last(engine: impl Engine) {
    let store = engine.open().await;
    let empty = overview(&store, None).await;
    assert_eq!((empty.ended, empty.wait, empty.run), (0, None, None));
    for number in 1..=100 {
        let begin = 1_000 * number;
        let (started, ended) = (begin + number, begin + number + 2 * number);
        run(&store, job(u64::try_from(begin).unwrap()), (started, ended)).await;
    }
    let all = overview(&store, None).await;
    assert_eq!(all.ended, 100);
    let wait = all.wait.unwrap();
    assert_eq!(
        [wait.p50, wait.p95, wait.p99],
        [millis(50), millis(95), millis(99)]
    );
    let run = all.run.unwrap();
    assert_eq!(
        [run.p50, run.p95, run.p99],
        [millis(100), millis(190), millis(198)]
    );
    let latest = store.task_overview(None, moment(0), 10).await.unwrap();
    assert_eq!(latest.ended, 10);
    assert_eq!(latest.wait.unwrap().p50, millis(95));
    assert_eq!(latest.wait.unwrap().p99, millis(100));
    let since = store.task_overview(None, moment(100_300), 10).await.unwrap();
    assert_eq!((since.ended, since.run.unwrap().p50), (1, millis(200)));
    assert_eq!(since.counts.len(), 1);
    assert_eq!(since.counts[0].count, 100, "counts are of all");
    let none = store.task_overview(None, moment(100_301), 10).await.unwrap();
    assert_eq!((none.ended, none.wait), (0, None));
}

async fn a_job_that_never_started_has_no_times(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, job(1)).await;
    submit(&store, to_do(2)).await;
    submit(&store, recurring(3, 900)).await;
    for number in 1..=3 {
        store
            .cancel_task(task_id(number), None, moment(10))
            .await
            .unwrap();
    }
    let all = overview(&store, None).await;
    assert_eq!((all.ended, all.wait, all.run), (1, None, None));
    // One that waited to be tried again: how long is no time of its first try.
    submit(&store, job(4)).await;
    let held = claimed_one(&store, 100).await;
    let again = AttemptEnd::Failed {
        retry_at: moment(150),
    };
    end(&store, &held, again, 200).await.unwrap();
    store.cancel_task(task_id(4), None, moment(300)).await.unwrap();
    let all = overview(&store, None).await;
    assert_eq!((all.ended, all.wait, all.run), (2, None, None));
}

async fn the_job_that_is_ready_longest_is_named(engine: impl Engine) {
    let store = engine.open().await;
    let oldest = async |owner: Option<u64>| -> Option<Timestamp> {
        overview(&store, owner.map(user_id)).await.oldest_pending
    };
    assert_eq!(oldest(None).await, None);
    let mut later = job_of(2, 1);
    later.scheduled_at = Some(moment(900));
    submit(&store, later).await;
    submit(&store, to_do(2)).await;
    assert_eq!(oldest(None).await, None, "nothing waits for a worker");
    for (owner, number, priority) in [
        (2, 30, Priority::High),
        (1, 20, Priority::Low),
        (2, 10, Priority::Low),
    ] {
        submit(
            &store,
            NewTask {
                priority,
                ..job_of(owner, number)
            },
        )
        .await;
    }
    assert_eq!(oldest(None).await, Some(moment(10)));
    assert_eq!(oldest(Some(1)).await, Some(moment(20)));
    assert_eq!(oldest(Some(3)).await, None);
    assert_eq!(store.queue_depth().await.unwrap().oldest_ready, Some(moment(10)));
    assert_eq!(claimed(&store, 100, 10).await.len(), 3);
    assert_eq!(oldest(None).await, None);
    assert_eq!(found(&store, 1).await.standing.status, TaskStatus::Pending);
}

async fn b01_an_overview_of_ones_own_counts_nothing_of_others(engine: impl Engine) {
    let store = engine.open().await;
    for (owner, begin, took) in [(1, 1_000, 10), (2, 2_000, 20), (1, 3_000, 10), (2, 4_000, 20)] {
        let number = u64::try_from(begin).unwrap();
        run(&store, job_of(owner, number), (begin + took, begin + 3 * took)).await;
    }
    for (owner, took) in [(1, 10), (2, 20)] {
        let own = overview(&store, Some(user_id(owner))).await;
        assert_eq!((own.ended, own.counts.len(), own.counts[0].count), (2, 1, 2));
        assert_eq!(own.wait.unwrap().p99, millis(took));
        assert_eq!(own.run.unwrap().p50, millis(2 * took));
    }
    let nobody = overview(&store, Some(user_id(404))).await;
    assert!(nobody.counts.is_empty() && nobody.ended == 0 && nobody.oldest_pending.is_none());
}
