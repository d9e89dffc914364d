//! Payloads that refer to results of earlier tasks, as a worker finds them.

use engine::TaskRequest;
use model::{Principal, Task, TaskStatus};
use serde_json::{Value, json};

use super::{echo, job, read, settle, submit};
use crate::shop::Shop;

/// Lets a worker do whatever becomes ready.
async fn work(shop: &Shop) {
    let worker = shop.engine.worker();
    loop {
        let step = worker.claim().await.unwrap();
        worker.idle().await;
        settle(shop).await;
        if step.begun == 0 {
            return;
        }
    }
}

/// Does a task that gives `result`, then one whose payload is made of a reference to that; gives the latter.
async fn follow(
    shop: &Shop,
    owner: &Principal,
    result: Value,
    payload: impl Fn(Value) -> TaskRequest,
) -> Task {
    let first = submit(shop, owner, job("first", "echo", result)).await.unwrap();
    let request = TaskRequest {
        depends_on: vec![first.id],
        ..payload(json!(first.id))
    };
    let second = submit(shop, owner, request).await.unwrap();
    work(shop).await;
    read(shop, second.id).await
}

fn failure(task: &Task) -> (&str, &str, u16) {
    assert_eq!(task.standing.status, TaskStatus::Failed);
    let error = task.error.as_ref().unwrap();
    (&error.code, &error.message, task.standing.retry_count)
}

#[tokio::test]
async fn a_reference_is_replaced_by_what_it_leads_to() {
    let shop = Shop::open();
    let ada = shop.person("ada").await.principal;
    let result = json!({ "rows": [{ "name": "ada", "a/b~c": [null] }] });
    let task = follow(&shop, &ada, result.clone(), |first| {
        let payload = json!({
            "who": { "$fromTask": first, "pointer": "/rows/0/name" },
            "list": [1, { "$fromTask": first, "pointer": "/rows/0/a~1b~0c" }, { "$fromTask": first, "pointer": "" }],
            "all": { "$fromTask": first },
        });
        job("second", "echo", payload)
    });
    let task = task.await;
    let expected = json!({ "who": "ada", "list": [1, [null], result], "all": result });
    assert_eq!(task.result, Some(expected.clone()), "{:?}", task.error);
    let attempts = shop.engine.task_attempts(&ada, task.id).await.unwrap();
    assert_eq!(
        attempts[0].payload, expected,
        "the history holds what was worked on"
    );
    assert_ne!(task.job.unwrap().payload, expected, "the task what was asked for");
}

#[tokio::test]
async fn a_whole_payload_can_be_the_result_of_another_task() {
    let shop = Shop::open();
    let ada = shop.person("ada").await.principal;
    let result = json!({ "message": "hello" });
    let task = follow(&shop, &ada, result.clone(), |first| {
        job("second", "strict", json!({ "$fromTask": first }))
    });
    assert_eq!(task.await.result, Some(result));
}

#[tokio::test]
async fn a_reference_that_leads_nowhere_fails_the_task_for_good() {
    let shop = Shop::open();
    let ada = shop.person("ada").await.principal;
    let task = follow(&shop, &ada, json!({ "rows": [] }), |first| {
        job(
            "second",
            "echo",
            json!({ "a": [{ "$fromTask": first, "pointer": "/rows/0" }] }),
        )
    });
    let task = task.await;
    let (code, message, retries) = failure(&task);
    assert_eq!((code, retries), ("validation_failed", 0));
    assert!(
        message.starts_with("payload.a.0 refers to \"/rows/0\""),
        "{message}"
    );
}

#[tokio::test]
async fn what_comes_together_is_held_against_the_schema_before_the_call() {
    let shop = Shop::open();
    let ada = shop.person("ada").await.principal;
    let task = follow(&shop, &ada, json!({ "n": 7 }), |first| {
        job(
            "second",
            "strict",
            json!({ "message": { "$fromTask": first, "pointer": "/n" } }),
        )
    });
    let task = task.await;
    let (code, message, retries) = failure(&task);
    assert_eq!((code, retries), ("validation_failed", 0));
    assert!(message.contains("payload.message"), "{message}");
    assert_eq!(shop.lab.calls(), 1, "only the first was called");
}

#[tokio::test]
async fn c08_what_comes_together_is_bounded_in_size_and_depth() {
    let shop = Shop::open();
    let ada = shop.person("ada").await.principal;
    let large = json!({ "text": "x".repeat(1_000_000) });
    let task = follow(&shop, &ada, large, |first| {
        let reference = json!({ "$fromTask": first, "pointer": "/text" });
        job("second", "echo", json!({ "list": vec![reference; 9] }))
    });
    assert!(failure(&task.await).1.contains("8 MiB"));
    let deep = (1..60).fold(json!({}), |inner, _| json!({ "a": inner }));
    let task = follow(&shop, &ada, deep, |first| {
        let nested = (0..10).fold(json!({ "$fromTask": first }), |inner, _| json!([inner]));
        job("second", "echo", json!({ "a": nested }))
    });
    assert!(failure(&task.await).1.contains("64 levels"));
}

#[tokio::test]
async fn a_task_that_is_tried_anew_although_what_it_refers_to_is_gone_says_so() {
    let shop = Shop::open();
    let ada = shop.person("ada").await.principal;
    let first = submit(&shop, &ada, echo("first")).await.unwrap();
    let request = TaskRequest {
        depends_on: vec![first.id],
        ..job("second", "echo", json!({ "a": { "$fromTask": first.id } }))
    };
    let second = submit(&shop, &ada, request).await.unwrap();
    shop.engine.cancel_task(&ada, first.id).await.unwrap();
    settle(&shop).await;
    shop.engine.delete_task(&ada, first.id).await.unwrap();
    shop.engine.retry_task(&ada, second.id).await.unwrap();
    work(&shop).await;
    assert!(failure(&read(&shop, second.id).await).1.contains("which is gone"));
}
