//! One client over a pair of byte streams.

use std::{
    io,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use proptest::prelude::{ProptestConfig, any, proptest};
use protocol::{Change, Limits, serve_lines};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    host::{Lab, Who, host},
    post::{meta, meta_with, request as stateless, soon},
};

/// A server at work, and both ends of its streams.
struct Pipe {
    lab: Arc<Lab>,
    stop: CancellationToken,
    input: Option<DuplexStream>,
    output: Lines<BufReader<DuplexStream>>,
    serving: JoinHandle<io::Result<()>>,
}

impl Pipe {
    fn open() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let lab = Arc::new(Lab::new());
        let host = host(&lab, &Arc::new(AtomicU64::new(1_800_000_000_000)), limits);
        let stop = host.stop.clone();
        let (input, reader) = tokio::io::duplex(64 * 1024);
        let (output, writer) = tokio::io::duplex(64 * 1024);
        let runtime = tokio::runtime::Handle::current();
        let serving = runtime.spawn(serve_lines(host, Who::user("ada"), reader, writer));
        Self {
            lab,
            stop,
            input: Some(input),
            output: BufReader::new(output).lines(),
            serving,
        }
    }

    async fn write(&mut self, text: &str) {
        let input = self.input.as_mut().unwrap();
        soon(input.write_all(text.as_bytes())).await.unwrap();
    }

    async fn send(&mut self, message: &Value) {
        self.write(&format!("{message}\n")).await;
    }

    /// The next message; every line is one.
    async fn next(&mut self) -> Option<Value> {
        let line = soon(self.output.next_line()).await.unwrap()?;
        let message: Value = serde_json::from_str(&line).unwrap();
        let messages = message
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![message.clone()]);
        assert!(
            messages.iter().all(|message| message["jsonrpc"] == "2.0"),
            "{line}"
        );
        Some(message)
    }

    /// The next response.
    async fn response(&mut self) -> Value {
        loop {
            let message = self.next().await.expect("the output ended");
            if message.get("method").is_none() {
                return message;
            }
        }
    }

    async fn ask(&mut self, message: &Value) -> Value {
        self.send(message).await;
        self.response().await
    }

    async fn begin(&mut self, version: &str) -> Value {
        let client = json!({ "name": "tester", "version": "1.0" });
        let params = json!({ "protocolVersion": version, "capabilities": { "elicitation": {} }, "clientInfo": client });
        let begun = self.ask(&older("initialize", params)).await;
        self.send(&notification("notifications/initialized", json!({})))
            .await;
        begun
    }

    async fn notify_cancelled(&mut self, id: &Value) {
        self.send(&notification(
            "notifications/cancelled",
            json!({ "requestId": id }),
        ))
        .await;
    }

    /// Ends the input, and gives what is still said until the server ends.
    async fn close(mut self) -> Vec<Value> {
        self.input = None;
        let mut rest = Vec::new();
        while let Some(message) = self.next().await {
            rest.push(message);
        }
        soon(self.serving).await.unwrap().unwrap();
        rest
    }
}

fn older(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

fn notification(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params })
}

fn call(tool: &str) -> Value {
    stateless("tools/call", json!({ "name": tool }))
}

fn older_call(tool: &str) -> Value {
    older("tools/call", json!({ "name": tool }))
}

#[tokio::test]
async fn both_eras_are_served_side_by_side() {
    let mut pipe = Pipe::open();
    let discovered = pipe.ask(&stateless("server/discover", json!({}))).await;
    assert_eq!(discovered["result"]["resultType"], "complete");
    let begun = pipe.begin("2025-06-18").await;
    assert_eq!(begun["result"]["protocolVersion"], "2025-06-18");
    let called = pipe.ask(&older_call("echo")).await;
    assert!(called["result"].get("resultType").is_none());
    let called = pipe.ask(&call("echo")).await;
    assert_eq!(called["result"]["resultType"], "complete");
    assert_eq!(pipe.close().await, Vec::<Value>::new());
}

#[tokio::test]
async fn nothing_but_messages_is_written_whatever_comes() {
    let mut pipe = Pipe::open();
    let wrong = [
        "nonsense\n",
        "\n  \n",
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"ping\"}\n",
        "[]\n",
        "\"\u{0}\"\n",
        "{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{}}\n",
    ];
    for text in wrong {
        pipe.write(text).await;
    }
    for expected in [-32700, -32600, -32600, -32600, -32700] {
        assert_eq!(pipe.next().await.unwrap()["error"]["code"], expected);
    }
    let panicked = pipe.ask(&call("panic")).await;
    assert_eq!(panicked["error"]["code"], -32603);
    let meta = json!({ "progressToken": 1, "io.modelcontextprotocol/logLevel": "debug" });
    let mut speak = call("speak");
    speak["params"]["_meta"]
        .as_object_mut()
        .unwrap()
        .extend(meta.as_object().unwrap().clone());
    assert_eq!(pipe.ask(&speak).await["result"]["content"][0]["text"], "spoken");
    assert_eq!(pipe.close().await, Vec::<Value>::new());
}

#[tokio::test]
async fn what_is_said_before_a_result_is_written_before_it() {
    let mut pipe = Pipe::open();
    pipe.begin("2025-11-25").await;
    let params = json!({ "name": "speak", "_meta": { "progressToken": "p" } });
    pipe.send(&older("tools/call", params)).await;
    let mut said = Vec::new();
    for _ in 0..4 {
        let message = pipe.next().await.unwrap();
        said.push(message["method"].as_str().unwrap_or("response").to_owned());
    }
    let expected = [
        "notifications/progress",
        "notifications/message",
        "notifications/progress",
        "response",
    ];
    assert_eq!(said, expected);
}

#[tokio::test]
async fn a_line_that_is_too_long_is_refused_and_the_next_is_served() {
    let mut pipe = Pipe::open();
    let piece = "x".repeat(1024 * 1024);
    for _ in 0..5 {
        pipe.write(&piece).await;
    }
    pipe.write("\n").await;
    assert_eq!(pipe.response().await["error"]["code"], -32600);
    let answer = pipe.ask(&call("echo")).await;
    assert!(answer["result"].is_object());
}

#[tokio::test]
async fn the_server_ends_with_its_input_whatever_still_runs() {
    let mut pipe = Pipe::open();
    pipe.begin("2025-11-25").await;
    pipe.send(&call("wait")).await;
    pipe.send(&older_call("wait")).await;
    pipe.send(&older_call("greet")).await;
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    pipe.send(&stateless("subscriptions/listen", listen)).await;
    soon(pipe.lab.begun.acquire_many(2)).await.unwrap().forget();
    let lab = Arc::clone(&pipe.lab);
    pipe.close().await;
    assert_eq!(lab.dropped.available_permits(), 2);
}

#[tokio::test]
async fn a_stream_of_changes_ends_properly_with_the_input() {
    let mut pipe = Pipe::open();
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    pipe.send(&stateless("subscriptions/listen", listen)).await;
    let begun = pipe.next().await.unwrap();
    assert_eq!(begun["method"], "notifications/subscriptions/acknowledged");
    let rest = pipe.close().await;
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0]["result"]["resultType"], "complete");
}

#[tokio::test]
async fn a_session_is_told_of_changes_for_as_long_as_it_lasts() {
    // Whoever was told for longer than this is told anew.
    let keep_alive = Duration::from_nanos(1);
    let mut pipe = Pipe::with(Limits {
        keep_alive,
        ..Limits::default()
    });
    pipe.begin("2025-11-25").await;
    while pipe.lab.changes.receiver_count() == 0 {
        tokio::task::yield_now().await;
    }
    // More than the host keeps for one who listens: it tells that one no more.
    for _ in 0..17 {
        pipe.lab.changes.send(Change::Prompts).unwrap();
    }
    let lab = Arc::clone(&pipe.lab);
    let told = tokio::select! {
        told = pipe.next() => told.unwrap(),
        () = async {
            loop {
                let _unheard = lab.changes.send(Change::Tools);
                tokio::task::yield_now().await;
            }
        } => json!({}),
    };
    assert_eq!(told["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn what_was_asked_before_the_end_of_the_input_is_answered() {
    let mut pipe = Pipe::open();
    pipe.send(&call("echo")).await;
    let rest = pipe.close().await;
    assert_eq!(rest.len(), 1);
    assert!(rest[0]["result"].is_object());
}

#[tokio::test]
async fn an_unfinished_line_at_the_end_is_no_message() {
    let mut pipe = Pipe::open();
    pipe.write(&call("echo").to_string()).await;
    let lab = Arc::clone(&pipe.lab);
    assert_eq!(pipe.close().await, Vec::<Value>::new());
    assert_eq!(lab.calls.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_server_ends_when_its_host_stops() {
    let mut pipe = Pipe::open();
    assert!(pipe.ask(&call("echo")).await["result"].is_object());
    pipe.stop.cancel();
    soon(pipe.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_end_of_the_input_does_not_stop_the_host() {
    let pipe = Pipe::open();
    let stop = pipe.stop.clone();
    pipe.close().await;
    assert!(!stop.is_cancelled());
}

#[tokio::test]
async fn cancelled_requests_of_both_eras_end_without_a_response() {
    for message in [older_call("wait"), call("wait")] {
        let mut pipe = Pipe::open();
        pipe.begin("2025-11-25").await;
        pipe.send(&message).await;
        soon(pipe.lab.begun.acquire()).await.unwrap().forget();
        pipe.notify_cancelled(&message["id"]).await;
        soon(pipe.lab.dropped.acquire()).await.unwrap().forget();
        assert_eq!(pipe.close().await, Vec::<Value>::new());
    }
}

#[tokio::test]
async fn requests_of_one_id_do_not_disturb_each_other() {
    let mut pipe = Pipe::open();
    for _ in 0..4 {
        pipe.send(&call("wait")).await;
    }
    assert!(pipe.ask(&call("echo")).await["result"]["structuredContent"].is_object());
    pipe.lab.gate.add_permits(4);
    for _ in 0..4 {
        assert_eq!(
            pipe.response().await["result"]["content"][0]["text"],
            "done waiting"
        );
    }
}

#[tokio::test]
async fn no_more_than_256_requests_run_at_a_time() {
    let mut pipe = Pipe::open();
    for _ in 0..256 {
        pipe.send(&call("wait")).await;
    }
    let refused = pipe.ask(&call("wait")).await;
    assert_eq!(refused["error"]["code"], -32603);
    pipe.lab.gate.add_permits(256);
    for _ in 0..256 {
        assert!(pipe.response().await["result"].is_object());
    }
}

#[tokio::test]
async fn a_session_is_asked_and_answers() {
    let mut pipe = Pipe::open();
    pipe.begin("2025-11-25").await;
    pipe.send(&older_call("greet")).await;
    let question = pipe.next().await.unwrap();
    assert_eq!(question["method"], "elicitation/create");
    let result = json!({ "action": "accept", "content": { "name": "Ada" } });
    pipe.send(&json!({ "jsonrpc": "2.0", "id": question["id"], "result": result }))
        .await;
    let response = pipe.next().await.unwrap();
    assert_eq!(
        response["result"]["content"][0]["text"],
        r#"Hello, Ada! {"round":1}"#
    );
}

#[tokio::test]
async fn a_stateless_client_is_asked_in_the_result() {
    let mut pipe = Pipe::open();
    let meta = meta_with(json!({ "elicitation": {} }));
    let asked = pipe
        .ask(&stateless(
            "tools/call",
            json!({ "name": "greet", "_meta": meta }),
        ))
        .await;
    assert_eq!(asked["result"]["resultType"], "input_required");
    let name = json!({ "name": { "action": "accept", "content": { "name": "Ada" } } });
    let state = &asked["result"]["requestState"];
    let params = json!({ "name": "greet", "_meta": meta, "inputResponses": name, "requestState": state });
    let answered = pipe.ask(&stateless("tools/call", params)).await;
    assert_eq!(
        answered["result"]["content"][0]["text"],
        r#"Hello, Ada! {"round":1}"#
    );
}

#[tokio::test]
async fn a_session_hears_that_lists_have_changed() {
    let mut pipe = Pipe::open();
    pipe.begin("2025-06-18").await;
    soon(async {
        while pipe.lab.changes.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    pipe.lab.changes.send(Change::Tools).unwrap();
    assert_eq!(
        pipe.next().await.unwrap()["method"],
        "notifications/tools/list_changed"
    );
}

#[tokio::test]
async fn a_stream_of_changes_is_acknowledged_and_can_be_cancelled() {
    let mut pipe = Pipe::open();
    let listen = json!({ "notifications": { "toolsListChanged": true }, "_meta": meta() });
    let listen = stateless("subscriptions/listen", listen);
    pipe.send(&listen).await;
    let first = pipe.next().await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    pipe.lab.changes.send(Change::Tools).unwrap();
    let changed = pipe.next().await.unwrap();
    assert_eq!(
        changed["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        listen["id"]
    );
    pipe.notify_cancelled(&listen["id"]).await;
    soon(async {
        while pipe.lab.changes.receiver_count() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(pipe.close().await, Vec::<Value>::new());
}

#[tokio::test]
async fn f03_batches_are_taken_in_a_session_of_2025_03_26_alone() {
    let batch = json!([older("ping", json!({})), older("server/discover", json!({}))]);
    let mut pipe = Pipe::open();
    assert_eq!(pipe.ask(&batch).await["error"]["code"], -32600);
    pipe.begin("2025-06-18").await;
    assert_eq!(pipe.ask(&batch).await["error"]["code"], -32600);
    pipe.begin("2025-03-26").await;
    let answer = pipe.ask(&batch).await;
    assert_eq!(answer[0], json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
    assert_eq!(answer[1]["error"]["code"], -32601);
}

#[tokio::test]
async fn before_the_session_there_is_ping_and_what_says_its_revision() {
    let mut pipe = Pipe::open();
    assert_eq!(pipe.ask(&older("ping", json!({}))).await["result"], json!({}));
    assert_eq!(
        pipe.ask(&older("tools/list", json!({}))).await["error"]["code"],
        -32602
    );
    let mut unknown = stateless("tools/list", json!({}));
    unknown["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("1900-01-01");
    assert_eq!(pipe.ask(&unknown).await["error"]["code"], -32022);
}

#[tokio::test]
async fn a_session_sets_the_level_of_what_it_hears() {
    let mut pipe = Pipe::open();
    pipe.begin("2025-11-25").await;
    pipe.ask(&older("logging/setLevel", json!({ "level": "error" })))
        .await;
    pipe.send(&older_call("speak")).await;
    assert!(pipe.next().await.unwrap()["result"].is_object());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_comes_in_whatever_pieces_only_messages_are_written(
        pieces in proptest::collection::vec(any::<Vec<u8>>(), 0..8),
        text in "([\\[{]?(\\PC|[{}\\[\\]\",:0-9]){0,20}\n){0,8}",
        cut in any::<proptest::sample::Index>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut pipe = Pipe::open();
            let bytes = text.into_bytes();
            let (head, tail) = bytes.split_at(cut.index(bytes.len() + 1));
            for piece in [head, tail].into_iter().chain(pieces.iter().map(Vec::as_slice)) {
                soon(pipe.input.as_mut().unwrap().write_all(piece)).await.unwrap();
                tokio::task::yield_now().await;
            }
            pipe.send(&json!(0)).await;
            // What comes after is understood all the same.
            pipe.send(&call("echo")).await;
            while pipe.next().await.is_some_and(|message| message["id"] != 7) {}
            pipe.close().await;
        });
    }
}
