//! A server on this machine that stands in for a provider of language models: it speaks HTTP byte by byte, so
//! that it can also speak it badly.

use std::{collections::VecDeque, sync::Arc};

use model::Secret;
use runtimes::{LlmProvider, LlmSettings, ProviderSettings, http::Timeouts};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Mutex, Semaphore},
    task::JoinSet,
};

pub(crate) const KEY: &str = "sk-canary-0123456789abcdef";

/// What the server does with one request.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pieces: Vec<Vec<u8>>,
    keeps_open: bool,
}

impl Script {
    /// Answers with a whole stream of events.
    pub(crate) fn events(events: &str) -> Self {
        Self::pieces(vec![events.as_bytes().to_vec()], true)
    }

    /// Answers with a stream of events, cut into pieces of so many bytes.
    pub(crate) fn cut(events: &str, size: usize) -> Self {
        Self::pieces(events.as_bytes().chunks(size).map(<[u8]>::to_vec).collect(), true)
    }

    /// Begins a stream and breaks the connection off.
    pub(crate) fn broken(events: &str) -> Self {
        Self::pieces(vec![events.as_bytes().to_vec()], false)
    }

    /// Begins a stream and then neither says more nor hangs up.
    pub(crate) fn stalled(events: &str) -> Self {
        Self {
            keeps_open: true,
            ..Self::broken(events)
        }
    }

    /// Never says anything.
    pub(crate) fn silent() -> Self {
        Self {
            pieces: Vec::new(),
            keeps_open: true,
        }
    }

    /// Answers with a status, headers and a body.
    pub(crate) fn status(line: &str, headers: &[&str], body: &str) -> Self {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {line}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        Self {
            pieces: vec![answer.into_bytes()],
            keeps_open: false,
        }
    }

    fn pieces(pieces: Vec<Vec<u8>>, ends: bool) -> Self {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut chunks = vec![head.as_bytes().to_vec()];
        // A chunk of no bytes would be the end.
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            let size = format!("{:x}\r\n", piece.len());
            chunks.push([size.as_bytes(), &piece, b"\r\n"].concat());
        }
        if ends {
            chunks.push(b"0\r\n\r\n".to_vec());
        }
        Self {
            pieces: chunks,
            keeps_open: false,
        }
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Value,
}

#[derive(Debug)]
struct Shared {
    scripts: Mutex<VecDeque<Script>>,
    seen: Mutex<Vec<Seen>>,
    arrivals: Semaphore,
    departures: Semaphore,
}

/// The server; it stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Provider {
    url: String,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl Provider {
    /// Answers the first request by the first script, and so on; the last one is used again.
    pub(crate) async fn start(scripts: impl IntoIterator<Item = Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            scripts: Mutex::new(scripts.into_iter().collect()),
            seen: Mutex::default(),
            arrivals: Semaphore::new(0),
            departures: Semaphore::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Self {
            url,
            shared,
            _tasks: tasks,
        }
    }

    /// Settings that make this server the only provider with a key.
    pub(crate) fn settings(&self, provider: LlmProvider) -> LlmSettings {
        let here = ProviderSettings {
            api_key: Some(Secret::new(KEY)),
            base_url: self.url.clone(),
        };
        let settings = LlmSettings {
            provider,
            timeouts: Timeouts::default(),
            ..LlmSettings::default()
        };
        match provider {
            LlmProvider::OpenAi => LlmSettings {
                openai: here,
                ..settings
            },
            LlmProvider::Anthropic => LlmSettings {
                anthropic: here,
                ..settings
            },
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The requests so far.
    pub(crate) async fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().await.clone()
    }

    /// Waits until a request has come and its script is played.
    pub(crate) async fn arrival(&self) {
        self.shared.arrivals.acquire().await.unwrap().forget();
    }

    /// Waits until the other side has hung up while this one was keeping the connection open.
    pub(crate) async fn departure(&self) {
        self.shared.departures.acquire().await.unwrap().forget();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (connection, _) = listener.accept().await.unwrap();
        connection.set_nodelay(true).unwrap();
        connections.spawn(serve(connection, Arc::clone(&shared)));
    }
}

/// Serves one connection; the other side may hang up at any time.
async fn serve(mut connection: TcpStream, shared: Arc<Shared>) {
    while let Some(request) = read_request(&mut connection).await {
        shared.seen.lock().await.push(request);
        let mut scripts = shared.scripts.lock().await;
        let script = if scripts.len() > 1 {
            scripts.pop_front()
        } else {
            scripts.front().cloned()
        };
        drop(scripts);
        let script = script.unwrap();
        let mut is_gone = false;
        for piece in &script.pieces {
            is_gone |= connection.write_all(piece).await.is_err();
            tokio::task::yield_now().await;
        }
        shared.arrivals.add_permits(1);
        if script.keeps_open && !is_gone {
            // Nothing more is sent by the client but the end.
            is_gone = matches!(connection.read(&mut [0; 16]).await, Ok(0) | Err(_));
        }
        if is_gone {
            shared.departures.add_permits(1);
        }
        if !ends_by_itself(&script) {
            return;
        }
    }
}

fn ends_by_itself(script: &Script) -> bool {
    script.pieces.last().is_some_and(|piece| piece == b"0\r\n\r\n")
}

async fn read_request(connection: &mut TcpStream) -> Option<Seen> {
    let mut received = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let size = connection.read(&mut piece).await.ok().filter(|size| *size > 0)?;
        received.extend_from_slice(&piece[..size]);
        let text = String::from_utf8_lossy(&received);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            })
            .unwrap_or(0);
        if body.len() >= length {
            return Some(Seen {
                head: head.to_owned(),
                body: serde_json::from_str(body).unwrap_or_default(),
            });
        }
    }
}
