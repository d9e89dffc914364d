//! How a server starts, stops and meets the faults of its machine.

mod tasks;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::process::{Place, Running};

#[test]
fn the_start_says_where_to_go_and_how_to_make_the_first_admin() {
    let place = Place::new();
    let server = place.start(&[]);
    let said = server.lines.join("");
    assert!(said.contains(&format!("{}/docs", server.url)), "{said}");
    assert!(said.contains(&format!("{}/setup?token=", server.url)), "{said}");
    assert_eq!(server.request("GET", "/health/ready", &[], "").0, 200);
}

#[test]
fn the_link_for_the_first_admin_is_not_shown_when_there_is_one() {
    let place = Place::new();
    let arguments = [
        "admin",
        "create",
        "--email",
        "ada@example.com",
        "--username",
        "ada",
    ];
    assert_eq!(place.run_with_input(&arguments, "correct horse battery").code, 0);
    let server = place.start(&[]);
    assert!(!server.lines.join("").contains("/setup"), "{:?}", server.lines);
}

#[test]
fn on_a_terminal_or_by_wish_the_start_is_written_for_people() {
    let place = Place::new();
    let mut child = place
        .command(&["serve", "--port", "0", "--log-format", "pretty"])
        .spawn()
        .unwrap();
    let mut seen = String::new();
    let mut stdout = child.stdout.take().unwrap();
    while !seen.contains("/setup?token=") {
        let mut chunk = [0; 512];
        let count = stdout.read(&mut chunk).unwrap();
        assert_ne!(count, 0, "{seen}");
        seen.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        seen.contains("listens on http://127.0.0.1:") && !seen.contains('\u{1b}'),
        "{seen}"
    );
    assert!(seen.contains("/mcp (how to connect them: docs/mcp.md)"), "{seen}");
}

#[test]
fn the_log_tells_what_clients_of_the_protocol_asked_for_and_which_error_they_got() {
    let key = "operator-key-of-the-tests-0123456789";
    let place = Place::new();
    let server = place.start(&[("ADMIN_API_KEY", key)]);
    let asked = |method: &str, name: &str| {
        let message = json!({
            "jsonrpc": "2.0", "id": 1, "method": method,
            "params": {
                "name": name,
                "arguments": { "message": "hello" },
                "_meta": {
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
                    "io.modelcontextprotocol/clientCapabilities": {},
                },
            },
        });
        let headers = [
            ("X-API-Key", key),
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
            ("MCP-Protocol-Version", "2026-07-28"),
            ("Mcp-Method", method),
            ("Mcp-Name", name),
        ];
        server.request("POST", "/mcp", &headers, &message.to_string()).0
    };
    assert_eq!(asked("tools/call", "sample__echo"), 200);
    assert_eq!(asked("tools/call", "nope__echo"), 200);
    let long = "x".repeat(200);
    asked("no such method", &long);
    server.signal(Signal::SIGTERM);
    let (_, lines) = server.wait();
    let events = lines
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let told: Vec<Value> = events
        .filter(|event| event["route"] == "/mcp")
        .map(|event| json!([event["mcp_method"], event["mcp_name"], event["mcp_error"]]))
        .collect();
    assert_eq!(
        told,
        [
            json!(["tools/call", "sample__echo", null]),
            json!(["tools/call", "nope__echo", -32_602]),
            json!(["no?such?method", long[..128], -32_601]),
        ]
    );
}

#[test]
fn g06_a_stop_answers_what_is_in_flight_and_ends_with_code_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let place = Place::new();
        let server = place.start(&[]);
        let token = server.register("ada");
        let (status, answer) = std::thread::scope(|scope| {
            let call = scope.spawn(|| execute(&server, &token, "sleep", &json!({"ms": 700})));
            wait_until_running(&server);
            server.signal(signal);
            call.join().unwrap()
        });
        assert_eq!(status, 200, "{answer}");
        let (ended, lines) = server.wait();
        assert_eq!(ended.code(), Some(0), "{lines:#?}");
        assert!(lines.last().unwrap().contains("stopped"), "{lines:#?}");
    }
}

#[test]
fn g06_under_load_every_request_that_was_taken_is_answered() {
    let place = Place::new();
    let server = place.start(&[]);
    let token = server.register("ada");
    let stopping = AtomicBool::new(false);
    let answered: usize = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| call_until_refused(&server, &token, &stopping)))
            .collect();
        wait_until_running(&server);
        stopping.store(true, Ordering::SeqCst);
        server.signal(Signal::SIGTERM);
        callers.into_iter().map(|caller| caller.join().unwrap()).sum()
    });
    assert!(answered > 0);
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn g06_a_second_signal_ends_at_once() {
    let place = Place::new();
    let server = place.start(&[]);
    let token = server.register("ada");
    std::thread::scope(|scope| {
        let call = scope.spawn(|| call_until_cut_off(&server, &token));
        wait_until_running(&server);
        server.signal(Signal::SIGTERM);
        wait_until_refusing(&server);
        server.signal(Signal::SIGTERM);
        assert_eq!(call.join().unwrap(), b"");
    });
    assert_eq!(server.wait().0.code(), Some(143));
}

#[test]
fn g06_a_stop_waits_no_longer_than_its_grace() {
    let place = Place::new();
    let server = place.start(&[("SHUTDOWN_GRACE_MS", "300")]);
    let token = server.register("ada");
    std::thread::scope(|scope| {
        let call = scope.spawn(|| call_until_cut_off(&server, &token));
        wait_until_running(&server);
        server.signal(Signal::SIGTERM);
        assert!(!call.join().unwrap().starts_with(b"HTTP/1.1 200"));
    });
    let (ended, lines) = server.wait();
    assert_eq!(ended.code(), Some(0), "{lines:#?}");
}

#[test]
fn what_was_acknowledged_is_there_after_a_stop_and_a_start() {
    let place = Place::new();
    let server = place.start(&[]);
    let token = server.register("ada");
    assert_eq!(
        execute(&server, &token, "echo", &json!({"message": "kept"})).0,
        200
    );
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().0.code(), Some(0));
    let server = place.start(&[]);
    let authorization = format!("Bearer {token}");
    let (status, history) = server.request("GET", "/mcp/history", &[("Authorization", &authorization)], "");
    assert_eq!(status, 200, "{history}");
    assert!(history.contains("kept"), "{history}");
}

#[test]
fn g08_a_second_process_on_one_data_directory_says_so_and_ends() {
    let place = Place::embedded();
    let server = place.start(&[]);
    let second = place.run(&["serve", "--port", "0"]);
    assert_eq!(second.code, 1);
    assert_eq!(second.stderr.lines().count(), 1, "{}", second.stderr);
    assert!(second.stderr.contains("another process"), "{}", second.stderr);
    assert_eq!(server.request("GET", "/health/ready", &[], "").0, 200);
}

#[test]
fn a_port_in_use_is_named_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = Place::new().run(&["serve", "--port", &port]);
    assert_eq!(
        (ended.code, ended.stderr.lines().count()),
        (1, 1),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("in use") && ended.stderr.contains(&port),
        "{}",
        ended.stderr
    );
}

#[test]
fn g03_a_data_directory_that_can_not_be_made_is_named_in_one_line() {
    let place = Place::embedded();
    fs::write(place.path().join("file"), "").unwrap();
    for dir in ["file", "file/data", "/proc/nothing"] {
        let ended = place.run(&["serve", "--port", "0", "--data-dir", dir]);
        assert_eq!(
            (ended.code, ended.stderr.lines().count()),
            (1, 1),
            "{}",
            ended.stderr
        );
        assert!(
            ended.stderr.contains("DATA_DIR") && ended.stderr.contains(dir),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn g11_the_server_goes_on_when_nobody_reads_its_log() {
    let place = Place::new();
    let mut server = place.start(&[("LOG_LEVEL", "debug")]);
    server.stop_reading();
    for _ in 0..50 {
        assert_eq!(server.request("GET", "/health", &[], "").0, 200);
    }
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn g11_the_server_goes_on_when_the_log_is_on_a_full_disk() {
    let place = Place::new();
    let port = free_port();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = place.command(&["serve", "--port", &port]);
    let mut child = command
        .stdout(Stdio::from(full))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while place.run(&["healthcheck", "--port", &port]).code != 0 {
        assert!(child.try_wait().unwrap().is_none(), "the server ended");
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}

#[test]
fn log_files_hold_what_is_logged_and_no_secret() {
    let place = Place::new();
    let key = "c4a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f607";
    let server = place.start(&[
        ("LOG_DIR", "logs"),
        ("LOG_LEVEL", "trace"),
        ("ADMIN_API_KEY", key),
    ]);
    let token = server.register("ada");
    assert_eq!(
        server
            .request("GET", "/api/v1/users", &[("X-API-Key", key)], "")
            .0,
        200
    );
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().0.code(), Some(0));
    let entries: Vec<_> = fs::read_dir(place.path().join("logs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    let logged = fs::read_to_string(&entries[0]).unwrap();
    assert!(
        logged.contains("listening") && logged.contains("stopped"),
        "{logged}"
    );
    for secret in [key, token.as_str(), "correct horse battery"] {
        assert!(!logged.contains(secret));
    }
}

fn execute(server: &Running, token: &str, action: &str, payload: &Value) -> (u16, Value) {
    let body = json!({"plugin": "sample", "action": action, "payload": payload});
    server.post("/mcp/execute", Some(token), &body)
}

/// Waits until a request is worked on besides the one that asks.
fn wait_until_running(server: &Running) {
    loop {
        let (status, body) = server.request("GET", "/metrics", &[], "");
        assert_eq!(status, 200, "{body}");
        let report: Value = serde_json::from_str(&body).unwrap();
        if report["data"]["requests"]["inFlight"].as_u64().unwrap() >= 2 {
            return;
        }
    }
}

/// Waits until no new connection is taken.
fn wait_until_refusing(server: &Running) {
    while TcpStream::connect(server.url.strip_prefix("http://").unwrap()).is_ok() {}
}

/// Calls on one connection after the other until none is taken any more; answers how many calls were answered.
///
/// What was connected before the stop must be answered; what comes in the moment of the stop, answered or refused.
fn call_until_refused(server: &Running, token: &str, stopping: &AtomicBool) -> usize {
    let body = json!({"plugin": "sample", "action": "echo", "payload": {"message": "kept"}}).to_string();
    let authority = server.url.strip_prefix("http://").unwrap();
    let head = format!(
        "POST /mcp/execute HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n"
    );
    let rest = format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut answered = 0;
    while let Ok(mut stream) = TcpStream::connect(authority) {
        let was_before_the_stop = !stopping.load(Ordering::SeqCst);
        let mut answer = Vec::new();
        let outcome = stream
            .write_all(format!("{head}{rest}").as_bytes())
            .and_then(|()| stream.read_to_end(&mut answer));
        if was_before_the_stop || outcome.is_ok() {
            assert!(
                answer.starts_with(b"HTTP/1.1 200"),
                "{outcome:?} {}",
                String::from_utf8_lossy(&answer)
            );
            answered += 1;
        } else {
            assert_eq!(answer, b"");
        }
    }
    answered
}

/// Sends a long call and reads to the end of the connection, whatever comes.
fn call_until_cut_off(server: &Running, token: &str) -> Vec<u8> {
    let body = json!({"plugin": "sample", "action": "sleep", "payload": {"ms": 20_000}}).to_string();
    let authority = server.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(authority).unwrap();
    let head =
        format!("POST /mcp/execute HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\n");
    let rest = format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(format!("{head}{rest}").as_bytes()).unwrap();
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    answer
}

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
        .to_string()
}
