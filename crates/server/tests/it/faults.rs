//! Servers on a shared store and shared limits, while these fail: what was acknowledged is there once, and what could not
//! be done is answered so that it can be tried again.

mod cut;
mod load;
mod redis;
mod replica_set;

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use self::{cut::Cut, load::Load, redis::Redis, replica_set::ReplicaSet};
use crate::{
    caller::{Caller, Person},
    fixture::Server,
    home::{self, Home},
};

const PROFILE: &str = "/api/v1/auth/profile";
const LOGIN: &str = "/api/v1/auth/login";
const TASKS: &str = "/api/v1/tasks";

/// No task is begun: only what is written counts here.
const IDLE: [(&str, &str); 1] = [("WORKER_CONCURRENCY", "0")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g04_a_primary_that_steps_down_or_is_killed_under_load_loses_and_doubles_nothing() {
    let Some(mut set) = ReplicaSet::start().await else {
        return;
    };
    let home = Arc::new(Home::on(Some(set.uri()), None));
    let server = Server::start_in(&home, &IDLE).await;
    let ada = Person::new(&server, "ada", "user").await;
    let load = Load::default();
    let faults = async {
        load.until_more(20).await;
        set.step_down().await;
        load.until_more(20).await;
        set.kill_primary().await;
        load.until_more(20).await;
        set.restart_killed();
        set.kill_primary_when_whole().await;
        load.until_more(20).await;
        load.end();
    };
    let (acknowledged, ()) = tokio::join!(load.submit(&ada.caller), faults);
    load::require_each_once(&ada.caller, &acknowledged).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g04_a_network_that_is_cut_is_answered_in_time_and_nothing_is_lost_or_doubled() {
    let Some(uri) = home::program("MONGODB_URI") else {
        return;
    };
    let cut = Cut::before(&uri).await;
    let home = Arc::new(Home::on(Some(cut.uri()), None));
    let server = Server::start_in(&home, &IDLE).await;
    let ada = Person::new(&server, "ada", "user").await;
    let load = Load::default();
    let faults = async {
        for _ in 0..2 {
            load.until_more(10).await;
            cut.silence();
            load.until_refused(2).await;
            let alive = Caller::stranger(&server).get("/health/live").await;
            assert_eq!(alive.status, 200, "{}", alive.text);
            let ready = Caller::stranger(&server).get("/health/ready").await;
            assert_eq!((ready.status, ready.code()), (503, "unavailable"));
            cut.heal();
        }
        load.until_more(10).await;
        load.end();
    };
    let (acknowledged, ()) = tokio::join!(load.submit(&ada.caller), faults);
    load::require_each_once(&ada.caller, &acknowledged).await;
    server.stop().await;
}

/// How many requests a caller without a credential has left after one more.
async fn left(server: &Server) -> u32 {
    let reply = Caller::stranger(server).get(PROFILE).await;
    assert!([401, 429].contains(&reply.status), "{}", reply.text);
    reply.header("ratelimit-remaining").parse().unwrap()
}

/// Waits until a server says of Redis that it is connected, or isn't.
async fn until_connected(server: &Server, expected: bool) {
    let asking = async {
        loop {
            let health = Caller::stranger(server).get("/health/cache").await.expect(200);
            if health.data()["connected"] == expected {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::fixture::PATIENCE, asking)
        .await
        .expect("Redis never came or went");
}

#[tokio::test]
async fn d03_two_processes_that_share_redis_count_together_and_lock_no_account() {
    let Some(home) = Home::shared().map(Arc::new) else {
        return;
    };
    let limits = [
        ("RATE_LIMIT_MAX_REQUESTS", "4"),
        ("RATE_LIMIT_WINDOW_MS", "600000"),
    ];
    let (one, other) = (
        Server::start_in(&home, &limits).await,
        Server::start_in(&home, &limits).await,
    );
    until_connected(&one, true).await;
    until_connected(&other, true).await;
    let ada = Person::new(&one, "ada", "user").await;
    let wrong = json!({ "email": ada.email, "password": "not the right one" });
    let mut statuses = Vec::new();
    for server in [&one, &other, &one, &other, &one, &other] {
        let reply = Caller::stranger(server).post(LOGIN, wrong.clone()).await;
        statuses.push(reply.status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 429, 429]);
    for server in [&one, &other] {
        let caller = Caller::stranger(server).with_token(&ada.token);
        caller.get(PROFILE).await.expect(200);
    }
    let account = Caller::operator(&other)
        .get(&format!("/api/v1/users/{}", ada.id))
        .await;
    assert_eq!(account.expect(200).data()["isActive"], true);
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn g05_redis_killed_flushed_and_back_hinders_nobody_and_is_told_and_heals() {
    let (Some(mut redis), Some(uri)) = (Redis::start(), home::program("MONGODB_URI")) else {
        return;
    };
    let home = Arc::new(Home::on(Some(uri), Some(redis.url())));
    let limits = [
        ("RATE_LIMIT_MAX_REQUESTS", "1000"),
        ("RATE_LIMIT_WINDOW_MS", "600000"),
    ];
    let (one, other) = (
        Server::start_in(&home, &limits).await,
        Server::start_in(&home, &limits).await,
    );
    until_connected(&one, true).await;
    until_connected(&other, true).await;
    assert_eq!((left(&one).await, left(&other).await), (999, 998));
    redis.flush();
    assert_eq!((left(&one).await, left(&other).await), (999, 998));

    let ada = Person::new(&one, "ada", "user").await;
    redis.kill();
    until_connected(&one, false).await;
    until_connected(&other, false).await;
    for server in [&one, &other] {
        let caller = Caller::stranger(server).with_token(&ada.token);
        caller.echo("without Redis").await.expect(200);
        left(server).await;
        let health = Caller::stranger(server).get("/health").await.expect(200).data();
        assert_eq!(health["checks"]["cache"]["status"], "degraded", "{health}");
        Caller::stranger(server).get("/health/ready").await.expect(200);
    }
    // A revocation needs no Redis to be heard.
    let caller = Caller::stranger(&one).with_token(&ada.token);
    caller.post("/api/v1/auth/logout-all", Value::Null).await;
    let refused = async {
        let caller = Caller::stranger(&other).with_token(&ada.token);
        while caller.get(PROFILE).await.status != 401 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::fixture::PATIENCE, refused)
        .await
        .expect("the session was never ended on the other process");

    redis.restart();
    until_connected(&one, true).await;
    until_connected(&other, true).await;
    let together = (left(&one).await, left(&other).await);
    assert_eq!(together.1 + 1, together.0);
    one.stop().await;
    other.stop().await;
}

/// A server on the shared store, whatever is chosen, with an account.
async fn on_shared_store() -> Option<(Server, Person)> {
    let home = Arc::new(Home::shared()?);
    let server = Server::start_in(&home, &IDLE).await;
    let ada = Person::new(&server, "ada", "user").await;
    Some((server, ada))
}

#[tokio::test]
async fn a07_operators_in_place_of_texts_are_refused_and_find_nobody() {
    let Some((server, ada)) = on_shared_store().await else {
        return;
    };
    let stranger = Caller::stranger(&server);
    for operator in [
        json!({ "$gt": "" }),
        json!({ "$ne": null }),
        json!({ "$regex": ".*" }),
        json!({ "$where": "sleep(10000)" }),
        json!([{ "$gt": "" }]),
    ] {
        let body = json!({ "email": operator, "password": operator });
        let refused = stranger.post(LOGIN, body).await;
        refused.refused(422, "validation_failed");
        let body = json!({ "refreshToken": operator });
        let refused = stranger.post("/api/v1/auth/refresh", body).await;
        refused.refused(422, "validation_failed");
        let body = json!({ "title": operator });
        let refused = ada.caller.post(TASKS, body).await;
        refused.refused(422, "validation_failed");
    }
    let texts = ["{\"$gt\":\"\"}@example.org", "$ne@example.org"];
    for text in texts {
        let refused = stranger.log_in(text, "$gt").await;
        refused.refused(401, "invalid_credentials");
    }
    server.stop().await;
}

#[tokio::test]
async fn c08_keys_with_dots_and_dollars_come_back_and_change_nothing_else() {
    let Some((server, ada)) = on_shared_store().await else {
        return;
    };
    let names = [
        "$set",
        "$where",
        "a.b",
        "a.$[].b",
        ".",
        "$",
        "__proto__",
        "",
        "_id",
        "\u{202e}",
    ];
    let odd: Value = names
        .iter()
        .map(|name| {
            (
                (*name).to_owned(),
                json!([1, null, { *name: { "$unset": { "role": 1 } } }]),
            )
        })
        .collect::<serde_json::Map<_, _>>()
        .into();
    let path = format!("/api/v1/users/{}", ada.id);
    ada.caller
        .put(&path, json!({ "metadata": odd }))
        .await
        .expect(200);
    let kept = ada.caller.get(&path).await.expect(200).data();
    assert_eq!((&kept["metadata"], &kept["role"]), (&odd, &json!("user")));

    let rows: Vec<&Value> = vec![&odd; 50];
    let payload = json!({ "rows": rows, "operations": [{ "operation": "limit", "count": 1 }] });
    let task =
        json!({ "title": "$set", "plugin": "dataProcessor", "action": "transform", "payload": payload });
    let made = ada.caller.post(TASKS, task).await.expect(201).data();
    let path = format!("{TASKS}/{}", made["id"].as_str().unwrap());
    let kept = ada.caller.get(&path).await.expect(200).data();
    assert_eq!((&kept["payload"], &kept["title"]), (&payload, &json!("$set")));
    server.stop().await;
}

#[tokio::test]
async fn c10_filters_with_operators_are_literal_or_refused_and_show_nothing_of_others() {
    let Some((server, ada)) = on_shared_store().await else {
        return;
    };
    let bob = Person::new(&server, "bob", "user").await;
    let task = json!({ "title": "$where: 1", "tags": ["$in", "a.b"] });
    let made = ada.caller.post(TASKS, task).await.expect(201).data();
    for query in [
        "q=%24where",
        "q=.*",
        "q=(a%2B)%2B%24",
        "status[$ne]=completed",
        "status=%7B%22%24ne%22%3A1%7D",
        "sort=%24natural",
        "cursor=%7B%22%24gt%22%3A%22%22%7D",
    ] {
        let reply = bob.caller.get(&format!("{TASKS}?{query}")).await;
        assert!([200, 422].contains(&reply.status), "{query}: {}", reply.text);
        let shown = &reply.body["data"];
        assert!(
            *shown == json!([]) || shown.is_null(),
            "{query} shows another's task"
        );
    }
    let found = async |query: &str| {
        let reply = ada.caller.get(&format!("{TASKS}?q={query}")).await.expect(200);
        reply.body["data"].as_array().unwrap().len()
    };
    assert_eq!((found("%24where").await, found(".*").await), (1, 0));
    for id in ["%7B%22%24gt%22%3A%22%22%7D", "$ne", "[$gt]"] {
        let path = format!("{TASKS}/{id}");
        let reply = bob.caller.send(Method::DELETE, &path, None).await;
        assert!([404, 422].contains(&reply.status), "{id}: {}", reply.text);
    }
    let path = format!("{TASKS}/{}", made["id"].as_str().unwrap());
    ada.caller.get(&path).await.expect(200);
    server.stop().await;
}
