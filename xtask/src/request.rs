//! One HTTP request at a time, for preparing accounts and looking at health. Loopback only.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// How long connecting, and each read or write, may take.
const LIMIT: Duration = Duration::from_secs(30);

/// The largest answer that is read.
const MAX_ANSWER_BYTES: u64 = 4 << 20;

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The JSON body; `null` when the body isn't JSON.
    pub(crate) body: Value,
    /// The body as it came.
    pub(crate) raw: String,
    head: String,
}

impl Reply {
    /// The value of a header.
    pub(crate) fn header(&self, wanted: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let found = fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.trim())
    }

    /// The string at a JSON pointer; fails when the status isn't 2xx or the string is missing.
    pub(crate) fn text(&self, pointer: &str) -> Result<String> {
        if !(200..300).contains(&self.status) {
            bail!("status {}: {}", self.status, self.body);
        }
        let found = self.body.pointer(pointer).and_then(Value::as_str);
        found
            .map(str::to_owned)
            .with_context(|| format!("no {pointer} in {}", self.body))
    }
}

/// One request, built up and then sent on a connection of its own.
pub(crate) struct Request<'a> {
    method: &'a str,
    path: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: Option<&'a Value>,
}

impl<'a> Request<'a> {
    /// Starts a `GET`.
    pub(crate) fn get(path: &'a str) -> Self {
        Self {
            method: "GET",
            path,
            headers: Vec::new(),
            body: None,
        }
    }

    /// Starts a `POST` with a JSON body.
    pub(crate) fn post(path: &'a str, body: &'a Value) -> Self {
        Self {
            method: "POST",
            path,
            headers: Vec::new(),
            body: Some(body),
        }
    }

    /// Starts a `POST` without a body.
    pub(crate) fn post_nothing(path: &'a str) -> Self {
        Self {
            method: "POST",
            path,
            headers: Vec::new(),
            body: None,
        }
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sends the request and reads the whole answer.
    pub(crate) fn send(&self, address: SocketAddr) -> Result<Reply> {
        let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        stream.write_all(self.encode(address).as_bytes())?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
        parse(&String::from_utf8_lossy(&answer))
    }

    fn encode(&self, address: SocketAddr) -> String {
        let body = self.body.map(ToString::to_string).unwrap_or_default();
        let mut text = format!("{} {} HTTP/1.1\r\nHost: {address}\r\n", self.method, self.path);
        text.push_str("Connection: close\r\n");
        if !self
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("accept"))
        {
            text.push_str("Accept: application/json\r\n");
        }
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.body.is_some() {
            text.push_str(&format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            ));
        }
        text + "\r\n" + &body
    }
}

fn parse(answer: &str) -> Result<Reply> {
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("an answer without an end of its headers")?;
    let status = head.split(' ').nth(1).context("an answer without a status")?;
    Ok(Reply {
        status: status.parse()?,
        body: serde_json::from_str(body).unwrap_or_default(),
        raw: body.to_owned(),
        head: head.to_owned(),
    })
}
