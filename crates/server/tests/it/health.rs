//! Health, as load balancers and people ask for it.

use crate::fixture::{Server, body_of, header_of, status_of};

async fn get(server: &Server, path: &str) -> String {
    server
        .exchange(format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        ))
        .await
}

#[tokio::test]
async fn health_tells_version_uptime_and_parts() {
    let server = Server::start().await;
    let answer = get(&server, "/health").await;
    assert_eq!(status_of(&answer), 200);
    let body = body_of(&answer);
    assert_eq!(body["ok"], true);
    assert_eq!(body["data"]["status"], "ok");
    assert_eq!(body["data"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(body["data"]["uptime"].is_u64(), "{body}");
    assert_eq!(body["data"]["checks"]["store"]["status"], "ok");
    assert_eq!(body["data"]["checks"]["cache"]["connected"], true);
    let workers = &body["data"]["checks"]["workers"];
    assert_eq!((&workers["status"], &workers["busy"]), (&"ok".into(), &0.into()));
    // The plugin that needs a foreign service's key has none here.
    assert_eq!(body["data"]["checks"]["plugins"]["status"], "degraded");
    server.stop().await;
}

#[tokio::test]
async fn database_health_tells_how_long_the_store_took() {
    let server = Server::start().await;
    let body = body_of(&get(&server, "/health/db").await);
    assert_eq!(body["data"]["connected"], true);
    assert!(body["data"]["latencyMs"].as_f64().unwrap() >= 0.0, "{body}");
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_lives_and_is_not_ready() {
    let server = Server::start().await;
    assert_eq!(status_of(&get(&server, "/health/ready").await), 200);
    let mut kept = server.connect().await;
    kept.send("GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(status_of(&kept.read_answer().await), 200);

    server.stopping().cancel();
    kept.send("GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let answer = kept.read_to_end().await;
    assert_eq!(status_of(&answer), 503);
    assert!(header_of(&answer, "retry-after").is_some(), "{answer}");
    assert_eq!(body_of(&answer)["error"]["code"], "unavailable");
    server.stop().await;
}

#[tokio::test]
async fn health_is_not_counted_against_any_limit() {
    let server = Server::start_with(&[("RATE_LIMIT_MAX_REQUESTS", "1")]).await;
    for path in [
        "/health",
        "/health/live",
        "/health/ready",
        "/health/db",
        "/health/cache",
        "/metrics",
    ]
    .repeat(3)
    {
        let answer = get(&server, path).await;
        assert_eq!(status_of(&answer), 200, "{path}");
        assert_eq!(header_of(&answer, "ratelimit-limit"), None);
    }
    server.stop().await;
}
