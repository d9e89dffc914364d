//! The history of calls.

use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    caller::{Caller, Person, Reply},
    fixture::Server,
};

fn messages(reply: &Reply) -> Vec<String> {
    let calls = reply.body["data"].as_array().unwrap();
    calls
        .iter()
        .map(|call| call["payload"]["message"].as_str().unwrap_or("-").to_owned())
        .collect()
}

#[tokio::test]
async fn the_history_is_filtered_sorted_and_paged() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    for message in ["one", "two", "three"] {
        ada.caller.echo(message).await.expect(200);
    }
    ada.caller
        .post("/mcp/execute", json!({ "plugin": "sample", "action": "fail" }))
        .await
        .expect(502);
    let get = async |query: &str| ada.caller.get(&format!("/mcp/history{query}")).await.expect(200);
    assert_eq!(messages(&get("").await), ["-", "three", "two", "one"]);
    assert_eq!(
        messages(&get("?sort=createdAt&status=success").await),
        ["one", "two", "three"]
    );
    assert_eq!(
        messages(&get("?action=fail&plugin=sample&source=rest").await),
        ["-"]
    );
    assert_eq!(get("?source=mcp").await.body["page"]["total"], 0);
    let first = get("?limit=3").await;
    let cursor = first.body["page"]["nextCursor"].as_str().unwrap();
    assert_eq!(first.body["page"]["total"], 4);
    let second = get(&format!("?limit=3&cursor={cursor}")).await;
    assert_eq!(
        (messages(&second), &second.body["page"]["nextCursor"]),
        (vec!["one".to_owned()], &Value::Null)
    );
    let moment = first.body["data"][1]["createdAt"].as_str().unwrap();
    let since = messages(&get(&format!("?since={moment}")).await);
    let until = messages(&get(&format!("?until={moment}")).await);
    assert_eq!(since.len() + until.len(), 4);
    assert!(since.contains(&"three".to_owned()) && !until.contains(&"three".to_owned()));
}

#[tokio::test]
async fn b01_another_persons_calls_do_not_exist() {
    let server = Server::start().await;
    let (ada, eve) = (
        Person::new(&server, "ada", "user").await,
        Person::new(&server, "eve", "developer").await,
    );
    let id = ada.caller.echo("secret").await.expect(200).data()["executionId"]
        .as_str()
        .unwrap()
        .to_owned();
    eve.caller
        .get(&format!("/mcp/history/{id}"))
        .await
        .refused(404, "not_found");
    let list = eve.caller.get("/mcp/history").await.expect(200);
    assert_eq!(
        (&list.body["data"], &list.body["page"]["total"]),
        (&json!([]), &json!(0))
    );
    let admin = Person::new(&server, "admin", "admin").await;
    assert_eq!(
        admin
            .caller
            .get(&format!("/mcp/history/{id}"))
            .await
            .expect(200)
            .data()["userId"],
        ada.id
    );
    assert_eq!(
        admin
            .caller
            .get(&format!("/mcp/history?userId={}", ada.id))
            .await
            .body["page"]["total"],
        1
    );
    assert_eq!(
        Caller::operator(&server)
            .get("/mcp/history")
            .await
            .expect(200)
            .body["page"]["total"],
        1
    );
}

#[tokio::test]
async fn b02_only_admins_filter_by_account() {
    let server = Server::start().await;
    let (ada, eve) = (
        Person::new(&server, "ada", "user").await,
        Person::new(&server, "eve", "user").await,
    );
    ada.caller.echo("secret").await.expect(200);
    for id in [&ada.id, &eve.id] {
        let refused = eve
            .caller
            .get(&format!("/mcp/history?userId={id}"))
            .await
            .refused(422, "validation_failed");
        assert_eq!(refused.refused_fields(), ["userId"]);
    }
}

#[rstest]
#[case("since", "2026-01-01T00:00:00")]
#[case("since", "2026-02-30T00:00:00Z")]
#[case("since", "0000-01-01T00:00:00Z")]
#[case("until", "10000-01-01T00:00:00Z")]
#[case("until", "now")]
#[case("status", "done")]
#[case("source", "REST")]
#[case("plugin", "a.b")]
#[case("action", "%27")]
#[case("userId", "me")]
#[case("limit", "0")]
#[tokio::test]
async fn c05_c07_c10_filters_are_refused_by_name(#[case] name: &str, #[case] value: &str) {
    let server = Server::start().await;
    let admin = Person::new(&server, "admin", "admin").await;
    let refused = admin
        .caller
        .get(&format!("/mcp/history?{name}={value}"))
        .await
        .refused(422, "validation_failed");
    assert_eq!(refused.refused_fields(), [name]);
}

#[tokio::test]
async fn c07_moments_of_any_zone_and_the_edges_of_time_are_understood() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    ada.caller.echo("now").await.expect(200);
    for (query, total) in [
        ("since=1970-01-01T00:00:00Z", 1),
        ("until=9999-12-31T23:59:59.999Z", 1),
        ("since=2026-06-30T23:59:60Z", 1),
        ("since=9999-01-01T00:00:00-12:00", 0),
        ("until=1970-01-01T00:00:00%2B00:00", 0),
    ] {
        let list = ada.caller.get(&format!("/mcp/history?{query}")).await.expect(200);
        assert_eq!(list.body["page"]["total"], total, "{query}");
    }
}
