//! Several processes of the real binary, on one MongoDB and one Redis: together they are one server.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::process::{Place, Running};

const KEY: &str = "operator-key-of-the-tests-0123456789";
const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OTHER_SECRET: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

fn get(server: &Running, path: &str, token: &str) -> (u16, Value) {
    let authorization = format!("Bearer {token}");
    let headers = [("Authorization", authorization.as_str())];
    let (status, body) = server.request("GET", path, &headers, "");
    (status, serde_json::from_str(&body).unwrap_or_default())
}

/// An address at which nobody answers.
fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn what_one_process_is_told_every_other_knows() {
    let Some(place) = Place::shared() else { return };
    let (one, other) = (place.start(&[]), place.start(&[]));
    let token = one.register("ada");
    let (status, profile) = get(&other, "/api/v1/auth/profile", &token);
    assert_eq!((status, &profile["data"]["username"]), (200, &json!("ada")));

    let call = json!({ "plugin": "sample", "action": "echo", "payload": { "message": "hello" } });
    let (status, answer) = other.post("/mcp/execute", Some(&token), &call);
    assert_eq!(status, 200, "{answer}");
    let (_, history) = get(&one, "/mcp/history", &token);
    assert_eq!(history["data"][0]["id"], answer["data"]["executionId"]);
    for server in [one, other] {
        server.signal(Signal::SIGTERM);
        assert!(server.wait().0.success());
    }
}

#[test]
fn health_and_the_start_tell_on_what_a_process_stands() {
    let Some(place) = Place::shared() else { return };
    let server = place.start(&[]);
    let said: Value = serde_json::from_str(server.lines.last().unwrap()).unwrap();
    assert_eq!(
        (&said["store"], &said["cache"]),
        (&json!("mongodb"), &json!("redis"))
    );
    assert_eq!(said["roles"], "api,worker");
    // It connects by itself, beside the start.
    let cache = loop {
        let (status, health) = get(&server, "/health/cache", KEY);
        assert_eq!(status, 200);
        if health["data"]["connected"] == true {
            break health["data"].clone();
        }
    };
    assert_eq!(
        (&cache["status"], &cache["kind"]),
        (&json!("ok"), &json!("redis"))
    );
    let (status, health) = get(&server, "/health", KEY);
    assert_eq!(
        (status, &health["data"]["status"]),
        (200, &json!("ok")),
        "{health}"
    );
    assert_eq!(health["data"]["checks"]["store"]["kind"], "mongodb");
    let (_, metrics) = server.request("GET", "/metrics?format=txt", &[], "");
    for line in [
        "mcp_store_info{kind=\"mongodb\"} 1",
        "mcp_cache_connected{kind=\"redis\"} 1",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[test]
fn a_process_with_other_secrets_is_refused_with_what_to_do() {
    let Some(place) = Place::shared() else { return };
    let first = [("JWT_SECRET", SECRET), ("REFRESH_TOKEN_SECRET", OTHER_SECRET)];
    let server = place.start(&first);
    let second = place
        .command(&["serve", "--port", "0"])
        .env("JWT_SECRET", OTHER_SECRET)
        .env("REFRESH_TOKEN_SECRET", SECRET)
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(
        said.contains("JWT_SECRET and REFRESH_TOKEN_SECRET are not those of the other processes")
            && said.contains("deleteOne"),
        "{said}"
    );
    assert!(!said.contains(SECRET) && !said.contains(OTHER_SECRET), "{said}");
    drop(server);
    drop(place.start(&first));
}

#[test]
fn processes_that_were_given_their_secrets_need_no_data_directory() {
    let Some(place) = Place::shared() else { return };
    drop(place.start(&[("JWT_SECRET", SECRET), ("REFRESH_TOKEN_SECRET", OTHER_SECRET)]));
    assert!(!place.path().join("data").exists());
}

#[test]
fn what_is_handed_to_a_process_without_workers_is_done_by_one_that_only_works() {
    let Some(place) = Place::shared() else { return };
    let (api, worker) = (
        place.start(&[("ROLES", "api")]),
        place.start(&[("ROLES", "worker")]),
    );
    let token = api.register("ada");
    let (_, health) = get(&api, "/health", &token);
    assert_eq!(health["data"]["checks"]["workers"]["concurrency"], 0);

    let task = json!({ "title": "add", "plugin": "sample", "action": "add", "payload": { "a": 1, "b": 2 } });
    let (status, made) = api.post("/api/v1/tasks", Some(&token), &task);
    assert_eq!(status, 201, "{made}");
    let id = made["data"]["id"].as_str().unwrap();
    let (status, done) = api.post(
        &format!("/api/v1/tasks/{id}/execute?wait=20s"),
        Some(&token),
        &json!({}),
    );
    // It may have been done before it was asked for at once.
    assert!(matches!(status, 200 | 409), "{done}");
    let (_, task) = get(&api, &format!("/api/v1/tasks/{id}"), &token);
    assert_eq!(task["data"]["status"], "completed", "{task}");
    let (_, metrics) = worker.request("GET", "/metrics", &[], "");
    let metrics: Value = serde_json::from_str(&metrics).unwrap();
    assert_eq!(metrics["data"]["tasks"]["attempts"]["completed"], 1);
}

#[test]
fn a_process_that_only_works_answers_who_looks_after_it_and_nobody_else() {
    let Some(place) = Place::shared() else { return };
    let worker = place.start(&[("ROLES", "worker"), ("ADMIN_API_KEY", KEY)]);
    let said = worker.lines.join("");
    assert!(!said.contains("/setup") && !said.contains("/docs"), "{said}");
    for path in [
        "/health",
        "/health/live",
        "/health/ready",
        "/health/db",
        "/health/cache",
        "/metrics",
    ] {
        assert_eq!(get(&worker, path, KEY).0, 200, "{path}");
    }
    for path in [
        "/api/v1/users",
        "/mcp/plugins",
        "/docs",
        "/openapi.json",
        "/setup",
        "/",
    ] {
        assert_eq!(get(&worker, path, KEY).0, 404, "{path}");
    }
    assert_eq!(worker.post("/mcp", Some(KEY), &json!({})).0, 404);
    let checked = place.run(&["healthcheck", "--port", worker.port()]);
    assert_eq!(checked.code, 0, "{checked:?}");
}

#[test]
fn an_admin_is_made_and_a_password_reset_beside_processes_that_run() {
    let Some(place) = Place::shared() else { return };
    let server = place.start(&[("JWT_SECRET", SECRET), ("REFRESH_TOKEN_SECRET", OTHER_SECRET)]);
    let create = [
        "admin",
        "create",
        "--email",
        "ada@example.com",
        "--username",
        "ada",
    ];
    let made = place.run_with_input(&create, "correct horse battery");
    assert_eq!((made.code, made.stderr.as_str()), (0, ""));
    let sign_in = |password: &str| {
        let body = json!({ "email": "ada@example.com", "password": password });
        server.post("/api/v1/auth/login", None, &body)
    };
    let (status, answer) = sign_in("correct horse battery");
    assert_eq!((status, &answer["data"]["user"]["role"]), (200, &json!("admin")));

    let reset = ["admin", "reset-password", "--email", "ada@example.com"];
    assert_eq!(place.run_with_input(&reset, "another horse battery").code, 0);
    assert_eq!(sign_in("correct horse battery").0, 401);
    assert_eq!(sign_in("another horse battery").0, 200);
}

#[test]
fn one_client_is_served_over_standard_streams_beside_processes_that_run() {
    let Some(place) = Place::shared() else { return };
    let server = place.start(&[]);
    let token = server.register("ada");
    let (status, key) = server.post("/api/v1/auth/api-key/generate", Some(&token), &json!({}));
    assert_eq!(status, 201, "{key}");
    let mut client = place
        .command(&["stdio"])
        .env("MCP_SERVER_API_KEY", key["data"]["key"].as_str().unwrap())
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let asked = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {
            "name": "sample__echo",
            "arguments": { "message": "hello" },
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    });
    let mut input = client.stdin.take().unwrap();
    writeln!(input, "{asked}").unwrap();
    let mut answer = String::new();
    BufReader::new(client.stdout.take().unwrap())
        .read_line(&mut answer)
        .unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        answer["result"]["structuredContent"]["message"], "hello",
        "{answer}"
    );
    drop(input);
    assert!(client.wait().unwrap().success());
    let (_, history) = get(&server, "/mcp/history", &token);
    assert_eq!(history["data"].as_array().map(Vec::len), Some(1), "{history}");
}

#[test]
fn g05_a_redis_that_is_not_there_is_told_and_hinders_nobody() {
    let place = Place::embedded();
    let url = format!("redis://:canary@127.0.0.1:{}/0", closed_port());
    let server = place.start(&[
        ("REDIS_URL", &url),
        ("ADMIN_API_KEY", KEY),
        ("RATE_LIMIT_MAX_REQUESTS", "2"),
    ]);
    assert_eq!(get(&server, "/health/ready", KEY).0, 200);
    let bad = json!({ "email": "nobody@example.com", "password": "wrong horse battery" });
    let statuses: Vec<u16> = (0..3)
        .map(|_| server.post("/api/v1/auth/login", None, &bad).0)
        .collect();
    assert_eq!(statuses, [401, 401, 429]);

    let (status, health) = get(&server, "/health", KEY);
    let cache = &health["data"]["checks"]["cache"];
    assert_eq!(
        (status, &health["data"]["status"]),
        (200, &json!("degraded")),
        "{health}"
    );
    assert_eq!(
        (&cache["status"], &cache["connected"]),
        (&json!("degraded"), &json!(false))
    );
    assert!(
        cache["since"].is_string() && cache["reason"].is_string(),
        "{cache}"
    );
    assert!(cache["localDecisions"].as_u64().unwrap() >= 3, "{cache}");
    let (_, metrics) = server.request("GET", "/metrics?format=txt", &[], "");
    assert!(
        metrics.contains("mcp_cache_connected{kind=\"redis\"} 0"),
        "{metrics}"
    );
    server.signal(Signal::SIGTERM);
    let said = server.lines.join("");
    let (status, rest) = server.wait();
    assert!(status.success());
    assert!(!format!("{said}{}{health}", rest.join("")).contains("canary"));
}

#[test]
fn g04_a_database_that_is_not_there_yet_is_waited_for_until_a_signal_comes() {
    let place = Place::embedded();
    let uri = format!("mongodb://ada:canary@127.0.0.1:{}/", closed_port());
    let mut child = place
        .command(&["serve", "--port", "0", "--log-format", "json"])
        .env("MONGODB_URI", uri)
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains("the store can't be reached yet") {
        assert_ne!(stdout.read_line(&mut said).unwrap(), 0, "{said}");
    }
    assert!(said.contains("127.0.0.1") && !said.contains("canary"), "{said}");
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_address_that_is_none_is_refused_at_once() {
    let place = Place::embedded();
    for (name, address) in [
        ("MONGODB_URI", "mongodb://ada:canary@host:port/"),
        ("REDIS_URL", "redis://:canary@[::1/0"),
    ] {
        let mut command = place.command(&["serve", "--port", "0"]);
        let ended = command.env(name, address).output().unwrap();
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(said.starts_with(&format!("error: {name}")), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }
}
