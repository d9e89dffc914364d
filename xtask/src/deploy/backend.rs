//! A server that notes what reaches it and answers as the path says: what a proxy does is seen exactly.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;

/// How long a connection may be silent.
const LIMIT: Duration = Duration::from_secs(30);

/// Most heads that are noted.
const MAX_HEADS: usize = 100;

/// Answers with a small JSON text.
pub(super) const ANSWERED: &str = "/answered";

/// Takes the request, and breaks the connection without an answer: whether it was carried out is not known.
pub(super) const UNHEARD: &str = "/unheard";

/// Sends one event of a stream, and the next when it is told to.
pub(super) const EVENTS: &str = "/mcp";

/// Switches to another protocol, which sends back what it gets.
pub(super) const SWITCHED: &str = "/switched";

/// The first event, and the second.
pub(super) const EVENT: [&str; 2] = ["data: first\n\n", "data: second\n\n"];

/// A server on a private port.
pub(super) struct Backend {
    /// Where it listens.
    pub(super) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    go_on: SyncSender<()>,
}

/// What the connections share.
#[derive(Clone)]
struct Shared {
    heads: Arc<Mutex<Vec<String>>>,
    may_go_on: Arc<Mutex<Receiver<()>>>,
}

impl Backend {
    /// Starts it; its threads end with the process.
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (go_on, may_go_on) = sync_channel(1);
        let shared = Shared {
            heads: Arc::clone(&heads),
            may_go_on: Arc::new(Mutex::new(may_go_on)),
        };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                thread::spawn(move || shared.serve(stream));
            }
        });
        Ok(Self {
            address,
            heads,
            go_on,
        })
    }

    /// The heads of all requests so far, with their header names in lower case.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets one stream send its second event.
    pub(super) fn go_on(&self) -> Result<()> {
        Ok(self.go_on.try_send(())?)
    }
}

impl Shared {
    /// One request after the other, until the connection ends.
    fn serve(&self, stream: TcpStream) -> Option<()> {
        stream.set_read_timeout(Some(LIMIT)).ok()?;
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut writer = stream;
        loop {
            let head = head(&mut reader)?;
            discard_body(&mut reader, &head)?;
            self.note(&head);
            match head.split_whitespace().nth(1)? {
                UNHEARD => return writer.shutdown(Shutdown::Both).ok(),
                EVENTS => self.stream(&mut writer)?,
                SWITCHED => return switch(&mut reader, &mut writer),
                _ => {
                    let answer =
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n";
                    write!(writer, "{answer}{{\"ok\":true}}").ok()?;
                }
            }
        }
    }

    fn note(&self, head: &str) {
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        if heads.len() < MAX_HEADS {
            heads.push(head.to_owned());
        }
    }

    fn stream(&self, writer: &mut TcpStream) -> Option<()> {
        let start =
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        let [first, second] = EVENT.map(|event| format!("{:x}\r\n{event}\r\n", event.len()));
        write!(writer, "{start}{first}").ok()?;
        let may_go_on = self.may_go_on.lock().unwrap_or_else(PoisonError::into_inner);
        may_go_on.recv_timeout(LIMIT).ok()?;
        write!(writer, "{second}0\r\n\r\n").ok()
    }
}

fn switch(reader: &mut BufReader<TcpStream>, writer: &mut TcpStream) -> Option<()> {
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    writer.write_all(answer.as_bytes()).ok()?;
    let mut frame = [0; 4];
    while reader.read_exact(&mut frame).is_ok() {
        writer.write_all(&frame).ok()?;
    }
    Some(())
}

/// The head of a request up to its empty line, with the names of its headers in lower case.
fn head(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => return Some(head),
            plain => match plain.split_once(": ") {
                Some((name, value)) => head.push_str(&format!("{}: {value}\n", name.to_ascii_lowercase())),
                None => head.push_str(&format!("{plain}\n")),
            },
        }
    }
}

fn discard_body(reader: &mut BufReader<TcpStream>, head: &str) -> Option<()> {
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: u64 = length.map_or(Ok(0), str::parse).ok()?;
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).ok()?;
    Some(())
}
