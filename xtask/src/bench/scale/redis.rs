//! Redis, asked who it is and watched at work.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(10);

/// How long the watcher waits for the next command before it looks whether it may stop.
const LOOK_UP: Duration = Duration::from_millis(100);

/// A server.
pub(super) struct Redis {
    address: SocketAddr,
    /// Its process.
    pub(super) pid: u32,
}

impl Redis {
    /// Finds the server at an address.
    ///
    /// # Errors
    /// Fails when there is none.
    pub(super) fn find(url: &str) -> Result<Self> {
        let host = url
            .trim_start_matches("redis://")
            .split('/')
            .next()
            .unwrap_or_default();
        let address = host
            .to_socket_addrs()?
            .next()
            .context("a server without an address")?;
        let mut redis = Self { address, pid: 0 };
        redis.pid = redis.process()?;
        Ok(redis)
    }

    /// How many connections it has with clients, this one included.
    ///
    /// # Errors
    /// Fails when it doesn't answer.
    pub(super) fn connections(&self) -> Result<u32> {
        self.number("clients", "connected_clients:")
    }

    fn process(&self) -> Result<u32> {
        self.number("server", "process_id:")
    }

    fn number(&self, section: &str, name: &str) -> Result<u32> {
        let mut lines = self.send(&format!("INFO {section}"))?;
        let mut line = String::new();
        while lines.read_line(&mut line)? > 0 {
            if let Some(number) = line.strip_prefix(name) {
                return Ok(number.trim().parse()?);
            }
            line.clear();
        }
        bail!("Redis doesn't tell {name}")
    }

    fn send(&self, words: &str) -> Result<BufReader<TcpStream>> {
        let mut stream = TcpStream::connect_timeout(&self.address, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(format!("{words}\r\n").as_bytes())?;
        Ok(BufReader::new(stream))
    }

    /// Counts the commands that clients send while something is done, by name. What scripts do inside doesn't count: it
    /// takes no round trip.
    ///
    /// # Errors
    /// Those of `work`, and fails when the server can't be watched.
    pub(super) fn watch<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(T, BTreeMap<String, u64>)> {
        let mut lines = self.send("MONITOR")?;
        let mut line = String::new();
        lines.read_line(&mut line)?;
        if !line.starts_with("+OK") {
            bail!("Redis can't be watched: {line}");
        }
        lines.get_ref().set_read_timeout(Some(LOOK_UP))?;
        let has_ended = AtomicBool::new(false);
        thread::scope(|scope| {
            let watching = scope.spawn(|| count(lines, &has_ended));
            let outcome = work();
            has_ended.store(true, Ordering::Release);
            let counts = watching.join().ok().context("the watcher failed")?;
            Ok((outcome?, counts?))
        })
    }
}

fn count(mut lines: BufReader<TcpStream>, has_ended: &AtomicBool) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    let mut line = Vec::new();
    loop {
        match lines.read_until(b'\n', &mut line) {
            Ok(0) => bail!("Redis ended while it was watched"),
            Ok(_) => {
                if let Some(name) = sent_by_client(&String::from_utf8_lossy(&line)) {
                    *counts.entry(name).or_default() += 1;
                }
                line.clear();
            }
            // What came of a line so far is kept.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if has_ended.load(Ordering::Acquire) {
                    return Ok(counts);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The command in a line such as `+1700000000.1 [0 127.0.0.1:1234] "GET" "key"`, unless a script sent it.
fn sent_by_client(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(" [")?;
    let (sender, command) = rest.split_once("] \"")?;
    if sender.ends_with(" lua") {
        return None;
    }
    let name = command.split('"').next()?.to_lowercase();
    Some(name).filter(|name| !matches!(name.as_str(), "monitor" | "info" | "ping"))
}

#[cfg(test)]
mod tests {
    use super::sent_by_client;

    #[test]
    fn only_what_a_client_sends_is_a_round_trip() {
        let sent = r#"+1700000000.123456 [0 127.0.0.1:1234] "EVALSHA" "abc] \"x" "1""#;
        assert_eq!(sent_by_client(sent), Some("evalsha".to_owned()));
        assert_eq!(sent_by_client(r#"+1700000000.123456 [0 lua] "GET" "key""#), None);
        assert_eq!(sent_by_client(r#"+1700000000.1 [0 127.0.0.1:1] "ping""#), None);
    }
}
