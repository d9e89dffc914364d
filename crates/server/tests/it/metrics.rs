//! What the server tells of itself.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    caller::Caller,
    fixture::{ADMIN_API_KEY, PATIENCE, Server, body_of, header_of, status_of},
};

async fn get(server: &Server, path: &str, headers: &str) -> String {
    server
        .exchange(format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
        ))
        .await
}

fn text_of(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

/// The names and labels of all series, without their values.
fn series_of(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
        .collect()
}

#[tokio::test]
async fn requests_are_counted_by_route_method_and_status() {
    let server = Server::start().await;
    for _ in 0..3 {
        get(&server, "/health", "").await;
    }
    get(&server, "/mcp/plugins/nothing", "").await;
    let report = body_of(&get(&server, "/metrics", "").await)["data"].clone();
    let endpoints = report["requests"]["endpoints"].as_array().unwrap();
    let of = |route: &str| endpoints.iter().find(|each| each["route"] == route).unwrap();
    assert_eq!(
        of("/health")["statuses"][0],
        serde_json::json!({"method": "GET", "status": 200, "count": 3})
    );
    assert_eq!(of("/mcp/plugins/{name}")["statuses"][0]["status"], 401);
    assert_eq!(report["requests"]["total"], 4);
    assert_eq!(report["requests"]["clientErrorRate"], 0.25);
    assert!(of("/health")["responseTime"]["p99"].as_f64().unwrap() > 0.0);
    assert!(report["process"]["residentBytes"].as_u64().unwrap() > 0);
    assert_eq!(report["connections"]["active"], 1);
    server.stop().await;
}

#[tokio::test]
async fn calls_and_people_are_counted() {
    let server = Server::start().await;
    let body = r#"{"plugin":"sample","action":"echo","payload":{"message":"x"}}"#;
    let head = "POST /mcp/execute HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n";
    let key = format!("X-API-Key: {ADMIN_API_KEY}\r\nContent-Length: {}\r\n", body.len());
    let called = server.exchange(format!("{head}{key}\r\n{body}")).await;
    assert_eq!(status_of(&called), 200, "{called}");
    let report = body_of(&get(&server, "/metrics?format=json", "").await)["data"].clone();
    assert_eq!(report["executions"]["total"], 1);
    assert_eq!(report["executions"]["actions"][0]["plugin"], "sample");
    assert_eq!(report["executions"]["actions"][0]["succeeded"], 1);
    assert_eq!(report["users"]["signIns"], 0);
    server.stop().await;
}

#[tokio::test]
async fn tasks_and_the_queue_are_counted() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let job = |action: &str| json!({ "title": "job", "plugin": "sample", "action": action, "maxRetries": 0 });
    let echo = |mut task: Value| {
        task["payload"] = json!({ "message": "x" });
        task
    };
    let mut later = echo(job("echo"));
    later["scheduledAt"] = json!("2099-01-01T00:00:00Z");
    let tasks = json!({ "tasks": [echo(job("echo")), job("fail"), later, { "title": "to-do" }] });
    operator.post("/api/v1/tasks/bulk", tasks).await.expect(201);
    let counted = async {
        loop {
            let report = operator.get("/metrics").await.expect(200).data();
            let attempts = &report["tasks"]["attempts"];
            let is_told = report["queue"]["ready"] == 0 && report["queue"]["inProgress"] == 0;
            if attempts["completed"] == 1 && attempts["failed"] == 1 && is_told {
                break report;
            }
        }
    };
    let report = timeout(PATIENCE, counted)
        .await
        .expect("both attempts are counted");
    assert_eq!(
        (&report["queue"]["scheduled"], &report["queue"]["oldestReady"]),
        (&json!(1), &json!(0.0))
    );
    assert!(report["tasks"]["run"]["p99"].as_f64().unwrap() > 0.0, "{report}");
    let text = operator.get("/metrics?format=txt").await.expect(200).text;
    for line in [
        "mcp_task_attempts_total{status=\"completed\"} 1",
        "mcp_task_attempts_total{status=\"failed\"} 1",
        "mcp_queue_tasks{state=\"scheduled\"} 1",
        "mcp_queue_ready_tasks{priority=\"critical\"} 0",
        "mcp_queue_oldest_ready_seconds 0",
        "mcp_task_wait_seconds_count 2",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    server.stop().await;
}

#[tokio::test]
async fn g17_titles_of_tasks_add_no_series() {
    let server = Server::start_with(&[("WORKER_CONCURRENCY", "0")]).await;
    let operator = Caller::operator(&server);
    let make = async |thousand: usize| {
        let task = |number: usize| {
            json!({
                "title": format!("title {thousand} {number}"), "tags": [format!("tag {thousand} {number}")],
                "plugin": "sample", "action": "echo", "payload": { "message": "x" },
            })
        };
        let tasks: Vec<_> = (0..1_000).map(task).collect();
        operator
            .post("/api/v1/tasks/bulk", json!({ "tasks": tasks }))
            .await
            .expect(201);
    };
    make(0).await;
    operator.get("/metrics?format=txt").await.expect(200);
    let before = series_of(&operator.get("/metrics?format=txt").await.text);
    for thousand in 1..10 {
        make(thousand).await;
    }
    assert_eq!(series_of(&operator.get("/metrics?format=txt").await.text), before);
    let report = operator.get("/metrics").await.data();
    assert!(
        report["queue"]["ready"].as_u64().unwrap() >= 1_000,
        "{}",
        report["queue"]
    );
    server.stop().await;
}

#[tokio::test]
async fn a_scraper_gets_the_text_that_it_asks_for() {
    let server = Server::start().await;
    let browser = get(
        &server,
        "/metrics",
        "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n",
    )
    .await;
    assert_eq!(header_of(&browser, "content-type"), Some("application/json"));

    let older = get(
        &server,
        "/metrics",
        "Accept: text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n",
    )
    .await;
    assert_eq!(
        header_of(&older, "content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert!(
        text_of(&older).contains("# TYPE mcp_http_requests_total counter"),
        "{older}"
    );

    let asked = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n";
    let newer = get(&server, "/metrics", asked).await;
    assert!(
        header_of(&newer, "content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    assert!(
        text_of(&newer).contains("# TYPE mcp_http_requests counter"),
        "{newer}"
    );
    assert!(text_of(&newer).ends_with("# EOF\n"), "{newer}");

    let chosen = get(&server, "/metrics?format=txt", "").await;
    assert!(
        text_of(&chosen)
            .contains("mcp_http_requests_total{route=\"/metrics\",method=\"GET\",status=\"200\"} 3")
    );
    assert_eq!(status_of(&get(&server, "/metrics?format=xml", "").await), 422);
    server.stop().await;
}

#[tokio::test]
async fn every_series_has_a_number_and_a_family() {
    let server = Server::start().await;
    get(&server, "/health", "").await;
    let answer = get(&server, "/metrics?format=txt", "").await;
    let families: Vec<_> = text_of(&answer)
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    for line in text_of(&answer).lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = name.split('{').next().unwrap();
        let has_family = families.iter().any(|family| {
            let (family, kind) = family.split_once(' ').unwrap();
            let parts = ["_bucket", "_sum", "_count"].map(|part| format!("{family}{part}"));
            name == family || (kind == "histogram" && parts.iter().any(|part| part == name))
        });
        assert!(has_family, "{line}");
    }
    server.stop().await;
}

#[tokio::test]
async fn g17_what_strangers_send_adds_no_series() {
    const REQUESTS: usize = 10_000;
    let server = Server::start().await;
    let mut wire = server.connect().await;
    let flood = |index: usize| {
        let method = ["GET", "BREW", "POST", "M-SEARCH"][index % 4];
        let length = if method == "POST" {
            "Content-Length: 0\r\n"
        } else {
            ""
        };
        format!(
            "{method} /{index}/x?q={index} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bot-{index}\r\n{length}\r\n"
        )
    };
    for index in 0..8 {
        wire.send(flood(index)).await;
        assert_eq!(status_of(&wire.read_answer().await), 404);
    }
    let before = series_of(text_of(&get(&server, "/metrics?format=txt", "").await));
    let before = {
        // Asking for the metrics is a series of its own, from the second time on.
        let again = get(&server, "/metrics?format=txt", "").await;
        assert!(series_of(text_of(&again)).is_superset(&before));
        series_of(text_of(&again))
    };
    for batch in (0..REQUESTS).collect::<Vec<_>>().chunks(100) {
        wire.send(batch.iter().map(|index| flood(*index)).collect::<String>())
            .await;
        for _ in batch {
            wire.read_pipelined_answer().await;
        }
    }
    let after = series_of(text_of(&get(&server, "/metrics?format=txt", "").await));
    assert_eq!(after, before);
    let report: Value = serde_json::to_value(server.metrics().report(None)).unwrap();
    assert!(report["requests"]["total"].as_u64().unwrap() >= REQUESTS as u64);
    server.stop().await;
}
