//! Tasks in the shared store: what processes that died leave in it, and several processes at one queue.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ::mongodb::bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use futures_util::TryStreamExt as _;
use model::{AttemptEnd, ClaimRequest, ExecutionOutcome, Priority, Store, TaskStatus};
use serde_json::json;

use crate::{
    engine::{Engine as _, Mongo, Tapped},
    make::{
        claim, ending, job, job_after, job_at, job_of, moment, number_of, plugin, recurring, task_id, tool,
        user_id, worker,
    },
};

/// Makes a test of each case, on a database of its own.
macro_rules! cases {
    ($($case:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            if Mongo::is_there() {
                on::$case(Mongo::default()).await;
            }
        }
    )*};
}

cases![
    g04_tasks_that_a_process_died_while_writing_never_count,
    g04_tasks_that_count_are_there_although_their_process_died,
    g04_a_call_that_a_process_that_died_was_to_record_is_recorded_once,
    g04_a_job_of_a_tick_that_a_process_that_died_was_to_submit_is_submitted_once,
    g04_a_task_is_told_of_an_end_that_no_process_told_it_of,
    a_claim_takes_three_round_trips_however_many_tasks_it_gets,
    a_claim_of_what_has_become_due_takes_three_round_trips_too,
    ends_that_come_at_once_take_few_round_trips_however_many_they_are,
    of_ends_written_together_only_the_one_that_comes_too_late_is_refused,
    a_claim_looks_at_as_many_tasks_as_it_gets_whatever_else_waits,
    numbers_are_read_from_indexes_alone,
    owners_take_turns_whichever_process_they_and_the_workers_are_at,
    of_claims_of_many_processes_each_task_goes_to_one,
    c08_texts_are_never_a_part_of_a_query,
    c08_what_is_as_long_as_may_be_fits_into_the_documents,
];

async fn tasks(place: &Mongo) -> ::mongodb::Collection<Document> {
    place.raw().await.collection("tasks")
}

async fn numbers(store: &Arc<dyn Store>, now: i64, limit: u16) -> Vec<u64> {
    let claimed = store.claim_tasks(claim(now, limit)).await.unwrap();
    claimed.tasks.iter().map(|held| number_of(held.task.id)).collect()
}

/// Puts two tasks back to where they are before they count, in a batch in this state.
async fn staged(place: &Mongo, state: i32) {
    let store = place.open().await;
    store
        .submit_tasks(vec![job(1), job_after(&[1], 2)])
        .await
        .unwrap();
    store.close().await.unwrap();
    let batch = ObjectId::new();
    let begun = DateTime::from_millis(DateTime::now().timestamp_millis() - 60_000);
    let batches = place.raw().await.collection::<Document>("task_batches");
    batches
        .insert_one(doc! { "_id": batch, "s": state, "at": begun })
        .await
        .unwrap();
    let staging = vec![
        doc! { "$set": { "s": -1, "b": batch, "bq": "$q" } },
        doc! { "$unset": "q" },
    ];
    let changed = tasks(place)
        .await
        .update_many(doc! { "v": { "$exists": true } }, staging)
        .await;
    assert_eq!(changed.unwrap().matched_count, 2);
}

/// What the server did while `work` was done.
async fn profiled(place: &Mongo, work: impl Future<Output = ()>) -> Vec<Document> {
    let database = place.raw().await;
    database.run_command(doc! { "profile": 2 }).await.unwrap();
    work.await;
    database.run_command(doc! { "profile": 0 }).await.unwrap();
    let profile = database.collection::<Document>("system.profile");
    let done = profile.find(doc! { "ns": format!("{}.tasks", database.name()) });
    done.await.unwrap().try_collect().await.unwrap()
}

/// What a claim takes.
fn a_claim() -> BTreeMap<String, u64> {
    let commands = ["aggregate", "find", "update"];
    commands.into_iter().map(|name| (name.to_owned(), 1)).collect()
}

/// How many of something the server counted in all that it did.
fn sum(done: &[Document], of: &str) -> i64 {
    let numbers = done.iter().filter_map(|entry| entry.get(of));
    numbers
        .map(|number| {
            number
                .as_i64()
                .unwrap_or_else(|| i64::from(number.as_i32().unwrap_or(0)))
        })
        .sum()
}

/// 3,000 tasks: ready ones of two plugins, and some that wait for their time.
async fn crowd(store: &Arc<dyn Store>) {
    for part in 0..3 {
        let tasks = (1..=1_000).map(|number| {
            let mut task = job_of(number % 10, part * 1_000 + number);
            match part {
                0 => task.job.as_mut().unwrap().plugin = plugin("full"),
                1 => task.scheduled_at = Some(moment(9_000_000)),
                _ => {}
            }
            task
        });
        store.submit_tasks(tasks.collect()).await.unwrap();
    }
}

mod on {
    use super::*;

    pub(super) async fn a_claim_looks_at_as_many_tasks_as_it_gets_whatever_else_waits(place: Mongo) {
        let store = place.open().await;
        crowd(&store).await;
        let request = ClaimRequest {
            room: vec![(plugin("full"), 0)],
            ..claim(5_000, 5)
        };
        store.claim_tasks(request.clone()).await.unwrap();
        let done = profiled(&place, async {
            let claimed = store.claim_tasks(request).await.unwrap();
            assert_eq!(claimed.tasks.len(), 5);
        })
        .await;
        let (tasks, keys) = (sum(&done, "docsExamined"), sum(&done, "keysExamined"));
        assert!(tasks <= 40 && keys <= 80, "{tasks} tasks, {keys} keys: {done:#?}");
    }

    pub(super) async fn numbers_are_read_from_indexes_alone(place: Mongo) {
        let store = place.open().await;
        crowd(&store).await;
        let done = profiled(&place, async {
            let depth = store.queue_depth().await.unwrap();
            assert_eq!((depth.ready, depth.scheduled), ([0, 2_000, 0, 0], 1_000));
            let overview = store.task_overview(None, moment(0), 10).await.unwrap();
            assert_eq!(overview.counts.len(), 2);
        })
        .await;
        let tasks = sum(&done, "docsExamined");
        assert!(tasks <= 4, "{tasks} tasks: {done:#?}");
    }

    pub(super) async fn g04_tasks_that_a_process_died_while_writing_never_count(place: Mongo) {
        staged(&place, 0).await;
        let store = place.open().await;
        for number in [1, 2] {
            assert!(store.find_task(task_id(number), None).await.unwrap().is_none());
        }
        let overview = store.task_overview(None, moment(0), 10).await.unwrap();
        assert!(overview.counts.is_empty() && numbers(&store, 100, 10).await.is_empty());
        store.settle_dependents(moment(100), 10).await.unwrap();
        let left = tasks(&place)
            .await
            .count_documents(doc! { "v": { "$exists": true } })
            .await;
        assert_eq!(left.unwrap(), 0);
        assert!(store.submit_task(job(1)).await.unwrap().is_new);
        assert_eq!(numbers(&store, 200, 10).await, [1]);
    }

    pub(super) async fn g04_tasks_that_count_are_there_although_their_process_died(place: Mongo) {
        staged(&place, 1).await;
        let store = place.open().await;
        // Whoever submits the same once more finds what is there.
        let again = store.submit_task(job(1)).await.unwrap();
        assert!(again.is_new);
        assert_eq!(numbers(&store, 100, 10).await, [1]);
        let waiting = store.find_task(task_id(2), None).await.unwrap().unwrap();
        assert_eq!(
            (waiting.standing.status, waiting.standing.unmet),
            (TaskStatus::Pending, 1)
        );
        let batches = place.raw().await.collection::<Document>("task_batches");
        assert_eq!(batches.count_documents(doc! {}).await.unwrap(), 0);
    }

    pub(super) async fn g04_a_call_that_a_process_that_died_was_to_record_is_recorded_once(place: Mongo) {
        let store = place.open().await;
        store.submit_task(job(1)).await.unwrap();
        let held = store.claim_tasks(claim(10, 1)).await.unwrap().tasks.remove(0);
        let ending = ending(&held, AttemptEnd::Succeeded, 20);
        store.finish_task(held.hold(), &ending).await.unwrap();
        store.close().await.unwrap();
        let calls = place.raw().await.collection::<Document>("execution");
        let mut call = calls.find_one_and_delete(doc! {}).await.unwrap().unwrap();
        assert!(call.remove("r").is_some(), "it is the task's result too");
        let riding = doc! { "$push": { "out": call } };
        let tasks = tasks(&place).await;
        tasks
            .update_one(doc! { "v": { "$exists": true } }, riding)
            .await
            .unwrap();
        for _ in 0..2 {
            let store = place.open().await;
            store.settle_dependents(moment(100), 10).await.unwrap();
            let attempts = store.list_attempts(task_id(1), 10).await.unwrap();
            assert_eq!(attempts, [ending.execution.clone().unwrap()]);
            let statistics = store.call_statistics(&[tool("echo")], None).await.unwrap();
            assert_eq!(statistics[0].successes, 1);
            let riding = tasks.count_documents(doc! { "out": { "$exists": true } }).await;
            assert_eq!(riding.unwrap(), 0);
        }
    }

    pub(super) async fn g04_a_job_of_a_tick_that_a_process_that_died_was_to_submit_is_submitted_once(
        place: Mongo,
    ) {
        let store = place.open().await;
        store.submit_task(recurring(1, 100)).await.unwrap();
        let fired = store
            .fire_schedule(task_id(1), moment(100), Some(moment(200)), Some(job(150)))
            .await;
        assert!(fired.unwrap());
        store.close().await.unwrap();
        let tasks = tasks(&place).await;
        let mut job = tasks.find_one_and_delete(doc! { "k": 1 }).await.unwrap().unwrap();
        for field in ["q", "n", "ra"] {
            job.remove(field);
        }
        let tick = DateTime::from_millis(moment(100).as_millis());
        let riding = doc! { "$push": { "fj": { "at": tick, "j": job } }, "$set": { "rec.la": Bson::Null } };
        tasks.update_one(doc! { "k": 2 }, riding).await.unwrap();
        for round in 0..2 {
            let store = place.open().await;
            store.settle_dependents(moment(160), 10).await.unwrap();
            let schedule = store.find_task(task_id(1), None).await.unwrap().unwrap();
            assert_eq!(schedule.recurrence.unwrap().last_at, Some(moment(100)));
            let expected: &[u64] = if round == 0 { &[150] } else { &[] };
            assert_eq!(numbers(&store, 170, 10).await, expected);
        }
    }

    pub(super) async fn g04_a_task_is_told_of_an_end_that_no_process_told_it_of(place: Mongo) {
        let store = place.open().await;
        for task in [job(1), job_after(&[1], 2)] {
            store.submit_task(task).await.unwrap();
        }
        let held = store.claim_tasks(claim(10, 1)).await.unwrap().tasks.remove(0);
        let ending = ending(&held, AttemptEnd::Succeeded, 20);
        store.finish_task(held.hold(), &ending).await.unwrap();
        // As if the first had ended, and had been settled, while the second was being written.
        let tasks = tasks(&place).await;
        let told = tasks.update_one(doc! { "tell": true }, doc! { "$unset": { "tell": "" } });
        assert_eq!(told.await.unwrap().modified_count, 1);
        let unchecked = tasks.update_one(
            doc! { "dp": { "$exists": true } },
            doc! { "$set": { "chk": true } },
        );
        assert_eq!(unchecked.await.unwrap().modified_count, 1);
        let settled = store.settle_dependents(moment(30), 10).await.unwrap();
        assert_eq!((settled.told, settled.has_more), (1, false));
        assert_eq!(numbers(&store, 40, 10).await, [2]);
        assert_eq!(store.settle_dependents(moment(50), 10).await.unwrap().told, 0);
    }

    pub(super) async fn a_claim_takes_three_round_trips_however_many_tasks_it_gets(place: Mongo) {
        let tapped = Tapped::open(&place).await;
        let store = &tapped.store;
        let tasks =
            (1..=600).map(|number| job_at(Priority::ALL[usize::try_from(number % 4).unwrap()], number));
        store.submit_tasks(tasks.collect()).await.unwrap();
        assert_eq!(numbers(store, 1_000, 1).await.len(), 1);
        tapped.take();
        assert_eq!(numbers(store, 1_000, 500).await.len(), 500);
        assert_eq!(tapped.take(), a_claim());
    }

    pub(super) async fn a_claim_of_what_has_become_due_takes_three_round_trips_too(place: Mongo) {
        let tapped = Tapped::open(&place).await;
        let store = &tapped.store;
        let tasks = (1..=400).map(|number| {
            let mut task = job_at(Priority::ALL[usize::try_from(number % 4).unwrap()], number);
            task.user_id = Some(user_id(number % 10));
            task.scheduled_at = Some(moment(5_000));
            task
        });
        store.submit_tasks(tasks.collect()).await.unwrap();
        assert!(numbers(store, 4_999, 1).await.is_empty());
        tapped.take();
        assert_eq!(numbers(store, 6_000, 500).await.len(), 400);
        assert_eq!(tapped.take(), a_claim());
    }

    pub(super) async fn ends_that_come_at_once_take_few_round_trips_however_many_they_are(place: Mongo) {
        const TASKS: u64 = 400;
        let tapped = Tapped::open(&place).await;
        let store = &tapped.store;
        store.submit_tasks((1..=TASKS).map(job).collect()).await.unwrap();
        let claimed = store.claim_tasks(claim(1_000, 400)).await.unwrap();
        tapped.take();
        let ends = claimed.tasks.iter().map(|held| {
            let (store, hold) = (Arc::clone(store), held.hold());
            let ending = ending(held, AttemptEnd::Succeeded, 2_000);
            async move { store.finish_task(hold, &ending).await.unwrap() }
        });
        let ended = tokio::task::JoinSet::from_iter(ends).join_all().await;
        assert!(ended.iter().all(|status| *status == TaskStatus::Completed));
        store.close().await.unwrap();
        let took = tapped.take();
        assert!(
            took.values().sum::<u64>() < 100,
            "four for each would be 1,600: {took:?}"
        );
        assert_eq!(took.get("find"), None, "what was claimed here is known here");
        let tasks = tasks(&place).await;
        let left = tasks.count_documents(doc! { "out": { "$exists": true } });
        assert_eq!(
            left.await.unwrap(),
            0,
            "every call is in the history, and nowhere else"
        );
    }

    pub(super) async fn of_ends_written_together_only_the_one_that_comes_too_late_is_refused(place: Mongo) {
        let (store, other) = (place.open().await, place.open().await);
        store.submit_tasks((1..=50).map(job).collect()).await.unwrap();
        let claimed = store.claim_tasks(claim(1_000, 50)).await.unwrap();
        for late in [10, 20] {
            other
                .cancel_task(task_id(late), None, moment(1_500))
                .await
                .unwrap();
        }
        other
            .renew_leases(worker(1), &[claimed.tasks[2].hold()], moment(99_000))
            .await
            .unwrap();
        let ends = claimed.tasks.iter().map(|held| {
            let (store, hold) = (Arc::clone(&store), held.hold());
            let ending = ending(held, AttemptEnd::Succeeded, 2_000);
            async move { (number_of(hold.task), store.finish_task(hold, &ending).await) }
        });
        let ended = tokio::task::JoinSet::from_iter(ends).join_all().await;
        let refused: BTreeSet<u64> = ended
            .iter()
            .filter(|(_, ended)| ended.is_err())
            .map(|(number, _)| *number)
            .collect();
        assert_eq!(refused, BTreeSet::from([10, 20]));
        let found = store.find_task(task_id(20), None).await.unwrap().unwrap();
        assert_eq!(
            (found.standing.status, found.result),
            (TaskStatus::Cancelled, None)
        );
    }

    pub(super) async fn owners_take_turns_whichever_process_they_and_the_workers_are_at(place: Mongo) {
        let (one, other) = (place.open().await, place.open().await);
        one.submit_tasks((1..=300).map(job).collect()).await.unwrap();
        assert_eq!(numbers(&one, 1_000, 200).await.len(), 200);
        // The other process has seen nothing of all that.
        other
            .submit_tasks((401..=420).map(|number| job_of(2, number)).collect())
            .await
            .unwrap();
        let mut order = Vec::new();
        for _ in 0..10 {
            order.extend(numbers(&one, 1_000, 1).await);
            order.extend(numbers(&other, 1_000, 1).await);
        }
        let late = order.iter().filter(|number| **number > 400).count();
        assert!((9..=11).contains(&late), "{order:?}");
    }

    pub(super) async fn of_claims_of_many_processes_each_task_goes_to_one(place: Mongo) {
        let first = place.open().await;
        first
            .submit_tasks((1..=400).map(|number| job_of(number % 7, number)).collect())
            .await
            .unwrap();
        let mut works = tokio::task::JoinSet::new();
        for number in 1..=4 {
            let store = place.open().await;
            works.spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let request = ClaimRequest {
                        worker: worker(number),
                        ..claim(1_000, 9)
                    };
                    let claimed = store.claim_tasks(request).await.unwrap();
                    mine.extend(claimed.tasks.iter().map(|held| held.task.id));
                    if !claimed.has_more && claimed.tasks.is_empty() {
                        return mine;
                    }
                }
            });
        }
        let given = works.join_all().await.concat();
        assert_eq!(given.len(), 400);
        assert_eq!(given.into_iter().collect::<BTreeSet<_>>().len(), 400);
    }

    pub(super) async fn c08_texts_are_never_a_part_of_a_query(place: Mongo) {
        let store = place.open().await;
        let mut odd = job(1);
        odd.title = "$v".parse().unwrap();
        odd.description = Some("$$ROOT".parse().unwrap());
        odd.unique_key = Some("$u".parse().unwrap());
        odd.tags = crate::make::tags(&["$tags", "{\"$gt\": \"\"}"]);
        store.submit_task(odd.clone()).await.unwrap();
        let submitted = store
            .submit_tasks(vec![job(2), job(3), odd.clone()])
            .await
            .unwrap();
        assert_eq!(submitted[2].task.id, odd.id);
        let held = store.claim_tasks(claim(10, 1)).await.unwrap().tasks.remove(0);
        assert_eq!(held.task.title.as_str(), "$v");
        for (q, expected) in [("$v", 1), ("$$root", 1), ("$t", 0), (".*", 0)] {
            let filter = model::TaskFilter {
                q: Some(q.to_owned()),
                ..model::TaskFilter::default()
            };
            let request = crate::walk::first_page(model::TaskSort::CreatedAt, crate::walk::BOTH[0], 5);
            let page = store.list_tasks(&filter, &request).await.unwrap();
            assert_eq!(page.total, expected, "{q}");
        }
    }

    pub(super) async fn c08_what_is_as_long_as_may_be_fits_into_the_documents(place: Mongo) {
        const MEBIBYTE: usize = 1024 * 1024;
        let store = place.open().await;
        let mut long = job(1);
        long.job.as_mut().unwrap().payload = json!("p".repeat(MEBIBYTE));
        store.submit_task(long).await.unwrap();
        let held = store.claim_tasks(claim(10, 1)).await.unwrap().tasks.remove(0);
        let mut ending = ending(&held, AttemptEnd::Succeeded, 20);
        let call = ending.execution.as_mut().unwrap();
        call.payload = json!("r".repeat(6 * MEBIBYTE));
        call.outcome = ExecutionOutcome::Success(json!("x".repeat(8 * MEBIBYTE)));
        let status = store.finish_task(held.hold(), &ending).await.unwrap();
        assert_eq!(status, TaskStatus::Completed);
        let task = store.find_task(task_id(1), None).await.unwrap().unwrap();
        assert!(task.result == Some(json!("x".repeat(8 * MEBIBYTE))));
        let kept = store.list_attempts(task_id(1), 1).await.unwrap();
        assert!(kept == [ending.execution.unwrap()]);
    }
}
