//! `mcp-server stdio`: a client that starts the server itself and speaks over its standard streams.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::client::request;
use crate::process::{Finished, Place};

/// How long a child may take to end before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// The operator's key opens the door here, too.
const KEY: &str = "operator-key-of-the-tests-0123456789";

struct Pipes {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Pipes {
    fn open(place: &Place) -> Self {
        let mut child = place
            .command(&["stdio"])
            .env("ADMIN_API_KEY", KEY)
            .env("MCP_SERVER_API_KEY", KEY)
            .env("LOG_LEVEL", "debug")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        Self {
            child,
            input,
            output: BufReader::new(output),
        }
    }

    fn send(&mut self, message: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(message.as_bytes()).unwrap();
        input.write_all(b"\n").unwrap();
        input.flush().unwrap();
    }

    /// The next message; fails when anything else comes.
    fn receive(&mut self) -> Value {
        let mut line = String::new();
        assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "it ended");
        let message: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(message["jsonrpc"], "2.0");
        message
    }

    /// Sends a request and gives its answer, whatever comes before it.
    fn ask(&mut self, method: &str, params: Value) -> Value {
        let request = request(method, params);
        self.send(&request.to_string());
        loop {
            let message = self.receive();
            if message["id"] == request["id"] {
                return message;
            }
        }
    }

    /// Ends its input; gives what is left of its output, its errors, and its exit code.
    fn end(mut self) -> (String, String, Option<i32>) {
        drop(self.input.take());
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "it did not end with its input");
            std::thread::yield_now();
        };
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        let mut errors = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut errors)
            .unwrap();
        (rest, errors, status.code())
    }
}

fn stateless(mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    params
}

#[test]
fn both_eras_are_spoken_and_nothing_but_the_protocol_is_written() {
    let place = Place::new();
    let mut pipes = Pipes::open(&place);
    let found = pipes.ask("server/discover", stateless(json!({})));
    assert_eq!(found["result"]["supportedVersions"][0], "2026-07-28", "{found}");
    let call = json!({ "name": "sample__echo", "arguments": { "message": "hello" } });
    let called = pipes.ask("tools/call", stateless(call.clone()));
    assert_eq!(called["result"]["isError"], json!(false), "{called}");
    let hands = json!({
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" },
    });
    let begun = pipes.ask("initialize", hands);
    assert_eq!(begun["result"]["protocolVersion"], "2025-11-25");
    pipes.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string());
    let called = pipes.ask("tools/call", call);
    assert_eq!(called["result"]["isError"], json!(false), "{called}");
    let (rest, errors, code) = pipes.end();
    assert_eq!((rest.as_str(), code), ("", Some(0)), "{errors}");
    assert!(errors.contains("serving one client"), "{errors}");
}

#[test]
fn tasks_are_done_while_the_client_is_there_and_are_still_there_the_next_time() {
    let place = Place::new();
    let mut pipes = Pipes::open(&place);
    let submission = json!({ "tool": "sample__echo", "arguments": { "message": "hello" } });
    let call = json!({ "name": "tasks__submit", "arguments": submission });
    let made = pipes.ask("tools/call", stateless(call));
    let id = made["result"]["structuredContent"]["taskId"].clone();
    let wait = json!({ "name": "tasks__wait", "arguments": { "taskId": id } });
    let ended = pipes.ask("tools/call", stateless(wait.clone()));
    assert_eq!(
        ended["result"]["structuredContent"]["status"], "completed",
        "{ended}"
    );
    assert_eq!(pipes.end().2, Some(0));
    let mut again = Pipes::open(&place);
    let found = again.ask("tools/call", stateless(wait));
    assert_eq!(
        found["result"]["structuredContent"]["status"], "completed",
        "{found}"
    );
    assert_eq!(again.end().2, Some(0));
}

#[test]
fn what_is_no_json_is_answered_and_the_next_line_is_served() {
    let place = Place::new();
    let mut pipes = Pipes::open(&place);
    pipes.send("{");
    assert_eq!(pipes.receive()["error"]["code"], -32_700);
    pipes.ask("server/discover", stateless(json!({})));
    assert_eq!(pipes.end().2, Some(0));
}

#[test]
fn it_does_not_start_without_a_good_key_or_beside_a_server_and_says_so_on_standard_error() {
    let place = Place::embedded();
    let told = |finished: Finished, word: &str| {
        assert_eq!(
            (finished.code, finished.stdout.as_str()),
            (1, ""),
            "{}",
            finished.stderr
        );
        assert!(finished.stderr.contains(word), "{}", finished.stderr);
    };
    told(place.run(&["stdio"]), "MCP_SERVER_API_KEY is not set");
    told(place.run(&["stdio"]), "POST /api/v1/auth/api-key/generate");
    told(
        place.run(&["stdio", "--mcp-server-api-key", "wrong"]),
        "is not accepted",
    );
    let server = place.start(&[]);
    let token = server.register("ada");
    told(
        place.run(&["stdio", "--mcp-server-api-key", "wrong"]),
        "connect to its /mcp",
    );
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().0.code(), Some(0));
    told(
        place.run(&["stdio", "--mcp-server-api-key", &token]),
        "here an API key is needed",
    );
    let mut pipes = Pipes::open(&place);
    pipes.ask("server/discover", stateless(json!({})));
    told(
        place.run(&["stdio", "--admin-api-key", KEY, "--mcp-server-api-key", KEY]),
        "another process",
    );
    assert_eq!(pipes.end().2, Some(0));
}

#[test]
fn who_is_not_admitted_has_no_task_done_and_no_store_made() {
    let place = Place::new();
    let keyless = place.run(&["stdio"]);
    assert_eq!(keyless.code, 1, "{}", keyless.stderr);
    assert_eq!(place.path().read_dir().unwrap().count(), 0, "something was made");
    let idle = [("ADMIN_API_KEY", KEY), ("WORKER_CONCURRENCY", "0")];
    let server = place.start(&idle);
    let token = server.register("ada");
    let due =
        json!({ "title": "due", "plugin": "sample", "action": "echo", "payload": { "message": "hello" } });
    let (status, made) = server.post("/api/v1/tasks", Some(&token), &due);
    assert_eq!(status, 201, "{made}");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().0.code(), Some(0));
    let refused = place.run(&["stdio", "--mcp-server-api-key", "wrong"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    let server = place.start(&idle);
    let path = format!("/api/v1/tasks/{}", made["data"]["id"].as_str().unwrap());
    let bearer = format!("Bearer {token}");
    let (status, task) = server.request("GET", &path, &[("Authorization", &bearer)], "");
    let task: Value = serde_json::from_str(&task).unwrap();
    assert_eq!(status, 200, "{task}");
    assert_eq!(
        (&task["data"]["status"], &task["data"]["attempt"]),
        (&json!("pending"), &json!(0)),
        "{task}"
    );
}
