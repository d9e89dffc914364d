//! The extension for tasks.

use protocol::{ErrorCode, Questions, RpcError, TaskStatus};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    host::{
        Bench, Who,
        handler::{ask_name, said},
    },
    post::{Answer, TASKS, meta_with, request},
};

fn taking_tasks(method: &str, mut params: Value) -> Value {
    params["_meta"] = meta_with(json!({ "extensions": { TASKS: {} } }));
    request(method, params)
}

async fn send(bench: &Bench, method: &str, params: Value) -> Answer {
    bench.send(&Who::user("ada"), &taking_tasks(method, params)).await
}

/// Begins a task, and puts it into a state.
async fn begin(bench: &Bench, status: TaskStatus) -> String {
    let answer = send(bench, "tools/call", json!({ "name": "later" })).await;
    let id = answer.result()["taskId"].as_str().unwrap().to_owned();
    let mut tasks = bench.lab.tasks.lock();
    let task = &mut tasks.get_mut(&id).unwrap().1;
    task.handle.status = status;
    task.questions = if status == TaskStatus::InputRequired {
        ask_name(None)
    } else {
        Questions::default()
    };
    task.result = (status == TaskStatus::Completed).then(|| said("at last"));
    task.error = (status == TaskStatus::Failed).then(|| RpcError::new(ErrorCode::Internal, "broken"));
    id
}

#[tokio::test]
async fn a_task_comes_instead_of_a_result_for_who_takes_tasks() {
    let bench = Bench::new();
    let answer = send(&bench, "tools/call", json!({ "name": "later" })).await;
    insta::assert_json_snapshot!(answer.result(), { "._meta" => "[meta]" }, @r#"
    {
      "resultType": "task",
      "taskId": "task-0",
      "status": "working",
      "createdAt": "2026-07-28T00:00:00Z",
      "lastUpdatedAt": "2026-07-28T00:00:00Z",
      "ttlMs": 60000,
      "pollIntervalMs": 500,
      "_meta": "[meta]"
    }
    "#);
}

#[tokio::test]
async fn who_takes_no_tasks_gets_the_result() {
    let answer = Bench::new().ask("tools/call", json!({ "name": "later" })).await;
    assert_eq!(answer.result()["resultType"], "complete");
}

#[tokio::test]
async fn a_host_that_makes_a_task_nobody_takes_is_at_fault() {
    let answer = Bench::new().ask("tools/call", json!({ "name": "wrong" })).await;
    assert_eq!(answer.code(), -32_603);
}

#[rstest]
#[case("tasks/get", json!({ "taskId": "task-0" }))]
#[case("tasks/update", json!({ "taskId": "task-0", "inputResponses": {} }))]
#[case("tasks/cancel", json!({ "taskId": "task-0" }))]
#[tokio::test]
async fn methods_of_tasks_need_a_client_that_takes_them(#[case] method: &str, #[case] params: Value) {
    let bench = Bench::new();
    begin(&bench, TaskStatus::Working).await;
    let answer = bench.ask(method, params).await;
    assert_eq!((answer.status, answer.code()), (400, -32_021));
    let required = json!({ "requiredCapabilities": { "extensions": { TASKS: {} } } });
    assert_eq!(answer.json["error"]["data"], required);
    let told = answer.json["error"]["message"].as_str().unwrap();
    assert!(told.ends_with(TASKS), "{told}");
}

#[tokio::test]
async fn what_a_status_brings_comes_with_it() {
    let bench = Bench::new();
    let cases = [
        (TaskStatus::Working, "working", None),
        (TaskStatus::InputRequired, "input_required", Some("inputRequests")),
        (TaskStatus::Completed, "completed", Some("result")),
        (TaskStatus::Failed, "failed", Some("error")),
        (TaskStatus::Cancelled, "cancelled", None),
    ];
    for (status, name, brings) in cases {
        let id = begin(&bench, status).await;
        let answer = send(&bench, "tasks/get", json!({ "taskId": id })).await;
        let result = answer.result();
        assert_eq!(
            (&result["resultType"], &result["status"]),
            (&json!("complete"), &json!(name))
        );
        for key in ["inputRequests", "result", "error"] {
            assert_eq!(result.get(key).is_some(), brings == Some(key), "{name} {key}");
        }
        assert!(result.get("requestState").is_none());
    }
}

#[tokio::test]
async fn a_result_and_an_error_are_what_the_call_would_have_given() {
    let bench = Bench::new();
    let done = begin(&bench, TaskStatus::Completed).await;
    let answer = send(&bench, "tasks/get", json!({ "taskId": done })).await;
    let expected = json!({ "resultType": "complete", "content": [{ "type": "text", "text": "at last" }], "isError": false });
    assert_eq!(answer.result()["result"], expected);
    let failed = begin(&bench, TaskStatus::Failed).await;
    let answer = send(&bench, "tasks/get", json!({ "taskId": failed })).await;
    assert_eq!(
        answer.result()["error"],
        json!({ "code": -32_603, "message": "broken" })
    );
}

#[tokio::test]
async fn answers_to_a_task_are_acknowledged() {
    let bench = Bench::new();
    let id = begin(&bench, TaskStatus::InputRequired).await;
    let unknown = json!({ "taskId": id, "inputResponses": { "unknown": {} } });
    let ignored = send(&bench, "tasks/update", unknown).await;
    assert_eq!(ignored.result()["resultType"], "complete");
    assert_eq!(
        bench.lab.tasks.lock()[&id].1.handle.status,
        TaskStatus::InputRequired
    );
    let given = json!({ "taskId": id, "inputResponses": { "name": { "action": "accept" } } });
    assert_eq!(
        send(&bench, "tasks/update", given).await.result()["resultType"],
        "complete"
    );
    assert_eq!(bench.lab.tasks.lock()[&id].1.handle.status, TaskStatus::Working);
}

#[rstest]
#[case::missing(json!({}))]
#[case::null(json!({ "inputResponses": null }))]
#[case::number(json!({ "inputResponses": { "name": 5 } }))]
#[tokio::test]
async fn answers_to_a_task_must_be_objects(#[case] mut params: Value) {
    let bench = Bench::new();
    params["taskId"] = json!(begin(&bench, TaskStatus::InputRequired).await);
    assert_eq!(send(&bench, "tasks/update", params).await.code(), -32_602);
}

#[tokio::test]
async fn f07_cancelling_twice_is_fine() {
    let bench = Bench::new();
    let id = begin(&bench, TaskStatus::Working).await;
    for _ in 0..2 {
        let answer = send(&bench, "tasks/cancel", json!({ "taskId": id })).await;
        assert_eq!(answer.result()["resultType"], "complete");
    }
}

#[rstest]
#[case("tasks/get", json!({}))]
#[case("tasks/update", json!({ "inputResponses": {} }))]
#[case("tasks/cancel", json!({}))]
#[tokio::test]
async fn f07_a_task_that_is_not_there_or_not_ones_own_is_the_same(
    #[case] method: &str,
    #[case] params: Value,
) {
    let bench = Bench::new();
    let own = begin(&bench, TaskStatus::Working).await;
    let ask = |who: &str, id: &str| {
        let mut params = params.clone();
        params["taskId"] = json!(id);
        let message = taking_tasks(method, params);
        let who = Who::user(who);
        let bench = &bench;
        async move { bench.send(&who, &message).await.json["error"].clone() }
    };
    let foreign = ask("eve", &own).await;
    assert_eq!(foreign["code"], -32_602);
    assert_eq!(foreign, ask("ada", "task-unknown").await);
}
