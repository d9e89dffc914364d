//! Tasks of which others come.

use rstest::rstest;
use serde_json::{Value, json};

use super::{act, echo, make, read, when};
use crate::{
    caller::{Caller, Person},
    fixture::Server,
};

fn recurring(schedule: Value) -> Value {
    let mut task = echo("tick");
    task["schedule"] = schedule;
    task
}

#[tokio::test]
async fn a_recurring_task_shows_its_next_runs_unless_it_is_paused() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let schedule = json!({ "cron": "30 6 1 1 *", "timezone": "Europe/Berlin", "catchUp": "skip" });
    let id = make(&ada.caller, recurring(schedule)).await;
    let shown = read(&ada.caller, &id).await["schedule"].clone();
    assert_eq!(
        (&shown["timezone"], &shown["catchUp"]),
        (&json!("Europe/Berlin"), &json!("skip"))
    );
    let runs: Vec<_> = shown["nextRuns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run.as_str().unwrap())
        .collect();
    assert!(runs.len() == 5 && runs.is_sorted(), "{runs:?}");
    assert!(
        runs.iter().all(|run| run.ends_with("-01-01T05:30:00.000Z")),
        "{runs:?}"
    );

    let paused = act(&ada.caller, &id, "pause").await.expect(200).data();
    assert_eq!(
        (&paused["schedule"]["isPaused"], &paused["schedule"]["nextRuns"]),
        (&json!(true), &json!([]))
    );
    let resumed = act(&ada.caller, &id, "resume").await.expect(200).data();
    assert_eq!(resumed["schedule"]["nextRuns"][0], runs[0]);

    let changed = json!({ "schedule": { "cron": "0 12 * * *", "timezone": "UTC" } });
    let changed = ada
        .caller
        .put(&format!("/api/v1/tasks/{id}"), changed)
        .await
        .expect(200)
        .data();
    assert!(
        changed["schedule"]["nextRuns"][0]
            .as_str()
            .unwrap()
            .ends_with("T12:00:00.000Z")
    );

    act(&ada.caller, &id, "execute").await.refused(409, "conflict");
    assert_eq!(
        act(&ada.caller, &id, "cancel").await.expect(200).data()["status"],
        "cancelled"
    );
    act(&ada.caller, &id, "resume").await.refused(409, "conflict");
    server.stop().await;
}

#[tokio::test]
async fn a_tick_makes_a_task_that_names_where_it_came_from() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let id = make(&operator, recurring(json!({ "cron": "* * * * * *" }))).await;
    let jobs = format!("/api/v1/tasks?scheduleId={id}&status=completed");
    let looking = async {
        loop {
            let found = operator.get(&jobs).await.expect(200);
            if found.body["page"]["total"] != 0 {
                break found;
            }
        }
    };
    let found = tokio::time::timeout(crate::fixture::PATIENCE, looking)
        .await
        .expect("a task comes of it");
    let job = &found.body["data"][0];
    assert_eq!(
        (&job["scheduleId"], &job["result"]["message"]),
        (&json!(id), &json!("tick"))
    );
    assert!(job.get("schedule").is_none());
    act(&operator, &id, "cancel").await.expect(200);
    assert!(when(&operator, &id, "cancelled").await["schedule"]["lastRunAt"].is_string());
    server.stop().await;
}

#[rstest]
#[case::no_expression(json!({ "cron": "every day" }), "schedule.cron")]
#[case::never(json!({ "cron": "0 0 31 2 *" }), "schedule.cron")]
#[case::too_long(json!({ "cron": "0 ".repeat(200) }), "schedule.cron")]
#[case::no_zone(json!({ "cron": "0 0 * * *", "timezone": "Mars/Olympus" }), "schedule.timezone")]
#[case::no_way(json!({ "cron": "0 0 * * *", "catchUp": "all" }), "schedule.catchUp")]
#[case::unknown(json!({ "cron": "0 0 * * *", "isPaused": true }), "schedule.isPaused")]
#[case::nothing(json!({}), "schedule.cron")]
#[case::null(Value::Null, "schedule")]
#[tokio::test]
async fn c13_a_schedule_that_can_not_be_kept_is_refused(#[case] schedule: Value, #[case] path: &str) {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let refused = operator
        .post("/api/v1/tasks", recurring(schedule))
        .await
        .refused(422, "validation_failed");
    assert_eq!(refused.refused_fields(), [path], "{}", refused.text);
    server.stop().await;
}

#[tokio::test]
async fn only_a_recurring_task_is_paused() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let id = make(&operator, json!({ "title": "to-do" })).await;
    for verb in ["pause", "resume"] {
        act(&operator, &id, verb).await.refused(409, "conflict");
    }
    server.stop().await;
}
