//! The edge around every route: hosts, origins, headers, credentials, time, panics, the end.

use std::{future::pending, sync::Arc};

use axum::{Router, extract::State, routing::get};
use rstest::rstest;
use server::{envelope::Success, principal::Anonymous, state::AppState};
use tokio::sync::{Barrier, Notify};
use tokio_util::sync::CancellationToken;

use crate::fixture::{ADMIN_API_KEY, PATIENCE, Server, body_of, header_of, status_of};

const PROFILE: &str = "/api/v1/auth/profile";

fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
}

fn login(headers: &str) -> String {
    let body = r#"{"email":"nobody@example.org","password":"wrong horse battery"}"#;
    let length = body.len();
    let headers = format!("{headers}Content-Type: application/json\r\nContent-Length: {length}\r\n");
    request("POST", "/api/v1/auth/login", &headers) + body
}

fn code_of(answer: &str) -> String {
    body_of(answer)["error"]["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test]
async fn every_answer_carries_its_id_and_the_security_headers() {
    let server = Server::start().await;
    let answers = [
        (200, server.exchange(request("GET", "/health", "")).await),
        (401, server.exchange(request("GET", PROFILE, "")).await),
        (404, server.exchange(request("GET", "/nothing", "")).await),
        (405, server.exchange(request("DELETE", "/health", "")).await),
        (
            421,
            server
                .exchange("GET /health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
                .await,
        ),
        (204, server.exchange(request("OPTIONS", "/health", "")).await),
    ];
    for (status, answer) in answers {
        assert_eq!(status_of(&answer), status, "{answer}");
        assert_eq!(
            header_of(&answer, "x-content-type-options"),
            Some("nosniff"),
            "{answer}"
        );
        assert_eq!(header_of(&answer, "x-frame-options"), Some("SAMEORIGIN"));
        assert_eq!(header_of(&answer, "cache-control"), Some("no-store"));
        assert!(
            header_of(&answer, "content-security-policy")
                .unwrap()
                .starts_with("default-src 'self'")
        );
        assert!(header_of(&answer, "strict-transport-security").is_some());
        let id = header_of(&answer, "x-request-id").unwrap();
        if status >= 400 {
            assert_eq!(body_of(&answer)["error"]["requestId"], id);
            assert_eq!(header_of(&answer, "content-type"), Some("application/json"));
        }
    }
    server.stop().await;
}

#[rstest]
#[case::sane("trace-1.2_3", true)]
#[case::too_long(&"x".repeat(1024), false)]
#[case::with_spaces("a b", false)]
#[case::with_markup("<script>", false)]
#[tokio::test]
async fn c11_a_request_id_is_kept_when_it_is_sane(#[case] id: &str, #[case] is_kept: bool) {
    let server = Server::start().await;
    let answer = server
        .exchange(request("GET", "/health", &format!("X-Request-Id: {id}\r\n")))
        .await;
    let answered = header_of(&answer, "x-request-id").unwrap();
    assert_eq!(answered == id, is_kept, "{answered}");
    assert!(is_kept || answered.len() == 36, "{answered}");
    server.stop().await;
}

#[rstest]
#[case::foreign("Host: evil.example\r\n", 421, "host_not_allowed")]
#[case::foreign_with_port("Host: evil.example:3000\r\n", 421, "host_not_allowed")]
#[case::missing("", 400, "malformed_request")]
#[case::twice("Host: localhost\r\nHost: localhost\r\n", 400, "malformed_request")]
#[case::empty("Host: \r\n", 400, "malformed_request")]
#[case::with_user("Host: a@localhost\r\n", 400, "malformed_request")]
#[case::not_a_name("Host: local host\r\n", 400, "malformed_request")]
#[tokio::test]
async fn f01_a_host_that_is_not_ours_is_refused(#[case] host: &str, #[case] status: u16, #[case] code: &str) {
    let server = Server::start().await;
    let answer = server
        .exchange(format!("GET /health HTTP/1.1\r\nConnection: close\r\n{host}\r\n"))
        .await;
    assert_eq!(
        (status_of(&answer), code_of(&answer).as_str()),
        (status, code),
        "{answer}"
    );
    server.stop().await;
}

#[tokio::test]
async fn f01_the_target_and_the_host_must_agree() {
    let server = Server::start().await;
    let head = "HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let same = server
        .exchange(format!("GET http://localhost/health {head}"))
        .await;
    assert_eq!(status_of(&same), 200);
    let other = server
        .exchange(format!("GET http://evil.example/health {head}"))
        .await;
    assert_eq!(status_of(&other), 400);
    server.stop().await;
}

#[rstest]
#[case::any_takes_all("*", "https://app.example", 401)]
#[case::any_but_null("*", "null", 403)]
#[case::listed("https://app.example", "https://app.example", 401)]
#[case::not_listed("https://app.example", "https://evil.example", 403)]
#[case::listed_by_beginning_only("https://app.example", "https://app.example.evil.example", 403)]
#[case::own("https://app.example", "http://localhost", 401)]
#[case::own_with_other_port("https://app.example", "http://localhost:81", 403)]
#[case::null("https://app.example", "null", 403)]
#[tokio::test]
async fn f01_pages_of_foreign_origins_change_nothing(
    #[case] allowed: &str,
    #[case] origin: &str,
    #[case] status: u16,
) {
    let server = Server::start_with(&[("CORS_ORIGIN", allowed)]).await;
    let answer = server.exchange(login(&format!("Origin: {origin}\r\n"))).await;
    assert_eq!(status_of(&answer), status, "{answer}");
    assert_eq!(code_of(&answer) == "origin_not_allowed", status == 403);
    server.stop().await;
}

#[tokio::test]
async fn pages_of_listed_origins_may_read_answers_and_others_may_not() {
    let server = Server::start_with(&[("CORS_ORIGIN", "https://app.example")]).await;
    let listed = server
        .exchange(request("GET", "/health", "Origin: https://app.example\r\n"))
        .await;
    assert_eq!(
        header_of(&listed, "access-control-allow-origin"),
        Some("https://app.example")
    );
    assert_eq!(header_of(&listed, "vary"), Some("origin"));
    assert!(
        header_of(&listed, "access-control-expose-headers")
            .unwrap()
            .contains("X-Request-Id")
    );
    let other = server
        .exchange(request("GET", "/health", "Origin: https://evil.example\r\n"))
        .await;
    assert_eq!(
        (
            status_of(&other),
            header_of(&other, "access-control-allow-origin")
        ),
        (200, None)
    );
    server.stop().await;
}

#[tokio::test]
async fn a_browser_is_told_before_what_a_page_may_send() {
    let server = Server::start_with(&[("CORS_ORIGIN", "https://app.example")]).await;
    let ask = |origin: &str| {
        let headers = format!("Origin: {origin}\r\nAccess-Control-Request-Method: POST\r\n");
        request("OPTIONS", "/mcp/execute", &headers)
    };
    let listed = server.exchange(ask("https://app.example")).await;
    assert_eq!(status_of(&listed), 204);
    assert_eq!(
        header_of(&listed, "access-control-allow-origin"),
        Some("https://app.example")
    );
    assert!(
        header_of(&listed, "access-control-allow-methods")
            .unwrap()
            .contains("POST")
    );
    assert!(
        header_of(&listed, "access-control-allow-headers")
            .unwrap()
            .contains("Authorization")
    );
    let other = server.exchange(ask("https://evil.example")).await;
    assert_eq!(header_of(&other, "access-control-allow-origin"), None);
    assert_eq!(header_of(&other, "access-control-allow-methods"), None);
    server.stop().await;
}

#[tokio::test]
async fn c12_a_method_that_a_path_does_not_support_is_answered_with_those_it_does() {
    let server = Server::start().await;
    let answer = server.exchange(request("DELETE", "/mcp/execute", "")).await;
    assert_eq!(
        (status_of(&answer), code_of(&answer).as_str()),
        (405, "method_not_allowed")
    );
    assert_eq!(header_of(&answer, "allow"), Some("POST"));
    let made_up = server.exchange(request("BREW", "/health", "")).await;
    assert_eq!(status_of(&made_up), 405);
    assert_eq!(header_of(&made_up, "allow"), Some("GET,HEAD"));
    let asked = server.exchange(request("OPTIONS", "/health", "")).await;
    assert_eq!(
        (status_of(&asked), header_of(&asked, "allow")),
        (204, Some("GET,HEAD"))
    );
    server.stop().await;
}

#[tokio::test]
async fn c12_head_is_get_without_its_body() {
    let server = Server::start().await;
    let answer = server.exchange(request("HEAD", "/health/live", "")).await;
    assert_eq!(status_of(&answer), 200);
    assert_ne!(header_of(&answer, "content-length"), Some("0"));
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    server.stop().await;
}

#[rstest]
#[case("//health")]
#[case("/health/")]
#[case("/./health")]
#[case("/%2e%2e/health")]
#[case("//api///v1/users")]
#[case("/api/v1/users/")]
#[case("/HEALTH")]
#[case("/healt%68")]
#[tokio::test]
async fn c12_a_path_has_one_spelling(#[case] path: &str) {
    let server = Server::start().await;
    let answer = server.exchange(request("GET", path, "")).await;
    assert_eq!(
        (status_of(&answer), code_of(&answer).as_str()),
        (404, "not_found"),
        "{answer}"
    );
    server.stop().await;
}

#[tokio::test]
async fn c12_a_header_does_not_change_the_method() {
    let server = Server::start().await;
    let answer = server
        .exchange(request("GET", "/health", "X-HTTP-Method-Override: DELETE\r\n"))
        .await;
    assert_eq!(status_of(&answer), 200);
    server.stop().await;
}

#[tokio::test]
async fn c11_a_doubled_credential_is_refused() {
    let server = Server::start().await;
    for header in ["Authorization: Bearer x\r\n", "X-API-Key: x\r\n"] {
        let answer = server.exchange(request("GET", PROFILE, &header.repeat(2))).await;
        assert_eq!(
            (status_of(&answer), code_of(&answer).as_str()),
            (400, "malformed_request"),
            "{answer}"
        );
    }
    server.stop().await;
}

#[rstest]
#[case::none("", "unauthenticated", "Bearer realm=\"mcp-server\"")]
#[case::unknown(
    "Authorization: Bearer x\r\n",
    "invalid_token",
    "Bearer realm=\"mcp-server\", error=\"invalid_token\""
)]
#[case::empty(
    "Authorization: Bearer \r\n",
    "invalid_token",
    "Bearer realm=\"mcp-server\", error=\"invalid_token\""
)]
#[case::other_scheme(
    "Authorization: Basic eDp5\r\n",
    "invalid_token",
    "Bearer realm=\"mcp-server\", error=\"invalid_token\""
)]
#[case::unknown_key(
    "X-API-Key: mcp_x\r\n",
    "invalid_token",
    "Bearer realm=\"mcp-server\", error=\"invalid_token\""
)]
#[tokio::test]
async fn a_caller_without_a_good_credential_is_told_what_is_taken(
    #[case] header: &str,
    #[case] code: &str,
    #[case] challenge: &str,
) {
    let server = Server::start().await;
    let answer = server.exchange(request("GET", "/mcp/plugins", header)).await;
    assert_eq!(
        (status_of(&answer), code_of(&answer).as_str()),
        (401, code),
        "{answer}"
    );
    assert_eq!(header_of(&answer, "www-authenticate"), Some(challenge));
    server.stop().await;
}

#[tokio::test]
async fn a_key_is_also_taken_as_a_bearer() {
    let server = Server::start().await;
    for header in ["Authorization: Bearer ", "authorization: bearer ", "X-API-Key: "] {
        let answer = server
            .exchange(request(
                "GET",
                "/mcp/plugins",
                &format!("{header}{ADMIN_API_KEY}\r\n"),
            ))
            .await;
        assert_eq!(status_of(&answer), 200, "{answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a15_a_credential_in_the_query_string_is_not_looked_at() {
    let server = Server::start().await;
    for name in ["api_key", "apiKey", "key", "token", "access_token", "X-API-Key"] {
        let answer = server
            .exchange(request(
                "GET",
                &format!("/mcp/plugins?{name}={ADMIN_API_KEY}"),
                "",
            ))
            .await;
        assert_eq!(status_of(&answer), 401, "{name}");
        assert!(!answer.contains(ADMIN_API_KEY), "{answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a21_credentials_of_different_owners_are_refused_together() {
    let server = Server::start().await;
    let body = r#"{"email":"ada@example.org","username":"ada","password":"correct horse battery"}"#;
    let headers = format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    let made = server
        .exchange(request("POST", "/api/v1/auth/register", &headers) + body)
        .await;
    let token = body_of(&made)["data"]["token"].as_str().unwrap().to_owned();

    let both = format!("Authorization: Bearer {token}\r\nX-API-Key: {ADMIN_API_KEY}\r\n");
    let answer = server.exchange(request("GET", "/mcp/plugins", &both)).await;
    assert_eq!(
        (status_of(&answer), code_of(&answer).as_str()),
        (400, "conflicting_credentials"),
        "{answer}"
    );
    let same = format!("Authorization: Bearer {ADMIN_API_KEY}\r\nX-API-Key: {ADMIN_API_KEY}\r\n");
    assert_eq!(
        status_of(&server.exchange(request("GET", "/mcp/plugins", &same)).await),
        200
    );
    server.stop().await;
}

#[tokio::test]
async fn g10_a_panic_is_one_failed_request() {
    async fn panics(_: Anonymous) -> Success<()> {
        panic!("secret detail")
    }
    let routes = Router::new().route("/panics", get(panics));
    let server = Server::start_routes(routes, &[]).await;
    let mut kept = server.connect().await;
    for _ in 0..3 {
        kept.send("GET /panics HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: find-me\r\n\r\n")
            .await;
        let answer = kept.read_answer().await;
        assert_eq!((status_of(&answer), code_of(&answer).as_str()), (500, "internal"));
        assert_eq!(body_of(&answer)["error"]["requestId"], "find-me");
        assert!(!answer.contains("secret detail"), "{answer}");
    }
    assert_eq!(
        status_of(&server.exchange(request("GET", "/health", "")).await),
        200
    );
    let report = serde_json::to_value(server.metrics().report(None)).unwrap();
    assert_eq!(report["requests"]["panics"], 3);
    assert_eq!(report["requests"]["inFlight"], 0);
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_and_ends() {
    async fn hangs(State(ended): State<Arc<Notify>>) {
        let _guard = NotifyAtEnd(ended);
        pending::<()>().await;
    }
    let ended = Arc::new(Notify::new());
    let routes = Router::<AppState>::new().route_service("/hangs", get(hangs).with_state(Arc::clone(&ended)));
    let server = Server::start_routes(routes, &[("REQUEST_TIMEOUT_MS", "100")]).await;
    let answer = server.exchange(request("GET", "/hangs", "")).await;
    assert_eq!(
        (status_of(&answer), code_of(&answer).as_str()),
        (504, "request_timed_out")
    );
    tokio::time::timeout(PATIENCE, ended.notified()).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn d07_a_client_that_leaves_ends_its_request() {
    struct Steps {
        begun: Notify,
        ended: Arc<Notify>,
    }
    async fn hangs(State(steps): State<Arc<Steps>>) {
        let _guard = NotifyAtEnd(Arc::clone(&steps.ended));
        steps.begun.notify_one();
        pending::<()>().await;
    }
    let steps = Arc::new(Steps {
        begun: Notify::new(),
        ended: Arc::default(),
    });
    let routes = Router::<AppState>::new().route_service("/hangs", get(hangs).with_state(Arc::clone(&steps)));
    let server = Server::start_routes(routes, &[]).await;
    let mut wire = server.connect().await;
    wire.send("GET /hangs HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    tokio::time::timeout(PATIENCE, steps.begun.notified())
        .await
        .unwrap();
    wire.close();
    tokio::time::timeout(PATIENCE, steps.ended.notified())
        .await
        .unwrap();

    server.stopping().cancel();
    let report = serde_json::to_value(server.metrics().report(None)).unwrap();
    assert_eq!(
        report["requests"]["endpoints"][0]["statuses"][0]["status"], 499,
        "{report}"
    );
    server.stop().await;
}

/// Tells that the future which holds it has ended, in whatever way.
struct NotifyAtEnd(Arc<Notify>);

impl Drop for NotifyAtEnd {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn g06_requests_in_flight_are_answered_when_the_server_stops() {
    struct Gate {
        begun: Barrier,
        go: CancellationToken,
    }
    const REQUESTS: usize = 20;
    async fn waits(State(gate): State<Arc<Gate>>) -> &'static str {
        gate.begun.wait().await;
        gate.go.cancelled().await;
        "done"
    }
    let gate = Arc::new(Gate {
        begun: Barrier::new(REQUESTS + 1),
        go: CancellationToken::new(),
    });
    let routes = Router::<AppState>::new().route_service("/waits", get(waits).with_state(Arc::clone(&gate)));
    let server = Server::start_routes(routes, &[]).await;
    let mut wires = Vec::new();
    for _ in 0..REQUESTS {
        let mut wire = server.connect().await;
        wire.send("GET /waits HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        wires.push(wire);
    }
    gate.begun.wait().await;
    server.stopping().cancel();
    gate.go.cancel();
    for mut wire in wires {
        let answer = wire.read_to_end().await;
        assert_eq!(status_of(&answer), 200);
        assert!(answer.ends_with("done"), "{answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn g06_what_does_not_end_within_the_grace_is_cut_off() {
    let routes = Router::<AppState>::new().route("/hangs", get(pending::<()>));
    let server = Server::start_routes(routes, &[("SHUTDOWN_GRACE_MS", "100")]).await;
    let mut wire = server.connect().await;
    wire.send("GET /hangs HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    while server.metrics().in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    server.stop().await;
    assert_eq!(wire.read_to_end().await, "");
}

#[tokio::test]
async fn http_2_is_spoken_without_tls_too() {
    let server = Server::start().await;
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .unwrap();
    let url = format!("{}/health", server.url().replace("127.0.0.1", "localhost"));
    let answer = client.get(url).send().await.unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("x-request-id"));
    server.stop().await;
}
