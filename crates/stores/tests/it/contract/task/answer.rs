//! Questions of tasks, and the answers to them.

use std::sync::Arc;

use model::{
    AttemptEnd, ClaimedTask, ErrorCode, ExecutionOutcome, Inquiry, Question, QuestionKind, Questions, Result,
    Store, Task, TaskChange, TaskEnding, TaskStatus,
};
use serde_json::{Map, Value, json};

use super::{claimed, claimed_one, code_of, end, found, status_of, submit};
use crate::{
    contract::user::both_at_once,
    engine::Engine,
    make::{ending, job, job_at, moment, task_id, user_id},
};

crate::on_every_engine![
    a_task_that_asks_waits_until_all_is_answered,
    what_answers_nothing_is_ignored,
    the_first_answer_to_a_question_stands,
    answers_are_kept_until_the_task_asks_anew,
    what_was_asked_and_answered_is_gone_once_the_task_has_ended,
    a_task_tried_anew_has_asked_nothing,
    a_task_that_asks_can_be_scheduled_and_made_more_urgent,
    a_task_that_asked_keeps_its_payload,
    questions_and_answers_of_any_text_come_back_as_they_were,
    another_owners_task_is_not_answered,
    only_an_attempt_that_holds_its_task_asks,
    of_a_cancellation_and_the_last_answer_at_once_nothing_starts_that_is_cancelled,
    of_two_answers_at_once_one_counts,
];

fn questions(keys: &[&str]) -> Questions {
    let question = Question {
        kind: QuestionKind::Elicitation,
        params: json!({ "message": "who?" }).as_object().cloned().unwrap(),
    };
    let asked = keys.iter().map(|key| ((*key).to_owned(), question.clone()));
    Questions {
        asked: asked.collect(),
        state: Some(json!({ "seen": 3 })),
    }
}

fn answers(given: &[(&str, Value)]) -> Map<String, Value> {
    given
        .iter()
        .map(|(key, answer)| ((*key).to_owned(), answer.clone()))
        .collect()
}

/// Ends an attempt with questions.
async fn ask(store: &Arc<dyn Store>, held: &ClaimedTask, keys: &[&str], now: i64) -> Result<TaskStatus> {
    let inquiry = Inquiry::after(held.task.inquiry.as_ref(), questions(keys)).unwrap();
    let ending = TaskEnding {
        inquiry: Some(inquiry),
        ..ending(held, AttemptEnd::Asked, now)
    };
    store.finish_task(held.hold(), &ending).await
}

/// A task that asks this after its first attempt at 100.
async fn asking(store: &Arc<dyn Store>, number: u64, keys: &[&str]) {
    submit(store, job(number)).await;
    let held = claimed_one(store, 100).await;
    assert_eq!(ask(store, &held, keys, 110).await.unwrap(), TaskStatus::Pending);
}

async fn answer(store: &Arc<dyn Store>, number: u64, given: &[(&str, Value)], now: i64) -> Task {
    let owner = Some(user_id(1));
    let answered = store
        .answer_task(task_id(number), owner, &answers(given), moment(now))
        .await;
    answered.unwrap().unwrap()
}

fn open(task: &Task) -> Vec<&str> {
    let open = task.inquiry.iter().flat_map(|inquiry| inquiry.open());
    open.map(|(key, _)| key).collect()
}

async fn waiting(store: &Arc<dyn Store>) -> (u64, u64) {
    let depth = store.queue_depth().await.unwrap();
    (depth.awaiting_input, depth.ready.iter().sum())
}

async fn a_task_that_asks_waits_until_all_is_answered(engine: impl Engine) {
    let store = engine.open().await;
    asking(&store, 1, &["a", "b"]).await;
    let task = found(&store, 1).await;
    assert!(task.standing.awaits_input && task.standing.lease.is_none() && task.error.is_none());
    assert_eq!((open(&task), task.standing.attempt), (vec!["a", "b"], 1));
    assert_eq!(waiting(&store).await, (1, 0));
    assert_eq!(claimed(&store, 90_000, 5).await.len(), 0);
    let task = answer(&store, 1, &[("b", json!({ "x": 1 }))], 200).await;
    assert_eq!((open(&task), task.updated_at), (vec!["a"], moment(200)));
    assert_eq!(claimed(&store, 90_000, 5).await.len(), 0);
    let task = answer(&store, 1, &[("a", json!({ "y": 2 }))], 300).await;
    assert!(!task.standing.awaits_input && open(&task).is_empty());
    assert_eq!(
        (task.clone(), waiting(&store).await),
        (found(&store, 1).await, (0, 1))
    );
    let held = claimed_one(&store, 300).await;
    assert_eq!((held.task.standing.attempt, held.ready_at), (2, moment(300)));
    let told = held.task.inquiry.unwrap().answers();
    let expected = answers(&[("b", json!({ "x": 1 })), ("a", json!({ "y": 2 }))]);
    assert_eq!((told.given, told.state), (expected, Some(json!({ "seen": 3 }))));
}

async fn what_answers_nothing_is_ignored(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, job(1)).await;
    let before = found(&store, 1).await;
    assert_eq!(answer(&store, 1, &[("a", json!({}))], 50).await, before);
    let held = claimed_one(&store, 100).await;
    ask(&store, &held, &["a"], 110).await.unwrap();
    let before = found(&store, 1).await;
    assert_eq!(answer(&store, 1, &[("b", json!({}))], 150).await, before);
    assert_eq!(answer(&store, 1, &[], 150).await, before);
    answer(&store, 1, &[("a", json!({})), ("b", json!({}))], 200).await;
    let held = claimed_one(&store, 200).await;
    let told = held.task.inquiry.as_ref().unwrap().answers();
    assert_eq!(told.given, answers(&[("a", json!({}))]));
    end(&store, &held, AttemptEnd::Succeeded, 210).await.unwrap();
    let ended = found(&store, 1).await;
    assert_eq!(answer(&store, 1, &[("a", json!({}))], 250).await, ended);
    let unknown = store
        .answer_task(task_id(9), None, &answers(&[]), moment(300))
        .await;
    assert!(unknown.unwrap().is_none());
}

async fn the_first_answer_to_a_question_stands(engine: impl Engine) {
    let store = engine.open().await;
    asking(&store, 1, &["a", "b"]).await;
    answer(&store, 1, &[("a", json!("first"))], 200).await;
    answer(&store, 1, &[("a", json!("second")), ("b", json!(1))], 300).await;
    answer(&store, 1, &[("b", json!(2))], 400).await;
    let told = claimed_one(&store, 500).await.task.inquiry.unwrap().answers();
    assert_eq!(told.given, answers(&[("a", json!("first")), ("b", json!(1))]));
}

async fn answers_are_kept_until_the_task_asks_anew(engine: impl Engine) {
    let store = engine.open().await;
    asking(&store, 1, &["a"]).await;
    answer(&store, 1, &[("a", json!(1))], 200).await;
    let mut held = claimed_one(&store, 200).await;
    let ends = [
        AttemptEnd::Failed {
            retry_at: moment(210),
        },
        AttemptEnd::HandedBack { due_at: moment(220) },
    ];
    for (how, again_at) in ends.into_iter().zip([210, 220]) {
        end(&store, &held, how, again_at).await.unwrap();
        held = claimed_one(&store, again_at).await;
        assert_eq!(
            held.task.inquiry.as_ref().unwrap().given,
            answers(&[("a", json!(1))])
        );
    }
    store
        .release_expired(moment(90_000), moment(90_000), 5)
        .await
        .unwrap();
    let held = claimed_one(&store, 90_000).await;
    assert_eq!(
        held.task.inquiry.as_ref().unwrap().given,
        answers(&[("a", json!(1))])
    );
    ask(&store, &held, &["b"], 90_010).await.unwrap();
    let task = found(&store, 1).await;
    assert_eq!(
        (open(&task), task.inquiry.clone().unwrap().past_keys),
        (vec!["b"], vec!["a".to_owned()])
    );
    answer(&store, 1, &[("a", json!(2)), ("b", json!(3))], 90_020).await;
    let told = claimed_one(&store, 90_020).await.task.inquiry.unwrap().answers();
    assert_eq!(
        told.given,
        answers(&[("b", json!(3))]),
        "what was told before isn't told again"
    );
}

async fn what_was_asked_and_answered_is_gone_once_the_task_has_ended(engine: impl Engine) {
    let store = engine.open().await;
    let ends = [(1, AttemptEnd::Succeeded), (2, AttemptEnd::FailedForGood)];
    for (number, how) in ends {
        asking(&store, number, &["a"]).await;
        answer(&store, number, &[("a", json!("secret"))], 120).await;
        let held = claimed_one(&store, 130).await;
        end(&store, &held, how, 140).await.unwrap();
        assert_eq!(found(&store, number).await.inquiry, None);
    }
    asking(&store, 3, &["a"]).await;
    store
        .cancel_task(task_id(3), None, moment(150))
        .await
        .unwrap()
        .unwrap();
    let cancelled = found(&store, 3).await;
    assert_eq!(
        (cancelled.inquiry, cancelled.standing.awaits_input),
        (None, false)
    );
    assert_eq!(waiting(&store).await, (0, 0));
}

async fn a_task_tried_anew_has_asked_nothing(engine: impl Engine) {
    let store = engine.open().await;
    asking(&store, 1, &["a", "b"]).await;
    answer(&store, 1, &[("a", json!(1))], 120).await;
    store.cancel_task(task_id(1), None, moment(130)).await.unwrap();
    store.retry_task(task_id(1), None, moment(140)).await.unwrap();
    let held = claimed_one(&store, 150).await;
    assert_eq!(held.task.inquiry, None);
    ask(&store, &held, &["a"], 160).await.unwrap();
    assert_eq!(open(&found(&store, 1).await), ["a"]);
}

async fn a_task_that_asks_can_be_scheduled_and_made_more_urgent(engine: impl Engine) {
    let store = engine.open().await;
    asking(&store, 1, &["a"]).await;
    let change = TaskChange {
        scheduled_at: Some(Some(moment(5_000))),
        priority: Some(model::Priority::High),
        ..TaskChange::default()
    };
    store
        .update_task(task_id(1), None, change, moment(120))
        .await
        .unwrap();
    assert_eq!(waiting(&store).await, (1, 0));
    store.hasten_task(task_id(1), None, moment(130)).await.unwrap();
    assert_eq!(waiting(&store).await, (1, 0));
    assert_eq!(claimed(&store, 9_000, 5).await.len(), 0);
    answer(&store, 1, &[("a", json!(1))], 140).await;
    submit(&store, job_at(model::Priority::Medium, 2)).await;
    let order: Vec<_> = claimed(&store, 150, 5)
        .await
        .iter()
        .map(|held| held.task.id)
        .collect();
    assert_eq!(order, [task_id(1), task_id(2)]);
}

async fn a_task_that_asked_keeps_its_payload(engine: impl Engine) {
    let store = engine.open().await;
    asking(&store, 1, &["a"]).await;
    for given in [&[][..], &[("a", json!(1))]] {
        answer(&store, 1, given, 120).await;
        let change = TaskChange {
            payload: Some(json!({ "message": "another" })),
            ..TaskChange::default()
        };
        let refused = store.update_task(task_id(1), None, change, moment(130)).await;
        assert_eq!(code_of(refused), ErrorCode::Conflict);
    }
}

async fn questions_and_answers_of_any_text_come_back_as_they_were(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, job(1)).await;
    let held = claimed_one(&store, 100).await;
    let odd = json!({ "'; --": ["ä\u{1F680}\u{0}", null, 1.5, { "$where": "x.y" }], "z": 1, "a": "{" });
    let mut asked = questions(&["k.1", "K-1"]);
    asked.asked[0].1.params = odd.as_object().cloned().unwrap();
    asked.state = Some(odd.clone());
    let mut expected = Inquiry::after(None, asked).unwrap();
    let ending = TaskEnding {
        inquiry: Some(expected.clone()),
        ..ending(&held, AttemptEnd::Asked, 110)
    };
    store.finish_task(held.hold(), &ending).await.unwrap();
    assert_eq!(found(&store, 1).await.inquiry, Some(expected.clone()));
    answer(&store, 1, &[("k.1", odd.clone())], 120).await;
    expected.take(&answers(&[("k.1", odd)]));
    assert_eq!(found(&store, 1).await.inquiry, Some(expected));
}

async fn another_owners_task_is_not_answered(engine: impl Engine) {
    let store = engine.open().await;
    asking(&store, 1, &["a"]).await;
    let given = answers(&[("a", json!(1))]);
    let foreign = store
        .answer_task(task_id(1), Some(user_id(2)), &given, moment(120))
        .await;
    assert!(foreign.unwrap().is_none());
    assert_eq!(open(&found(&store, 1).await), ["a"]);
    let by_admin = store.answer_task(task_id(1), None, &given, moment(130)).await;
    assert!(by_admin.unwrap().is_some());
    assert_eq!(claimed(&store, 140, 5).await.len(), 1);
}

async fn only_an_attempt_that_holds_its_task_asks(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, job(1)).await;
    let first = claimed_one(&store, 100).await;
    store
        .release_expired(moment(90_000), moment(90_000), 5)
        .await
        .unwrap();
    assert_eq!(
        code_of(ask(&store, &first, &["a"], 90_010).await),
        ErrorCode::Conflict
    );
    let second = claimed_one(&store, 90_020).await;
    assert_eq!(
        code_of(ask(&store, &first, &["a"], 90_030).await),
        ErrorCode::Conflict
    );
    ask(&store, &second, &["b"], 90_040).await.unwrap();
    assert_eq!(open(&found(&store, 1).await), ["b"]);
    let calls = store.list_attempts(task_id(1), 10).await.unwrap();
    let is_failure = |outcome: &ExecutionOutcome| matches!(outcome, ExecutionOutcome::Failure(_));
    assert_eq!(calls.len(), 2);
    assert!(calls.iter().all(|call| is_failure(&call.outcome)));
}

async fn of_a_cancellation_and_the_last_answer_at_once_nothing_starts_that_is_cancelled(engine: impl Engine) {
    let store = engine.open().await;
    for number in 1..=20 {
        asking(&store, number, &["a"]).await;
        let (for_answer, for_cancel) = (Arc::clone(&store), Arc::clone(&store));
        let (answered, cancelled) = both_at_once(
            async move { answer(&for_answer, number, &[("a", json!(1))], 200).await },
            async move { for_cancel.cancel_task(task_id(number), None, moment(200)).await },
        )
        .await;
        assert_eq!(answered.id, task_id(number));
        assert!(cancelled.unwrap().is_some());
        assert_eq!(status_of(&store, number).await, TaskStatus::Cancelled);
        assert_eq!(claimed(&store, 90_000, 5).await.len(), 0);
    }
    assert_eq!(waiting(&store).await, (0, 0));
}

async fn of_two_answers_at_once_one_counts(engine: impl Engine) {
    let store = engine.open().await;
    for number in 1..=20 {
        asking(&store, number, &["a", "b"]).await;
        let (one, other) = (Arc::clone(&store), Arc::clone(&store));
        both_at_once(
            async move { answer(&one, number, &[("a", json!(1)), ("b", json!(1))], 200).await },
            async move { answer(&other, number, &[("b", json!(2)), ("a", json!(2))], 200).await },
        )
        .await;
        let held = claimed_one(&store, 300).await;
        let given = held.task.inquiry.as_ref().unwrap().given.clone();
        assert_eq!(given.get("a"), given.get("b"), "{given:?}");
        assert_eq!(claimed(&store, 300, 5).await.len(), 0);
        end(&store, &held, AttemptEnd::Succeeded, 310).await.unwrap();
    }
}
