//! What nginx does with requests, seen from both of its sides.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use super::backend::{ANSWERED, Backend, EVENT, EVENTS, SWITCHED, UNHEARD};
use super::curl::{self, Stream};
use crate::nginx::{self, Nginx};
use crate::request::Request;
use crate::{say, subject};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Checks the configuration, and what it does, with an nginx anew for each question.
///
/// # Errors
/// Fails at the first thing that isn't as it should be.
pub(super) fn run(folder: &Path) -> Result<()> {
    say::line(nginx::check(&folder.join("check"))?.trim());
    type Question = fn(&Path) -> Result<()>;
    let questions: [(&str, Question); 8] = [
        (
            "a request that was sent and not answered goes nowhere else, unless it only reads",
            sent_requests,
        ),
        (
            "any request goes elsewhere when a server can't be reached",
            unreachable_server,
        ),
        (
            "when none can be reached, the answer says so and when to try again",
            nobody,
        ),
        (
            "who calls, and how, is what the proxy saw, whatever the caller says",
            forwarding,
        ),
        ("a change of protocol goes through, both ways", switching),
        ("an event is there before the next one is sent", events),
        (
            "TLS 1.2 and later, with HTTP/2, and without TLS the way to it",
            tls,
        ),
        ("metrics and too large bodies stay outside", limits),
    ];
    for (number, (name, question)) in questions.into_iter().enumerate() {
        question(&folder.join(format!("question-{number}"))).context(name)?;
        say::line(format!("ok: {name}"));
    }
    Ok(())
}

fn sent_requests(folder: &Path) -> Result<()> {
    for (method, most) in [("GET", 2), ("POST", 1), ("PATCH", 1), ("PUT", 1), ("DELETE", 1)] {
        let backends = [Backend::start()?, Backend::start()?];
        let nginx = Nginx::start(
            &folder.join(method),
            &backends.each_ref().map(|backend| backend.address),
        )?;
        let answer = exchange(
            nginx.address(),
            &format!("{method} {UNHEARD} HTTP/1.1\r\nContent-Length: 0\r\n"),
        )?;
        let sent: usize = backends.iter().map(|backend| backend.heads().len()).sum();
        ensure!(sent == most, "{method} was sent {sent} times");
        ensure!(answer.starts_with("HTTP/1.1 503 "), "{method}: {answer}");
    }
    Ok(())
}

fn unreachable_server(folder: &Path) -> Result<()> {
    for method in ["GET", "POST", "PATCH"] {
        let backend = Backend::start()?;
        let nginx = Nginx::start(&folder.join(method), &[subject::free_address()?, backend.address])?;
        for _ in 0..4 {
            let request = format!("{method} {ANSWERED} HTTP/1.1\r\nContent-Length: 0\r\n");
            let answer = exchange(nginx.address(), &request)?;
            ensure!(answer.starts_with("HTTP/1.1 200 "), "{method}: {answer}");
        }
        ensure!(backend.heads().len() == 4, "{:?}", backend.heads());
    }
    Ok(())
}

fn nobody(folder: &Path) -> Result<()> {
    let nginx = Nginx::start(folder, &[subject::free_address()?, subject::free_address()?])?;
    for method in ["GET", "DELETE"] {
        let request = format!("{method} /api/v1/users/1 HTTP/1.1\r\n");
        let answer = exchange(nginx.address(), &request)?;
        for expected in [
            "503 ",
            "Retry-After: 1",
            "application/json",
            "\"code\":\"unavailable\"",
        ] {
            ensure!(answer.contains(expected), "{method} without {expected}: {answer}");
        }
    }
    Ok(())
}

fn forwarding(folder: &Path) -> Result<()> {
    let backend = Backend::start()?;
    let nginx = Nginx::start(folder, &[backend.address])?;
    let lies = [
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
        ("Forwarded", "for=192.0.2.1;proto=https"),
        ("Idempotency-Key", "one"),
    ];
    let mut request = Request::get(ANSWERED);
    for (name, value) in lies {
        request = request.header(name, value);
    }
    request.send(nginx.address())?;
    curl::tell(curl::over_tls(&nginx, ANSWERED), "")?;
    let heads = backend.heads();
    let [plain, secure] = heads.as_slice() else {
        bail!("{heads:?}");
    };
    let address = nginx.address();
    for expected in [
        format!("host: {address}"),
        "x-forwarded-for: 127.0.0.1".to_owned(),
        "x-forwarded-proto: http".to_owned(),
        "idempotency-key: one".to_owned(),
    ] {
        ensure!(
            plain.lines().any(|line| line == expected),
            "no {expected} in {plain}"
        );
    }
    for name in ["forwarded:", "upgrade:", "connection:"] {
        ensure!(
            !plain.lines().any(|line| line.starts_with(name)),
            "{name} in {plain}"
        );
    }
    ensure!(secure.contains("x-forwarded-proto: https\n"), "{secure}");
    ensure!(
        secure.contains(&format!("host: {}\n", nginx.tls_address())),
        "{secure}"
    );
    Ok(())
}

fn switching(folder: &Path) -> Result<()> {
    let backend = Backend::start()?;
    let nginx = Nginx::start(folder, &[backend.address])?;
    let mut stream = TcpStream::connect_timeout(&nginx.address(), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(
        stream,
        "GET {SWITCHED} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8_lossy(&head);
    ensure!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for frame in [b"ping", b"pong"] {
        stream.write_all(frame)?;
        let mut echoed = [0; 4];
        stream.read_exact(&mut echoed)?;
        ensure!(&echoed == frame, "{echoed:?} came back");
    }
    let heads = backend.heads();
    let seen = heads.first().context("nothing arrived")?;
    for expected in [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
    ] {
        ensure!(
            seen.lines().any(|line| line == expected),
            "no {expected} in {seen}"
        );
    }
    Ok(())
}

fn events(folder: &Path) -> Result<()> {
    let backend = Backend::start()?;
    let nginx = Nginx::start(folder, &[backend.address])?;
    let stream = Stream::open(curl::over_tls(&nginx, EVENTS))?;
    stream.await_line(EVENT[0].trim())?;
    backend.go_on()?;
    stream.await_line(EVENT[1].trim())?;
    Ok(())
}

fn tls(folder: &Path) -> Result<()> {
    let backend = Backend::start()?;
    let nginx = Nginx::start(folder, &[backend.address])?;
    let newest = curl::tell(curl::over_tls(&nginx, ANSWERED), " %{http_version} %{http_code}")?;
    ensure!(newest.ends_with(" 2 200"), "{newest}");
    let mut older = curl::over_tls(&nginx, ANSWERED);
    older.args(["--tls-max", "1.2", "--http1.1"]);
    let older = curl::tell(older, " %{http_version} %{http_code}")?;
    ensure!(older.ends_with(" 1.1 200"), "{older}");
    let mut oldest = curl::over_tls(&nginx, ANSWERED);
    // Its own limits off, so that it is nginx that refuses.
    oldest
        .args(["--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"])
        .stderr(std::process::Stdio::null());
    ensure!(curl::tell(oldest, "").is_err(), "TLS 1.1 is taken");
    let moved = Request::post("/api/v1/tasks?wait=1s", &json!({})).send(nginx.redirect_address())?;
    ensure!(moved.status == 308, "{moved:?}");
    let target = moved.header("location").unwrap_or_default();
    ensure!(target == "https://127.0.0.1/api/v1/tasks?wait=1s", "{target}");
    Ok(())
}

fn limits(folder: &Path) -> Result<()> {
    let backend = Backend::start()?;
    let nginx = Nginx::start(folder, &[backend.address])?;
    let metrics = Request::get("/metrics").send(nginx.address())?;
    ensure!(metrics.status == 404, "{metrics:?}");
    let large = exchange(
        nginx.address(),
        &format!("POST {ANSWERED} HTTP/1.1\r\nContent-Length: 2097153\r\n"),
    )?;
    ensure!(large.starts_with("HTTP/1.1 413 "), "{large}");
    ensure!(large.contains("\"code\":\"payload_too_large\""), "{large}");
    ensure!(backend.heads().is_empty(), "{:?}", backend.heads());
    Ok(())
}

/// Sends a head, to which the host and the end are added, and reads the whole answer.
fn exchange(address: SocketAddr, head: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "{head}Host: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
