//! How attempts end.

use std::{sync::Arc, time::Duration};

use model::{
    AttemptEnd, ClaimedTask, ErrorCode, Execution, ExecutionOutcome, Failure, Hold, Progress, Store,
    TaskEnding, TaskStatus,
};
use serde_json::{Value, json};

use super::{claimed, claimed_one, end, found, submit};
use crate::{
    contract::{task::code_of, user::at_once},
    engine::Engine,
    make::{call_of, ending, failure, job, moment, task_id, tool, worker},
};

crate::on_every_engine![
    a_success_is_kept_with_its_call_in_one_step,
    c08_a_result_comes_back_exactly,
    a_call_recorded_before_it_began_is_completed,
    a_failure_is_tried_again_until_its_retries_are_used_up,
    a_failure_for_good_is_not_tried_again,
    a_task_handed_back_is_as_it_was,
    an_end_that_comes_too_late_changes_and_records_nothing,
    of_many_ends_of_one_attempt_one_is_recorded,
    an_end_without_a_call_records_none_and_says_why,
    progress_is_kept_while_the_attempt_holds_the_task,
    calls_of_tasks_are_counted,
];

async fn held(store: &Arc<dyn Store>, number: u64) -> ClaimedTask {
    submit(store, job(number)).await;
    claimed_one(store, 100).await
}

async fn recorded(store: &Arc<dyn Store>, call: &Execution) -> Option<Execution> {
    store.find_execution(call.id, None).await.unwrap()
}

async fn a_success_is_kept_with_its_call_in_one_step(engine: impl Engine) {
    let store = engine.open().await;
    let held = held(&store, 1).await;
    let ending = ending(&held, AttemptEnd::Succeeded, 200);
    let call = ending.execution.clone().unwrap();
    let status = store.finish_task(held.hold(), &ending).await.unwrap();
    assert_eq!(status, TaskStatus::Completed);
    let task = found(&store, 1).await;
    assert_eq!(task.standing.status, TaskStatus::Completed);
    assert_eq!((task.standing.lease, task.standing.attempt), (None, 1));
    assert_eq!(task.result, Some(json!({"task": 1})));
    assert_eq!(task.error, None);
    assert_eq!(
        (task.started_at, task.finished_at, task.updated_at),
        (Some(moment(100)), Some(moment(200)), moment(200))
    );
    assert_eq!(recorded(&store, &call).await, Some(call));
    assert!(claimed(&store, 9_999, 10).await.is_empty());
}

async fn c08_a_result_comes_back_exactly(engine: impl Engine) {
    let store = engine.open().await;
    let held = held(&store, 1).await;
    let result = json!({
        "z": [0, -0.0, 0.1, 1e-300, u64::MAX, i64::MIN], "a": "\u{0}\u{202e}\u{1F680} \\ \" '", "": null,
        "long": "x".repeat(500_000),
    });
    let long = TaskEnding {
        execution: Some(call_of(&held, ExecutionOutcome::Success(result.clone()))),
        ..ending(&held, AttemptEnd::Succeeded, 200)
    };
    store.finish_task(held.hold(), &long).await.unwrap();
    let text = |value: &Value| serde_json::to_string(value).unwrap();
    let kept = found(&store, 1).await.result.unwrap();
    assert!(text(&kept) == text(&result), "the order of keys counts too");
    submit(&store, job(2)).await;
    let held = claimed_one(&store, 300).await;
    let null = TaskEnding {
        execution: Some(call_of(&held, ExecutionOutcome::Success(Value::Null))),
        ..ending(&held, AttemptEnd::Succeeded, 200)
    };
    store.finish_task(held.hold(), &null).await.unwrap();
    assert_eq!(found(&store, 2).await.result, Some(Value::Null));
}

async fn a_call_recorded_before_it_began_is_completed(engine: impl Engine) {
    let store = engine.open().await;
    let held = held(&store, 1).await;
    let before = Execution {
        duration: Duration::ZERO,
        ..call_of(&held, ExecutionOutcome::Running)
    };
    store.record_execution(before.clone()).await.unwrap();
    let attempts = store.list_attempts(task_id(1), 10).await.unwrap();
    assert_eq!(attempts, [before]);
    let ending = TaskEnding {
        is_recorded: true,
        ..ending(&held, AttemptEnd::Succeeded, 200)
    };
    let call = ending.execution.clone().unwrap();
    store.finish_task(held.hold(), &ending).await.unwrap();
    let attempts = store.list_attempts(task_id(1), 10).await.unwrap();
    assert_eq!(attempts, [call]);
    assert_eq!(found(&store, 1).await.result, Some(json!({"task": 1})));
}

async fn a_failure_is_tried_again_until_its_retries_are_used_up(engine: impl Engine) {
    let store = engine.open().await;
    let mut task = job(1);
    task.patience.max_retries = 2;
    submit(&store, task).await;
    for (attempt, now, retry_at) in [(1, 100, 500), (2, 500, 900), (3, 900, 950)] {
        let held = claimed_one(&store, now).await;
        assert_eq!(held.task.standing.attempt, attempt);
        assert_eq!(held.ready_at, moment(if attempt == 1 { 1 } else { now }));
        let again = AttemptEnd::Failed {
            retry_at: moment(retry_at),
        };
        let status = end(&store, &held, again, now + 10).await.unwrap();
        let task = found(&store, 1).await;
        assert_eq!(task.error.unwrap().code, "plugin_failed");
        assert_eq!((task.standing.status, task.result), (status, None));
        if attempt == 3 {
            assert_eq!(status, TaskStatus::Failed);
            assert_eq!(task.finished_at, Some(moment(now + 10)));
        } else {
            assert_eq!(status, TaskStatus::Pending);
            assert_eq!(u32::from(task.standing.retry_count), attempt);
            assert_eq!((task.standing.due_at, task.finished_at), (moment(retry_at), None));
            let early = store
                .claim_tasks(crate::make::claim(retry_at - 1, 10))
                .await
                .unwrap();
            assert_eq!((early.tasks.len(), early.next_due), (0, Some(moment(retry_at))));
        }
    }
    assert!(claimed(&store, 9_999, 10).await.is_empty());
    assert_eq!(store.list_attempts(task_id(1), 10).await.unwrap().len(), 3);
}

async fn a_failure_for_good_is_not_tried_again(engine: impl Engine) {
    let store = engine.open().await;
    let held = held(&store, 1).await;
    let status = end(&store, &held, AttemptEnd::FailedForGood, 200).await.unwrap();
    assert_eq!(status, TaskStatus::Failed);
    let task = found(&store, 1).await;
    assert_eq!(
        (task.standing.retry_count, task.finished_at),
        (0, Some(moment(200)))
    );
    let ExecutionOutcome::Failure(Failure { code, message }) = failure() else {
        unreachable!("it is one");
    };
    assert_eq!(task.error, Some(Failure { code, message }));
    assert!(claimed(&store, 9_999, 10).await.is_empty());
}

async fn a_task_handed_back_is_as_it_was(engine: impl Engine) {
    let store = engine.open().await;
    let held = held(&store, 1).await;
    let back = TaskEnding {
        end: AttemptEnd::HandedBack { due_at: moment(300) },
        execution: None,
        inquiry: None,
        failure: None,
        is_recorded: false,
        now: moment(200),
    };
    let status = store.finish_task(held.hold(), &back).await.unwrap();
    assert_eq!(status, TaskStatus::Pending);
    let task = found(&store, 1).await;
    assert_eq!((task.standing.retry_count, task.standing.stall_count), (0, 0));
    assert_eq!(
        (task.error, task.finished_at, task.standing.lease),
        (None, None, None)
    );
    assert!(store.list_attempts(task_id(1), 10).await.unwrap().is_empty());
    assert!(claimed(&store, 299, 10).await.is_empty());
    assert_eq!(claimed_one(&store, 300).await.task.standing.attempt, 2);
}

async fn an_end_that_comes_too_late_changes_and_records_nothing(engine: impl Engine) {
    let store = engine.open().await;
    let first = held(&store, 1).await;
    store
        .release_expired(moment(99_000), moment(200), 10)
        .await
        .unwrap();
    let second = claimed_one(&store, 300).await;
    assert_eq!(second.task.standing.attempt, 2);
    let before = found(&store, 1).await;
    for how in [
        AttemptEnd::Succeeded,
        AttemptEnd::FailedForGood,
        AttemptEnd::Failed { retry_at: moment(1) },
        AttemptEnd::HandedBack { due_at: moment(1) },
    ] {
        let late = ending(&first, how, 400);
        let absent = Hold {
            task: task_id(404),
            attempt: 1,
        };
        let ahead = Hold {
            attempt: 3,
            ..first.hold()
        };
        for hold in [first.hold(), absent, ahead] {
            let refused = store.finish_task(hold, &late).await;
            assert_eq!(code_of(refused), ErrorCode::Conflict, "{how:?} {hold:?}");
        }
    }
    assert_eq!(found(&store, 1).await, before);
    let call = call_of(&first, failure());
    assert_eq!(recorded(&store, &call).await, None);
    end(&store, &second, AttemptEnd::Succeeded, 500).await.unwrap();
    let again = end(&store, &second, AttemptEnd::FailedForGood, 600).await;
    assert_eq!(code_of(again), ErrorCode::Conflict, "once is enough");
    assert_eq!(found(&store, 1).await.standing.status, TaskStatus::Completed);
}

async fn of_many_ends_of_one_attempt_one_is_recorded(engine: impl Engine) {
    let store = engine.open().await;
    let held = held(&store, 1).await;
    let works = (1..=20).map(|number: u64| {
        let (store, held) = (Arc::clone(&store), held.clone());
        async move {
            let mut ending = ending(&held, AttemptEnd::Succeeded, 200);
            let call = ending.execution.as_mut().unwrap();
            call.id = crate::make::execution(5_000 + number).id;
            call.outcome = ExecutionOutcome::Success(json!(number));
            store.finish_task(held.hold(), &ending).await.map(|_| number)
        }
    });
    let ended: Vec<u64> = at_once(works).await.into_iter().filter_map(Result::ok).collect();
    assert_eq!(ended.len(), 1);
    assert_eq!(found(&store, 1).await.result, Some(json!(ended[0])));
    let attempts = store.list_attempts(task_id(1), 100).await.unwrap();
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].outcome, ExecutionOutcome::Success(json!(ended[0])));
}

async fn an_end_without_a_call_records_none_and_says_why(engine: impl Engine) {
    let store = engine.open().await;
    let held = held(&store, 1).await;
    let why = Failure {
        code: "internal_error".to_owned(),
        message: "nothing could be called".to_owned(),
    };
    let ending = TaskEnding {
        execution: None,
        failure: Some(why.clone()),
        ..ending(&held, AttemptEnd::FailedForGood, 200)
    };
    let status = store.finish_task(held.hold(), &ending).await.unwrap();
    assert_eq!(status, TaskStatus::Failed);
    assert_eq!(found(&store, 1).await.error, Some(why));
    assert!(store.list_attempts(task_id(1), 10).await.unwrap().is_empty());
}

async fn progress_is_kept_while_the_attempt_holds_the_task(engine: impl Engine) {
    let store = engine.open().await;
    let first = held(&store, 1).await;
    let half = Progress {
        fraction: 0.5,
        message: Some("half, \"ü\"".into()),
    };
    let most = Progress {
        fraction: 0.9,
        message: None,
    };
    for progress in [&half, &most, &half] {
        store
            .report_progress(first.hold(), progress.clone(), moment(150))
            .await
            .unwrap();
        let task = found(&store, 1).await;
        assert_eq!(
            (task.progress.as_ref(), task.updated_at),
            (Some(progress), moment(150))
        );
    }
    let again = AttemptEnd::Failed {
        retry_at: moment(300),
    };
    end(&store, &first, again, 200).await.unwrap();
    let late = store
        .report_progress(first.hold(), most.clone(), moment(250))
        .await;
    assert_eq!(code_of(late), ErrorCode::Conflict);
    let second = claimed_one(&store, 300).await;
    assert_eq!(second.task.progress, None, "it begins anew");
    let late = store.report_progress(first.hold(), most, moment(350)).await;
    assert_eq!(code_of(late), ErrorCode::Conflict);
    assert_eq!(found(&store, 1).await.progress, None);
    assert_eq!(second.task.standing.lease.unwrap().worker, worker(1));
}

async fn calls_of_tasks_are_counted(engine: impl Engine) {
    let store = engine.open().await;
    for (number, how) in [(1, AttemptEnd::Succeeded), (2, AttemptEnd::FailedForGood)] {
        let held = held(&store, number).await;
        end(&store, &held, how, 200).await.unwrap();
    }
    let statistics = store.call_statistics(&[tool("echo")], None).await.unwrap();
    assert_eq!((statistics[0].successes, statistics[0].failures), (1, 1));
}
