//! Floods and slowness.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rstest::rstest;
use tokio::time::{Instant, timeout};

use crate::fixture::{ADMIN_API_KEY, PATIENCE, Server, Wire, body_of, header_of, status_of};

const PLUGINS: &str = "GET /mcp/plugins HTTP/1.1\r\nHost: localhost\r\n";
const LIVE: &str = "GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

async fn ask(wire: &mut Wire, headers: &str) -> String {
    wire.send(format!("{PLUGINS}{headers}\r\n")).await;
    wire.read_answer().await
}

fn remaining(answer: &str) -> u32 {
    header_of(answer, "ratelimit-remaining")
        .unwrap_or_else(|| panic!("{answer}"))
        .parse()
        .unwrap()
}

#[tokio::test]
async fn d01_requests_over_the_limit_are_refused_until_the_next_window() {
    let limits = [("RATE_LIMIT_MAX_REQUESTS", "3"), ("RATE_LIMIT_WINDOW_MS", "3000")];
    let server = Server::start_with(&limits).await;
    let mut wire = server.connect().await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(ask(&mut wire, "").await);
    }
    let statuses: Vec<_> = answers.iter().map(|answer| status_of(answer)).collect();
    assert_eq!(statuses, [401, 401, 401, 429]);
    let left: Vec<_> = answers.iter().map(|answer| remaining(answer)).collect();
    assert_eq!(left, [2, 1, 0, 0]);
    let refused = &answers[3];
    assert_eq!(body_of(refused)["error"]["code"], "rate_limited");
    assert_eq!(header_of(refused, "ratelimit-limit"), Some("3"));
    for header in ["retry-after", "ratelimit-reset"] {
        let seconds: u64 = header_of(refused, header).unwrap().parse().unwrap();
        assert!((1..=3).contains(&seconds), "{header}: {seconds}");
    }
    let begun = Instant::now();
    while status_of(&ask(&mut wire, "").await) == 429 {
        assert!(begun.elapsed() < PATIENCE, "the next window never came");
    }
    server.stop().await;
}

#[tokio::test]
async fn d01_paths_and_methods_that_do_not_exist_are_counted_too() {
    let server = Server::start_with(&[("RATE_LIMIT_MAX_REQUESTS", "2")]).await;
    let mut wire = server.connect().await;
    let mut statuses = Vec::new();
    for line in [
        "GET /nothing",
        "DELETE /mcp/plugins",
        "GET /nothing",
        "DELETE /mcp/plugins",
    ] {
        wire.send(format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .await;
        statuses.push(status_of(&wire.read_answer().await));
    }
    assert_eq!(statuses, [404, 405, 429, 429]);
    server.stop().await;
}

#[tokio::test]
async fn d01_callers_are_counted_apart_from_their_address() {
    let limits = [
        ("RATE_LIMIT_MAX_REQUESTS", "2"),
        ("RATE_LIMIT_USER_MAX_REQUESTS", "3"),
    ];
    let server = Server::start_with(&limits).await;
    let mut wire = server.connect().await;
    let key = format!("X-API-Key: {ADMIN_API_KEY}\r\n");
    for (headers, status) in [
        ("", 401),
        (&key, 200),
        ("X-API-Key: wrong\r\n", 401),
        ("", 429),
        (&key, 200),
    ] {
        assert_eq!(status_of(&ask(&mut wire, headers).await), status, "{headers}");
    }
    assert_eq!(status_of(&ask(&mut wire, &key).await), 200);
    let refused = ask(&mut wire, &key).await;
    assert_eq!(
        (status_of(&refused), header_of(&refused, "ratelimit-limit")),
        (429, Some("3"))
    );
    server.stop().await;
}

#[rstest]
#[case::untrusted_peer("10.0.0.0/8", [1, 0])]
#[case::trusted_proxy("127.0.0.1", [1, 1])]
#[tokio::test]
async fn d02_a_forwarded_address_counts_when_the_proxy_is_trusted(
    #[case] trusted: &str,
    #[case] left: [u32; 2],
) {
    let server = Server::start_with(&[("RATE_LIMIT_MAX_REQUESTS", "2"), ("TRUSTED_PROXIES", trusted)]).await;
    let mut wire = server.connect().await;
    let one = ask(&mut wire, "X-Forwarded-For: 203.0.113.1, 198.51.100.1\r\n").await;
    let other = ask(&mut wire, "X-Forwarded-For: 203.0.113.1, 198.51.100.2\r\n").await;
    assert_eq!([remaining(&one), remaining(&other)], left);
    server.stop().await;
}

#[tokio::test]
async fn d04_a_body_that_comes_too_slowly_is_given_up() {
    let server = Server::start_with(&[("REQUEST_TIMEOUT_MS", "400")]).await;
    let mut wire = server.connect().await;
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    wire.send(format!("{head}Content-Length: 100\r\n\r\n{{")).await;
    let answer = wire.read_to_end().await;
    assert_eq!(status_of(&answer), 408, "{answer}");
    assert_eq!(body_of(&answer)["error"]["code"], "body_timed_out");
    assert_eq!(header_of(&answer, "connection"), Some("close"));
    server.stop().await;
}

#[tokio::test]
async fn d04_connections_that_say_nothing_or_little_are_closed() {
    let server = Server::start().await;
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    slow.send("GET /health HTTP/1.1\r\nHost: loc").await;
    let mut later = server.connect().await;
    later
        .send("GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(status_of(&later.read_answer().await), 200);
    later.send("GET /hea").await;
    for wire in [&mut silent, &mut slow, &mut later] {
        assert_eq!(wire.read_to_end().await, "");
    }
    server.stop().await;
}

/// How many connections a test may open to itself: both ends of each are its own.
fn connections_that_fit(wanted: usize) -> usize {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    wanted.min(usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(500) / 2)
}

#[tokio::test]
async fn d04_5_000_idle_connections_leave_others_unharmed() {
    let server = Server::start().await;
    let count = connections_that_fit(5_000);
    let mut idle = Vec::new();
    for index in 0..count {
        let mut wire = server.connect().await;
        if index % 2 == 0 {
            wire.send("GET /health HTTP/1.1\r\nX-Slow: ").await;
        }
        idle.push(wire);
    }
    let answer = server.exchange(LIVE).await;
    assert_eq!(status_of(&answer), 200);
    let report = serde_json::to_value(server.metrics().report(None)).unwrap();
    assert!(
        report["connections"]["accepted"].as_u64().unwrap() > count as u64,
        "{report}"
    );
    drop(idle);
    server.stop().await;
}

#[tokio::test]
async fn d04_connections_beyond_the_limit_wait_for_a_place() {
    let server = Server::start_with(&[("MAX_CONNECTIONS", "2")]).await;
    let (mut first, second) = (server.connect().await, server.connect().await);
    first.send(LIVE.replace("close", "keep-alive")).await;
    assert_eq!(status_of(&first.read_answer().await), 200);
    let mut third = server.connect().await;
    third.send(LIVE).await;
    assert!(
        timeout(Duration::from_millis(200), third.read_answer())
            .await
            .is_err()
    );
    second.close();
    assert_eq!(status_of(&third.read_answer().await), 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d05_more_sign_ins_than_can_be_worked_on_are_turned_away_quickly() {
    const TRIES: usize = 600;
    let server = Server::start_with(&[("BCRYPT_COST", "10")]).await;
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let mut wires = Vec::new();
    for index in 0..TRIES {
        // Each for another account, or the account's own limit would turn them away first.
        let body = format!(r#"{{"email":"nobody{index}@example.org","password":"wrong horse battery"}}"#);
        let mut wire = server.connect().await;
        wire.send(format!(
            "{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
        .await;
        wires.push(wire);
    }
    assert_eq!(status_of(&server.exchange(LIVE).await), 200);
    let mut turned_away = 0;
    for mut wire in wires {
        let answer = wire.read_to_end().await;
        match status_of(&answer) {
            401 | 429 => {}
            503 => {
                turned_away += 1;
                assert!(header_of(&answer, "retry-after").is_some(), "{answer}");
            }
            other => panic!("{other}: {answer}"),
        }
    }
    assert!(turned_away > 0, "all of them were worked on");
    server.stop().await;
}

/// The frames of HTTP/2, as an attacker writes them.
mod frames {
    pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend_from_slice(payload);
        frame
    }

    /// `POST /mcp/execute` to localhost (RFC 7541 static table: 3 POST, 6 http; literals for path and authority).
    pub(super) fn begin_post(stream: u32) -> Vec<u8> {
        let mut block = vec![0x83, 0x86, 0x04, 12];
        block.extend_from_slice(b"/mcp/execute");
        block.extend_from_slice(&[0x01, 9]);
        block.extend_from_slice(b"localhost");
        frame(1, 0x4, stream, &block)
    }

    pub(super) fn reset(stream: u32) -> Vec<u8> {
        frame(3, 0, stream, &8_u32.to_be_bytes())
    }
}

#[tokio::test]
async fn d09_a_client_that_opens_and_resets_streams_without_end_is_cut_off() {
    let server = Server::start().await;
    let mut wire = server.connect().await;
    wire.send(frames::PREFACE).await;
    for index in 0..10_000 {
        let stream = index * 2 + 1;
        wire.send([frames::begin_post(stream), frames::reset(stream)].concat())
            .await;
    }
    wire.read_to_end().await;
    assert_eq!(status_of(&server.exchange(LIVE).await), 200);
    assert_eq!(server.metrics().in_flight(), 0);
    server.stop().await;
}

#[tokio::test]
async fn d09_streams_beyond_the_limit_are_refused() {
    let server = Server::start_with(&[("REQUEST_TIMEOUT_MS", "400")]).await;
    let mut wire = server.connect().await;
    wire.send(frames::PREFACE).await;
    for index in 0..10_000 {
        wire.send(frames::begin_post(index * 2 + 1)).await;
        assert!(server.metrics().in_flight() <= 128);
    }
    assert_eq!(status_of(&server.exchange(LIVE).await), 200);
    assert!(server.metrics().in_flight() <= 128);
    wire.close();
    server.stop().await;
}
