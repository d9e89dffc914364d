//! `mcp-server healthcheck`: asks the server on the configured address whether it is ready.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::config::{AllowedHosts, Config};

use super::output;

/// Longest time for the whole question.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks, and says the answer in one line.
pub(super) fn ask(config: &Config) -> ExitCode {
    let target = format!("{}:{}", bracketed(reachable(&config.host)), config.port);
    match status(config, &target) {
        Ok(200) => {
            output::say(&format!("ready: http://{target}/health/ready answered 200"));
            ExitCode::SUCCESS
        }
        Ok(status) => {
            output::complain(&format!(
                "not ready: http://{target}/health/ready answered {status}"
            ));
            ExitCode::FAILURE
        }
        Err(error) => {
            output::complain(&format!("not ready: http://{target}/health/ready: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn status(config: &Config, target: &str) -> io::Result<u16> {
    if config.port == 0 {
        return Err(io::Error::other(
            "PORT is 0, so that the port isn't known here: name it with --port",
        ));
    }
    let deadline = Instant::now() + PATIENCE;
    let addresses = (reachable(&config.host), config.port).to_socket_addrs()?;
    let mut stream = connect(addresses, deadline)?;
    let host = host_header(config, target);
    let question = format!(
        "GET /health/ready HTTP/1.1\r\nHost: {host}\r\nUser-Agent: mcp-server-healthcheck\r\nConnection: close\r\n\r\n"
    );
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(question.as_bytes())?;
    let mut head = Vec::new();
    while !head.contains(&b'\n') && head.len() < 1024 {
        let mut chunk = [0; 256];
        stream.set_read_timeout(Some(left(deadline)?))?;
        let count = stream.read(&mut chunk).map_err(plainly)?;
        head.extend_from_slice(
            chunk
                .get(..count)
                .filter(|chunk| !chunk.is_empty())
                .ok_or(io::ErrorKind::UnexpectedEof)?,
        );
    }
    status_of(&head).ok_or_else(|| io::Error::other("the answer is not HTTP"))
}

/// Names a read that took too long; the system calls it "resource temporarily unavailable".
fn plainly(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        io::ErrorKind::TimedOut.into()
    } else {
        error
    }
}

fn connect(addresses: impl Iterator<Item = SocketAddr>, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the host name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, left(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(io::ErrorKind::TimedOut.into())
    } else {
        Ok(left)
    }
}

fn status_of(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let mut words = line.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

/// Where a server that listens on `host` can be reached from this machine.
fn reachable(host: &str) -> &str {
    match host {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    }
}

/// A name that the server answers to: the address itself unless only others are allowed.
fn host_header(config: &Config, target: &str) -> String {
    match &config.edge.allowed_hosts {
        AllowedHosts::Listed(hosts) if !config.edge.allowed_hosts.contains(reachable(&config.host)) => hosts
            .first()
            .map_or_else(|| target.to_owned(), |host| bracketed(host)),
        AllowedHosts::Any | AllowedHosts::Listed(_) => target.to_owned(),
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}
