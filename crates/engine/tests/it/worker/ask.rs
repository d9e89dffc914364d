//! Tasks that ask something in the middle of their work.

use std::time::Duration;

use model::{ErrorCode, Principal, Result, Scopes, Task, TaskId, TaskStatus};
use rstest::rstest;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::{LEASE, Works, job, lease::lose, operator, tried};

const PATIENCE: Duration = Duration::from_secs(30);

fn rounds(rounds: &[&[&str]]) -> Value {
    json!({ "rounds": rounds })
}

/// What somebody says to each of these questions.
fn accept(keys: &[&str]) -> Map<String, Value> {
    let answer = |key: &&str| {
        let answer = json!({ "action": "accept", "content": { "to": key } });
        ((*key).to_owned(), answer)
    };
    keys.iter().map(answer).collect()
}

impl Works {
    async fn answer(&self, id: TaskId, answers: Map<String, Value>) -> Result<Task> {
        self.shop.engine.answer_task(&operator(), id, answers).await
    }

    /// The keys of what a task asks.
    async fn asked(&self, id: TaskId) -> Vec<String> {
        let task = self.read(id).await;
        let open = task.inquiry.iter().flat_map(|inquiry| inquiry.open());
        open.map(|(key, _)| key.to_owned()).collect()
    }
}

#[rstest]
#[case("interview")]
#[case("interviewAndWrite")]
#[tokio::test]
async fn a_task_asks_waits_without_a_slot_and_goes_on_with_what_it_was_told(#[case] action: &str) {
    let works = Works::open_for(1);
    let id = works.submit(action, rounds(&[&["name"], &["age", "city"]])).await;
    works.work().await;
    assert_eq!(works.asked(id).await, ["name"]);
    assert_eq!(
        (works.status(id).await, works.work().await),
        (TaskStatus::Pending, 0)
    );
    let other = works.submit("echo", json!({})).await;
    works.work().await;
    assert_eq!(
        works.status(other).await,
        TaskStatus::Completed,
        "the slot was free"
    );
    works.answer(id, accept(&["name"])).await.unwrap();
    works.work().await;
    assert_eq!(works.asked(id).await, ["age", "city"]);
    works.answer(id, accept(&["city"])).await.unwrap();
    assert_eq!(works.work().await, 0);
    works.answer(id, accept(&["age"])).await.unwrap();
    works.work().await;
    let task = works.read(id).await;
    assert_eq!(task.standing.status, TaskStatus::Completed);
    assert_eq!(task.result, Some(Value::Object(accept(&["name", "age", "city"]))));
    let asked = "input_required";
    assert_eq!(
        works.tries(id).await,
        tried(&[(1, asked), (2, asked), (3, "success")])
    );
    assert_eq!((task.standing.retry_count, task.standing.stall_count), (0, 0));
}

#[tokio::test]
async fn nobody_is_asked_twice_because_an_attempt_failed_or_its_worker_died() {
    let works = Works::open();
    let mut payload = rounds(&[&["name"]]);
    payload["failing"] = json!(2);
    let id = works.submit("interview", payload).await;
    works.work().await;
    works.answer(id, accept(&["name"])).await.unwrap();
    works.work().await;
    works.advance(PATIENCE);
    lose(&works).await;
    works.advance(2 * LEASE);
    works.worker.sweep().await.unwrap();
    works.work().await;
    assert_eq!(
        works.read(id).await.result,
        Some(Value::Object(accept(&["name"])))
    );
    let expected = [
        (1, "input_required"),
        (2, "plugin_unavailable"),
        (3, "interrupted"),
        (4, "success"),
    ];
    assert_eq!(works.tries(id).await, tried(&expected));
}

#[tokio::test]
async fn what_is_asked_and_answered_outlives_the_process() {
    let mut works = Works::open();
    let id = works.submit("interview", rounds(&[&["name", "age"]])).await;
    works.work().await;
    works = Works::of(works.shop.restarted().await);
    assert_eq!(works.asked(id).await, ["name", "age"]);
    works.answer(id, accept(&["age"])).await.unwrap();
    works = Works::of(works.shop.restarted().await);
    works.answer(id, accept(&["name"])).await.unwrap();
    works = Works::of(works.shop.restarted().await);
    works.work().await;
    assert_eq!(
        works.read(id).await.result,
        Some(Value::Object(accept(&["name", "age"])))
    );
}

#[rstest]
#[case(&[&["name"][..], &["name"]])]
#[case(&[&["name"][..], &["age"], &["city", "name"]])]
#[tokio::test]
async fn a_task_whose_plugin_uses_a_key_twice_fails_and_says_so(#[case] asked: &[&[&str]]) {
    let works = Works::open();
    let id = works.submit("interview", rounds(asked)).await;
    for keys in asked {
        works.work().await;
        // The last answers come too late.
        drop(works.answer(id, accept(keys)).await);
    }
    let task = works.read(id).await;
    assert_eq!((task.standing.status, &task.inquiry), (TaskStatus::Failed, &None));
    let error = task.error.unwrap();
    assert_eq!(error.code, "plugin_failed");
    assert!(error.message.contains("'name'"), "{}", error.message);
    assert_eq!(works.tries(id).await.last().unwrap().1, "plugin_failed");
}

#[tokio::test]
async fn a_task_that_was_called_off_while_it_asked_begins_anew_when_it_is_tried_again() {
    let works = Works::open();
    let id = works.submit("interview", rounds(&[&["name"], &["age"]])).await;
    works.work().await;
    works.answer(id, accept(&["name"])).await.unwrap();
    works.work().await;
    works.shop.engine.cancel_task(&operator(), id).await.unwrap();
    let late = works.answer(id, accept(&["age"])).await.unwrap_err();
    assert_eq!(late.code(), ErrorCode::Conflict);
    assert_eq!(works.status(id).await, TaskStatus::Cancelled);
    works.shop.engine.retry_task(&operator(), id).await.unwrap();
    works.work().await;
    assert_eq!(works.asked(id).await, ["name"]);
}

#[rstest]
#[case(json!("Ada"))]
#[case(json!({}))]
#[case(json!({ "action": "shrug" }))]
#[case(json!({ "action": "accept", "content": ["Ada"] }))]
#[tokio::test]
async fn what_can_not_be_an_answer_is_refused_and_nothing_of_it_is_kept(#[case] answer: Value) {
    let works = Works::open();
    let id = works.submit("interview", rounds(&[&["name", "age"]])).await;
    works.work().await;
    let mut answers = accept(&["age"]);
    answers.insert("name".to_owned(), answer);
    let refused = works.answer(id, answers).await.unwrap_err();
    assert_eq!(refused.details()[0].path, "answers.name");
    assert_eq!(works.asked(id).await, ["name", "age"]);
}

#[tokio::test]
async fn c08_answers_are_bounded_in_size_and_depth() {
    let works = Works::open();
    let id = works.submit("interview", rounds(&[&["name"]])).await;
    works.work().await;
    let deep = (0..70).fold(json!({}), |inner, _| json!({ "a": inner }));
    for content in [json!({ "text": "x".repeat(1_100_000) }), deep] {
        let mut answers = Map::new();
        answers.insert(
            "name".to_owned(),
            json!({ "action": "accept", "content": content }),
        );
        let refused = works.answer(id, answers).await.unwrap_err();
        assert_eq!(refused.details()[0].path, "answers");
    }
    assert_eq!(works.asked(id).await, ["name"]);
}

#[tokio::test]
async fn b03_only_who_may_call_the_plugin_answers_for_it() {
    let works = Works::open();
    let ada = works.shop.person("ada").await.principal;
    let request = job("lab", "interview", rounds(&[&["name"]]));
    let id = works.submit_as(&ada, request).await;
    works.work().await;
    let narrow = Principal {
        scopes: Scopes::new(["tasks:write".parse().unwrap()].into()).unwrap(),
        ..Principal::clone(&ada)
    };
    let engine = &works.shop.engine;
    let refused = engine
        .answer_task(&narrow, id, accept(&["name"]))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InsufficientScope);
    let grace = works.shop.person("grace").await.principal;
    let foreign = engine
        .answer_task(&grace, id, accept(&["name"]))
        .await
        .unwrap_err();
    assert_eq!(foreign.code(), ErrorCode::NotFound);
    engine.answer_task(&ada, id, accept(&["name"])).await.unwrap();
    works.work().await;
    assert_eq!(works.status(id).await, TaskStatus::Completed);
}

#[tokio::test]
async fn whoever_waits_for_a_task_hears_at_once_that_it_asks() {
    let works = Works::open();
    let id = works.submit("interview", rounds(&[&["name"]])).await;
    let operator = operator();
    let running = works.shop.engine.run_task(&operator, id, PATIENCE);
    let (run, _) = timeout(PATIENCE / 2, async { tokio::join!(running, works.work()) })
        .await
        .unwrap();
    let run = run.unwrap();
    assert!(!run.has_ended && run.task.standing.awaits_input);
}

#[tokio::test]
async fn the_end_of_an_attempt_that_asks_is_recorded_when_the_store_works_again() {
    let works = Works::open();
    works.shop.store.fail("finish_task");
    works.shop.store.forget("finish_task");
    let id = works.submit("interview", rounds(&[&["name"]])).await;
    works.work().await;
    assert_eq!(works.asked(id).await, ["name"]);
    assert_eq!(works.tries(id).await, tried(&[(1, "input_required")]));
}
