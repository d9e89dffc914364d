//! A proxy on the loopback interface that adds a credential to every request, and changes nothing else.
//!
//! It works on bytes: of a request it reads the head, to put a line into it, and the length of the body; of an
//! answer it reads nothing at all. So streams stay streams, and whoever hangs up is seen to hang up on both sides.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// How long connecting to the server may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long the proxy waits for a word from either side before it gives a connection up.
const IDLE_LIMIT: Duration = Duration::from_secs(300);

/// The longest head of a request.
const MAX_HEAD_BYTES: u64 = 64 << 10;

/// The most connections at a time; more are closed at once.
const MAX_CONNECTIONS: usize = 512;

/// What is added to each request.
pub(crate) enum Credential<'a> {
    /// An access token, as a bearer.
    Token(&'a str),
    /// An API key, in its own header.
    Key(&'a str),
}

impl Credential<'_> {
    /// Its name for people.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Key(_) => "API key",
        }
    }

    fn line(&self) -> String {
        match self {
            Self::Token(token) => format!("Authorization: Bearer {token}\r\n"),
            Self::Key(key) => format!("X-API-Key: {key}\r\n"),
        }
    }
}

/// A running proxy; ends, with its connections, when it goes out of scope.
pub(crate) struct Proxy {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy before `upstream`, on a port of its own.
    ///
    /// # Errors
    /// Fails when it can't listen.
    pub(crate) fn start(upstream: SocketAddr, credential: &Credential<'_>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("the proxy can't listen")?;
        let address = listener.local_addr()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (line, ends) = (credential.line(), Arc::clone(&is_over));
        let acceptor = thread::spawn(move || accept(&listener, upstream, &line, &ends));
        Ok(Self {
            address,
            is_over,
            acceptor: Some(acceptor),
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // Wakes the acceptor, which waits for a connection.
        TcpStream::connect_timeout(&self.address, CONNECT_LIMIT).ok();
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().ok();
        }
    }
}

/// A connection in both directions, with the thread that serves it.
struct Link {
    client: TcpStream,
    server: TcpStream,
    thread: JoinHandle<()>,
}

fn accept(listener: &TcpListener, upstream: SocketAddr, line: &str, is_over: &AtomicBool) {
    let mut links: Vec<Link> = Vec::new();
    for client in listener.incoming() {
        if is_over.load(Ordering::Acquire) {
            break;
        }
        links.retain(|link| !link.thread.is_finished());
        // What can't be served is closed by being dropped, which its sender sees.
        if let Ok(client) = client
            && links.len() < MAX_CONNECTIONS
            && let Ok(link) = open(client, upstream, line)
        {
            links.push(link);
        }
    }
    for link in links {
        hang_up(&link.client, &link.server);
        link.thread.join().ok();
    }
}

fn open(client: TcpStream, upstream: SocketAddr, line: &str) -> io::Result<Link> {
    let server = TcpStream::connect_timeout(&upstream, CONNECT_LIMIT)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(IDLE_LIMIT))?;
        stream.set_write_timeout(Some(IDLE_LIMIT))?;
    }
    let (line, ours, theirs) = (line.to_owned(), client.try_clone()?, server.try_clone()?);
    let thread = thread::spawn(move || {
        thread::scope(|scope| {
            scope.spawn(|| {
                // However it ends, both sides are told.
                io::copy(&mut &theirs, &mut &ours).ok();
                hang_up(&ours, &theirs);
            });
            requests(&ours, &theirs, &line).ok();
            hang_up(&ours, &theirs);
        });
    });
    Ok(Link {
        client,
        server,
        thread,
    })
}

fn hang_up(client: &TcpStream, server: &TcpStream) {
    // Fails only where it has happened already.
    client.shutdown(Shutdown::Both).ok();
    server.shutdown(Shutdown::Both).ok();
}

/// Hands requests on until there are no more.
fn requests(client: &TcpStream, mut server: &TcpStream, line: &str) -> io::Result<()> {
    let mut client = BufReader::new(client);
    while let Some(head) = read_head(&mut client)? {
        server.write_all(with_line(&head, line).as_bytes())?;
        match body_length(&head) {
            Some(length) => {
                io::copy(&mut (&mut client).take(length), &mut server)?;
            }
            // A body in chunks: whatever else comes on this connection goes on as it is.
            None => {
                io::copy(&mut client, &mut server)?;
            }
        }
    }
    Ok(())
}

/// Reads a head with its empty line; `None` when the connection ends before one.
fn read_head(client: &mut BufReader<&TcpStream>) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut limited = client.take(MAX_HEAD_BYTES);
    loop {
        let before = head.len();
        if limited.read_until(b'\n', &mut head)? == 0 {
            return Ok(None);
        }
        if head.get(before..).is_some_and(|line| line == b"\r\n") {
            return String::from_utf8(head).map(Some).map_err(io::Error::other);
        }
    }
}

/// The head with another line, unless it brings a credential of its own.
fn with_line(head: &str, line: &str) -> String {
    let brings_own = header(head, "authorization").or_else(|| header(head, "x-api-key"));
    match head.split_once("\r\n") {
        Some((first, rest)) if brings_own.is_none() => format!("{first}\r\n{line}{rest}"),
        _ => head.to_owned(),
    }
}

/// How many bytes follow a head; `None` when it doesn't say.
fn body_length(head: &str) -> Option<u64> {
    if header(head, "transfer-encoding").is_some() {
        return None;
    }
    header(head, "content-length").map_or(Some(0), |value| value.parse().ok())
}

fn header<'a>(head: &'a str, wanted: &str) -> Option<&'a str> {
    let mut fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields
        .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
        .map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::{body_length, with_line};

    const HEAD: &str = "POST /mcp HTTP/1.1\r\nHost: localhost\r\ncontent-length: 12\r\n\r\n";

    #[test]
    fn credential_is_added_behind_the_first_line() {
        assert_eq!(
            with_line(HEAD, "X-API-Key: k\r\n"),
            "POST /mcp HTTP/1.1\r\nX-API-Key: k\r\nHost: localhost\r\ncontent-length: 12\r\n\r\n"
        );
    }

    #[test]
    fn request_with_a_credential_stays_as_it_is() {
        let own = HEAD.replace("Host", "authorization: Bearer own\r\nHost");
        assert_eq!(with_line(&own, "X-API-Key: k\r\n"), own);
    }

    #[test]
    fn length_of_a_body_is_read_from_its_head() {
        assert_eq!(body_length(HEAD), Some(12));
        assert_eq!(body_length("GET /mcp HTTP/1.1\r\n\r\n"), Some(0));
        assert_eq!(
            body_length("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            None
        );
    }
}
