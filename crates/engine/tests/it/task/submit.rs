//! New tasks.

use std::time::Duration;

use engine::{ScheduleRequest, TaskRequest};
use model::{
    ActionName, CatchUp, Clock as _, Error, ErrorCode, PluginName, TaskId, TaskKind, TaskStatus, Timestamp,
    UniqueKey,
};
use rstest::rstest;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{claim, echo, job, paths, read, submit, titles, to_do, well, work};
use crate::{
    fixture::code,
    shop::{Shop, admin, key, user},
};

const ABSENT: &str = "0199c0de-0000-7000-8000-00000000abcd";

fn schedule() -> ScheduleRequest {
    ScheduleRequest {
        cron: "0 6 * * *".to_owned(),
        timezone: Some("Europe/Berlin".to_owned()),
        catch_up: Some(CatchUp::Skip),
    }
}

fn unique(request: TaskRequest) -> TaskRequest {
    TaskRequest {
        unique_key: Some(UniqueKey::parse("nightly").unwrap()),
        ..request
    }
}

#[tokio::test]
async fn a_submitted_job_is_pending_with_what_was_left_out_filled_in() {
    let shop = Shop::open();
    let request = TaskRequest {
        payload: None,
        ..echo("report")
    };
    let task = submit(&shop, &user(1), request).await.unwrap();
    assert_eq!(task.standing.status, TaskStatus::Pending);
    assert_eq!(task.standing.kind, TaskKind::Job);
    assert_eq!(
        (task.standing.max_retries, task.standing.max_stalls, task.timeout),
        (3, 3, None)
    );
    assert_eq!(task.job.as_ref().unwrap().payload, json!({}));
    assert_eq!(task.user_id, user(1).user_id());
    assert_eq!(task.created_at, shop.clock.now());
    assert_eq!(task, read(&shop, task.id).await);
}

#[tokio::test]
async fn a_task_without_a_plugin_is_a_to_do_that_no_worker_gets() {
    let shop = Shop::open();
    let task = submit(&shop, &user(1), to_do("call Ada")).await.unwrap();
    assert_eq!(task.standing.kind, TaskKind::ToDo);
    assert!(claim(&shop).await.is_empty());
}

#[tokio::test]
async fn a_task_with_a_schedule_is_recurring_and_no_worker_gets_it_itself() {
    let shop = Shop::open();
    let request = TaskRequest {
        schedule: Some(schedule()),
        ..echo("nightly")
    };
    let task = submit(&shop, &user(1), request).await.unwrap();
    let recurrence = task.recurrence.unwrap();
    assert_eq!(recurrence.next_at, "2026-06-02T04:00:00Z".parse().ok());
    assert_eq!(recurrence.catch_up, CatchUp::Skip);
    assert!(claim(&shop).await.is_empty());
}

#[tokio::test]
async fn a16_a_key_needs_the_scope_of_tasks_and_that_of_the_plugin() {
    let shop = Shop::open();
    let tasks_only = key(1, &["tasks:write"]);
    let refused = submit(&shop, &tasks_only, echo("report")).await;
    assert_eq!(code(refused), ErrorCode::InsufficientScope);
    let plugins_only = key(1, &["plugins:execute", "tasks:read"]);
    let refused = submit(&shop, &plugins_only, to_do("call Ada")).await;
    assert_eq!(code(refused), ErrorCode::InsufficientScope);
    assert!(titles(&shop).await.is_empty());
    submit(&shop, &tasks_only, to_do("call Ada")).await.unwrap();
    let both = key(1, &["tasks:write", "plugins:execute:lab"]);
    submit(&shop, &both, echo("report")).await.unwrap();
}

#[tokio::test]
async fn a_plugin_or_action_that_is_not_there_is_not_found() {
    let shop = Shop::open();
    let nowhere = TaskRequest {
        plugin: Some(PluginName::parse("nowhere").unwrap()),
        ..echo("report")
    };
    assert_eq!(code(submit(&shop, &user(1), nowhere).await), ErrorCode::NotFound);
    let nothing = TaskRequest {
        action: Some(ActionName::parse("nothing").unwrap()),
        ..echo("report")
    };
    let refused = submit(&shop, &user(1), nothing).await;
    assert_eq!(code(refused), ErrorCode::NotFound);
}

fn id(number: u128) -> TaskId {
    TaskId::from_uuid(Uuid::from_u128(number))
}

fn far() -> Option<Timestamp> {
    "2126-06-02T13:00:00Z".parse().ok()
}

#[rstest]
#[case(TaskRequest { action: None, payload: None, ..echo("x") }, &["action"])]
#[case(TaskRequest { plugin: None, payload: None, ..echo("x") }, &["plugin"])]
#[case(TaskRequest { payload: Some(json!({})), max_retries: Some(1), ..to_do("x") }, &["payload", "maxRetries"])]
#[case(TaskRequest { timeout: Some(Duration::from_secs(1)), max_stalls: Some(1), ..to_do("x") }, &["maxStalls", "timeoutMs"])]
#[case(TaskRequest { depends_on: vec![id(1)], schedule: Some(schedule()), ..to_do("x") }, &["dependsOn", "schedule", "dependsOn"])]
#[case(TaskRequest { max_retries: Some(101), max_stalls: Some(101), ..echo("x") }, &["maxRetries", "maxStalls"])]
#[case(TaskRequest { timeout: Some(Duration::from_micros(999)), ..echo("x") }, &["timeoutMs"])]
#[case(TaskRequest { timeout: Some(Duration::from_millis(86_400_001)), ..echo("x") }, &["timeoutMs"])]
#[case(TaskRequest { scheduled_at: far(), ..echo("x") }, &["scheduledAt"])]
#[case(TaskRequest { scheduled_at: Some(Timestamp::MAX), ..to_do("x") }, &["scheduledAt"])]
#[case(TaskRequest { depends_on: vec![id(1), id(2), id(1)], ..echo("x") }, &["dependsOn.2"])]
#[case(TaskRequest { depends_on: (0..101).map(id).collect(), ..echo("x") }, &["dependsOn"])]
#[case(TaskRequest { depends_on: vec![id(1)], ..echo("x") }, &["dependsOn.0"])]
#[case(TaskRequest { schedule: Some(schedule()), scheduled_at: Some(Timestamp::default()), ..echo("x") }, &["scheduledAt"])]
#[case(TaskRequest { schedule: Some(ScheduleRequest { cron: "never".into(), ..schedule() }), ..echo("x") }, &["schedule.cron"])]
#[case(TaskRequest { schedule: Some(ScheduleRequest { timezone: Some("Mars/Base".into()), ..schedule() }), ..echo("x") }, &["schedule.timezone"])]
#[case(job("x", "strict", json!({ "message": "too long" })), &["payload.message"])]
#[case(TaskRequest { max_retries: Some(200), scheduled_at: far(), ..job("x", "strict", json!({})) }, &["payload.message", "maxRetries", "scheduledAt"])]
#[tokio::test]
async fn c05_c07_every_field_that_is_wrong_is_named(#[case] request: TaskRequest, #[case] wrong: &[&str]) {
    let shop = Shop::open();
    assert_eq!(paths(submit(&shop, &user(1), request).await), wrong);
    assert!(titles(&shop).await.is_empty());
}

#[tokio::test]
async fn limits_themselves_are_accepted() {
    let shop = Shop::open();
    let request = TaskRequest {
        max_retries: Some(100),
        max_stalls: Some(0),
        timeout: Some(Duration::from_millis(86_400_000)),
        scheduled_at: "2126-06-01T12:00:00Z".parse().ok(),
        ..echo("report")
    };
    let task = submit(&shop, &user(1), request).await.unwrap();
    assert_eq!((task.standing.max_retries, task.standing.max_stalls), (100, 0));
    let brief = TaskRequest {
        timeout: Some(Duration::from_millis(1)),
        ..echo("brief")
    };
    submit(&shop, &user(1), brief).await.unwrap();
}

#[tokio::test]
async fn c07_a_task_scheduled_in_the_past_runs_now_and_one_scheduled_later_later() {
    let shop = Shop::open();
    let at = |title, time: &str| TaskRequest {
        scheduled_at: Some(time.parse().unwrap()),
        ..echo(title)
    };
    submit(&shop, &user(1), at("past", "1970-01-01T00:00:00Z"))
        .await
        .unwrap();
    submit(&shop, &user(1), at("later", "2026-06-01T12:00:10Z"))
        .await
        .unwrap();
    assert_eq!(work(&shop, well).await, ["past"]);
    shop.clock.advance(Duration::from_millis(9_999));
    assert!(work(&shop, well).await.is_empty());
    shop.clock.advance(Duration::from_millis(1));
    assert_eq!(work(&shop, well).await, ["later"]);
}

#[tokio::test]
async fn c08_a_payload_is_kept_exactly_whatever_its_names() {
    let shop = Shop::open();
    let odd = json!({
        "$set": { "a.b": 1, "": null, "__proto__": { "constructor": [] } }, "\u{0}": "\u{0}\u{202e}", "n": 1.5e300,
        "i": 9_007_199_254_740_993_i64, "z": -0.0,
    });
    let many = Value::Object(
        (0..10_000)
            .map(|number| (number.to_string(), json!(number)))
            .collect(),
    );
    for payload in [odd, many] {
        let task = submit(&shop, &user(1), job("odd", "echo", payload.clone()))
            .await
            .unwrap();
        assert_eq!(read(&shop, task.id).await.job.unwrap().payload, payload);
    }
}

#[tokio::test]
async fn c08_a_payload_too_deep_or_too_large_is_refused_with_the_limit() {
    let shop = Shop::open();
    let deep = |levels| (1..levels).fold(json!({}), |inner, _| json!({ "a": inner }));
    let large = |bytes: usize| json!({ "a": "x".repeat(bytes - json!({ "a": "" }).to_string().len()) });
    for (fits, beyond, limit) in [
        (deep(64), deep(65), "64 levels"),
        (large(1024 * 1024), large(1024 * 1024 + 1), "1 MiB"),
    ] {
        submit(&shop, &user(1), job("fits", "echo", fits)).await.unwrap();
        let error = submit(&shop, &user(1), job("beyond", "echo", beyond))
            .await
            .unwrap_err();
        assert_eq!(error.details()[0].path, "payload");
        assert!(error.message().contains(limit), "{error}");
    }
}

#[rstest]
#[case(json!({ "a": [{ "$fromTask": ABSENT }] }), "payload.a.0.$fromTask")]
#[case(json!({ "$fromTask": ABSENT }), "payload.$fromTask")]
#[case(json!({ "a": { "$fromTask": 7 } }), "payload.a.$fromTask")]
#[case(json!({ "a": { "$fromTask": ABSENT, "pointer": "no" } }), "payload.a.pointer")]
#[tokio::test]
async fn c08_a_reference_must_lead_to_a_task_that_is_waited_for(#[case] payload: Value, #[case] path: &str) {
    let shop = Shop::open();
    let refused = submit(&shop, &user(1), job("x", "echo", payload)).await;
    assert_eq!(paths(refused), [path]);
}

#[tokio::test]
async fn a_payload_that_refers_to_results_is_not_held_against_the_schema_yet() {
    let shop = Shop::open();
    let first = submit(&shop, &user(1), echo("first")).await.unwrap();
    let request = TaskRequest {
        depends_on: vec![first.id],
        ..job(
            "second",
            "strict",
            json!({ "message": { "$fromTask": first.id, "pointer": "/rows/0/name" } }),
        )
    };
    let task = submit(&shop, &user(1), request.clone()).await.unwrap();
    assert_eq!(task.job.unwrap().payload, request.payload.unwrap());
}

#[tokio::test]
async fn while_a_task_with_the_same_unique_key_is_under_way_that_one_is_given() {
    let shop = Shop::open();
    let submitted = async |title| {
        shop.engine
            .submit_task(&user(1), unique(echo(title)), None)
            .await
            .unwrap()
    };
    let first = submitted("first").await;
    assert!(first.is_new);
    let second = submitted("second").await;
    assert_eq!((second.is_new, second.task.id), (false, first.task.id));
    let other = submit(&shop, &user(2), unique(echo("another's"))).await.unwrap();
    assert_ne!(other.id, first.task.id);
    work(&shop, well).await;
    assert!(submitted("third").await.is_new);
    assert_eq!(titles(&shop).await, ["first", "another's", "third"]);
}

#[tokio::test]
async fn many_tasks_are_taken_at_once_in_their_order() {
    let shop = Shop::open();
    let requests = (0..1_000).map(|number| echo(&number.to_string())).collect();
    let submitted = shop.engine.submit_tasks(&user(1), requests, None).await.unwrap();
    assert_eq!(submitted.len(), 1_000);
    assert!(submitted.is_sorted_by_key(|submitted| submitted.task.id));
    assert_eq!(titles(&shop).await[..3], ["0", "1", "2"]);
}

#[tokio::test]
async fn of_many_tasks_none_is_taken_when_one_is_wrong() {
    let shop = Shop::open();
    let bulk = async |requests| shop.engine.submit_tasks(&user(1), requests, None).await;
    let wrong = TaskRequest {
        max_retries: Some(101),
        ..job("x", "strict", json!({}))
    };
    let refused = bulk(vec![
        echo("a"),
        wrong,
        TaskRequest {
            scheduled_at: far(),
            ..echo("c")
        },
    ])
    .await;
    let expected = [
        "tasks.1.payload.message",
        "tasks.1.maxRetries",
        "tasks.2.scheduledAt",
    ];
    assert_eq!(paths(refused), expected);
    let lonely = TaskRequest {
        depends_on: vec![id(1)],
        ..echo("b")
    };
    assert_eq!(
        paths(bulk(vec![echo("a"), lonely]).await),
        ["tasks.1.dependsOn.0"]
    );
    let nowhere = TaskRequest {
        plugin: Some(PluginName::parse("nowhere").unwrap()),
        ..echo("b")
    };
    let error: Error = bulk(vec![echo("a"), nowhere]).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert_eq!(error.details()[0].path, "tasks.1.plugin");
    assert_eq!(paths(bulk(Vec::new()).await), ["tasks"]);
    assert_eq!(paths(bulk(vec![to_do("x"); 1_001]).await), ["tasks"]);
    assert!(titles(&shop).await.is_empty());
}

#[tokio::test]
async fn of_many_mistakes_the_first_twenty_are_named() {
    let shop = Shop::open();
    let wrong = TaskRequest {
        max_retries: Some(101),
        ..echo("x")
    };
    let refused = shop.engine.submit_tasks(&user(1), vec![wrong; 1_000], None).await;
    assert_eq!(paths(refused).len(), 20);
}

#[tokio::test]
async fn the_operator_s_tasks_belong_to_nobody() {
    let shop = Shop::open();
    let operator = model::Principal::admin_key();
    let task = submit(&shop, &operator, echo("report")).await.unwrap();
    assert_eq!(task.user_id, None);
    assert_eq!(
        shop.engine.read_task(&admin(), task.id).await.unwrap().id,
        task.id
    );
}
