//! Fields of tasks at and beyond their limits.

use rstest::rstest;
use serde_json::{Value, json};

use super::{echo, make, read, when};
use crate::{caller::Caller, fixture::Server};

/// A job with one field set.
fn with(field: &str, value: Value) -> Value {
    let mut task = echo("hello");
    task[field] = value;
    task
}

#[tokio::test]
async fn c05_numbers_are_refused_outside_their_range_which_is_named() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let wrong = [
        json!(-1),
        json!(101),
        json!(0.1),
        json!("3"),
        json!(1e300),
        json!(u64::MAX),
        json!(i64::MIN),
        Value::Null,
    ];
    for value in wrong {
        for field in ["maxRetries", "maxStalls"] {
            let refused = operator.post("/api/v1/tasks", with(field, value.clone())).await;
            let refused = refused.refused(422, "validation_failed");
            let expected = format!("{field} must be a whole number from 0 to 100");
            assert_eq!(refused.message(), expected, "{value}");
        }
    }
    for value in [json!(0), json!(86_400_001), json!(-0.0), json!(1.5), json!("1s")] {
        let refused = operator
            .post("/api/v1/tasks", with("timeoutMs", value.clone()))
            .await;
        let refused = refused.refused(422, "validation_failed");
        assert_eq!(
            refused.message(),
            "timeoutMs must be a whole number from 1 to 86400000",
            "{value}"
        );
    }
    for (field, value) in [
        ("maxRetries", json!(0)),
        ("maxRetries", json!(100.0)),
        ("maxStalls", json!(-0.0)),
        ("timeoutMs", json!(86_400_000)),
        ("timeoutMs", json!(1)),
    ] {
        let made = operator
            .post("/api/v1/tasks", with(field, value.clone()))
            .await
            .expect(201)
            .data();
        assert_eq!(made[field].as_f64(), value.as_f64().map(f64::abs), "{field}");
    }
    for limit in ["0", "-1", "101", "1e9", "abc"] {
        let refused = operator.get(&format!("/api/v1/tasks?limit={limit}")).await;
        assert_eq!(
            refused.refused(422, "validation_failed").refused_fields(),
            ["limit"]
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn c05_a_number_that_is_no_number_is_malformed() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    for number in ["1e400", "NaN", "18446744073709551616"] {
        let body = format!(r#"{{"title":"x","maxRetries":{number}}}"#).into_bytes();
        let sent = operator.send_raw(
            http::Method::POST,
            "/api/v1/tasks",
            Some(("application/json", body)),
        );
        sent.await.refused(400, "malformed_json");
    }
    server.stop().await;
}

#[rstest]
#[case::title_empty("title", json!(""))]
#[case::title_of_spaces("title", json!("   "))]
#[case::title_too_long("title", json!("x".repeat(201)))]
#[case::title_of_a_megabyte("title", json!("x".repeat(1_000_000)))]
#[case::title_with_nul("title", json!("a\u{0}b"))]
#[case::title_of_two_lines("title", json!("a\nb"))]
#[case::title_object("title", json!({ "$gt": "" }))]
#[case::title_null("title", Value::Null)]
#[case::description_too_long("description", json!("x".repeat(10_001)))]
#[case::description_with_escape("description", json!("\u{1b}[31m"))]
#[case::key_too_long("uniqueKey", json!("x".repeat(256)))]
#[case::key_empty("uniqueKey", json!(""))]
#[case::priority_unknown("priority", json!("urgent"))]
#[case::priority_of_another_case("priority", json!("High"))]
#[case::plugin_with_operator("plugin", json!("' OR 1=1"))]
#[case::payload_array("payload", json!([1]))]
#[case::payload_text("payload", json!("{}"))]
#[tokio::test]
async fn c06_a_text_that_is_not_accepted_is_refused_where_it_stands(
    #[case] field: &str,
    #[case] value: Value,
) {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let refused = operator
        .post("/api/v1/tasks", with(field, value))
        .await
        .refused(422, "validation_failed");
    assert_eq!(refused.refused_fields(), [field]);
    assert_eq!(operator.get("/api/v1/tasks").await.body["page"]["total"], 0);
    server.stop().await;
}

#[tokio::test]
async fn c06_texts_that_are_accepted_are_kept_as_they_are() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let texts = [
        "  <script>alert(1)</script> ".to_owned(),
        "\u{202e}desrever".to_owned(),
        "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!͖̬̰̙̗̿̋ͥͥ̂ͣ̐́́͜͞".to_owned(),
        "👩‍👩‍👧‍👦 ｆｕｌｌ ﬁ ǅ".to_owned(),
        "'; DROP TABLE tasks; --".to_owned(),
        "ä".repeat(200),
    ];
    for text in texts {
        let task = json!({ "title": text, "description": text, "uniqueKey": text, "tags": [text.chars().take(64).collect::<String>()] });
        let id = make(&operator, task.clone()).await;
        let kept = read(&operator, &id).await;
        for field in ["title", "description", "uniqueKey", "tags"] {
            assert_eq!(kept[field], task[field], "{field}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn c06_lists_are_refused_beyond_their_size() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let tags: Vec<_> = (0..21).map(|number| format!("tag {number}")).collect();
    let ids = vec!["0199c0de-0000-7000-8000-00000000abcd"; 101];
    for (field, value, path) in [
        ("tags", json!(tags), "tags"),
        ("tags", json!(["good", ""]), "tags.1"),
        ("tags", json!("good"), "tags"),
        ("dependsOn", json!(ids), "dependsOn"),
        ("dependsOn", json!(ids[..2]), "dependsOn.1"),
        ("dependsOn", json!(["x"]), "dependsOn.0"),
    ] {
        let refused = operator
            .post("/api/v1/tasks", with(field, value))
            .await
            .refused(422, "validation_failed");
        assert_eq!(refused.refused_fields(), [path]);
    }
    for count in [0, 1_001] {
        let tasks = vec![json!({ "title": "x" }); count];
        let refused = operator
            .post("/api/v1/tasks/bulk", json!({ "tasks": tasks }))
            .await;
        assert_eq!(
            refused.refused(422, "validation_failed").refused_fields(),
            ["tasks"]
        );
    }
    server.stop().await;
}

#[rstest]
#[case::leap_second("2030-06-30T23:59:60Z", true)]
#[case::year_zero("0000-01-01T00:00:00Z", false)]
#[case::before_the_epoch("1969-12-31T23:59:59Z", false)]
#[case::year_10000("10000-01-01T00:00:00Z", false)]
#[case::year_9999("9999-12-31T23:59:59Z", false)]
#[case::no_zone("2030-01-01T00:00:00", false)]
#[case::no_time("2030-01-01", false)]
#[case::no_day("2030-02-30T00:00:00Z", false)]
#[case::words("tomorrow", false)]
#[case::in_80_years("2100-01-01T00:00:00+14:00", true)]
#[tokio::test]
async fn c07_a_time_is_a_moment_of_the_next_hundred_years(#[case] time: &str, #[case] is_accepted: bool) {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let reply = operator
        .post("/api/v1/tasks", with("scheduledAt", json!(time)))
        .await;
    if is_accepted {
        assert_eq!(reply.expect(201).data()["status"], "pending");
    } else {
        assert_eq!(
            reply.refused(422, "validation_failed").refused_fields(),
            ["scheduledAt"]
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn c07_a_task_whose_time_has_passed_runs_now() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let id = make(&operator, with("scheduledAt", json!("2001-01-01T00:00:00Z"))).await;
    let done = when(&operator, &id, "completed").await;
    assert_eq!(done["scheduledAt"], "2001-01-01T00:00:00.000Z");
    server.stop().await;
}

#[tokio::test]
async fn c08_a_payload_comes_through_as_it_is() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let rows: Vec<_> = (0..1_000)
        .map(|number| json!({ "$where": number, "a.b": 1, "__proto__": {}, "": null }))
        .collect();
    let task = json!({
        "title": "odd keys", "plugin": "dataProcessor", "action": "transform",
        "payload": { "rows": rows, "operations": [{ "operation": "limit", "count": 1 }] },
        "scheduledAt": "2099-01-01T00:00:00Z",
    });
    let id = make(&operator, task.clone()).await;
    assert_eq!(read(&operator, &id).await["payload"], task["payload"]);
    server.stop().await;
}

#[tokio::test]
async fn a_payload_is_checked_against_the_action_at_once() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let refused = operator
        .post(
            "/api/v1/tasks",
            with("payload", json!({ "message": 1, "more": 2 })),
        )
        .await;
    let mut paths: Vec<_> = Vec::new();
    let refused = refused.refused(422, "validation_failed");
    paths.extend(refused.refused_fields());
    assert!(paths.contains(&"payload.message"), "{paths:?}");
    operator
        .post("/api/v1/tasks", with("plugin", json!("nothing")))
        .await
        .refused(404, "not_found");
    operator
        .post("/api/v1/tasks", with("action", json!("nothing")))
        .await
        .refused(404, "not_found");
    server.stop().await;
}

#[rstest]
#[case::plugin_alone(json!({ "title": "x", "plugin": "sample" }), &["action"])]
#[case::action_alone(json!({ "title": "x", "action": "echo" }), &["plugin"])]
#[case::to_do_with_work(json!({ "title": "x", "payload": {}, "maxRetries": 1 }), &["payload", "maxRetries"])]
#[case::to_do_on_a_schedule(json!({ "title": "x", "schedule": { "cron": "0 0 * * *" } }), &["schedule"])]
#[tokio::test]
async fn fields_that_do_not_go_together_are_named(#[case] task: Value, #[case] paths: &[&str]) {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let refused = operator
        .post("/api/v1/tasks", task)
        .await
        .refused(422, "validation_failed");
    assert_eq!(refused.refused_fields(), paths);
    server.stop().await;
}

#[rstest]
#[case("?order=up", "order")]
#[case("?status=done", "status")]
#[case("?status=", "status")]
#[case("?priority=1", "priority")]
#[case("?plugin=a.b", "plugin")]
#[case("?recurring=1", "recurring")]
#[case("?scheduledAfter=today", "scheduledAfter")]
#[case("?scheduleId=1", "scheduleId")]
#[case("?sort=title", "sort")]
#[case("?sort=-createdAt&sort=createdAt", "sort")]
#[case("?q=", "q")]
#[case("?tag=%00", "tag")]
#[case("?cursor=abc", "cursor")]
#[tokio::test]
async fn c10_a_filter_that_is_not_accepted_is_named(#[case] query: &str, #[case] path: &str) {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let refused = operator
        .get(&format!("/api/v1/tasks{query}"))
        .await
        .refused(422, "validation_failed");
    assert_eq!(refused.refused_fields(), [path]);
    server.stop().await;
}
