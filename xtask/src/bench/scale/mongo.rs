//! MongoDB, asked what it did.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};

use crate::bench::scale::bson;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(30);

/// The longest answer that is read.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// Commands that are no work on documents: what drivers ask for themselves, and what is asked here.
const NO_WORK: [&str; 9] = [
    "hello",
    "isMaster",
    "ping",
    "buildInfo",
    "endSessions",
    "serverStatus",
    "saslStart",
    "saslContinue",
    "killCursors",
];

/// One connection to the member that takes writes.
pub(super) struct Mongo {
    stream: TcpStream,
    /// The process of that member.
    pub(super) pid: u32,
}

/// How much the server has done since it was started.
#[derive(Clone, Debug, Default)]
pub(super) struct Done {
    /// How often each command was sent to it: each is one round trip.
    pub(super) commands: BTreeMap<String, u64>,
    /// How many documents were inserted, changed or deleted.
    pub(super) documents: u64,
    /// How many of them were inserted.
    pub(super) inserted: u64,
}

impl Mongo {
    /// Connects to the first member of an address that takes writes.
    ///
    /// # Errors
    /// Fails when there is none.
    pub(super) fn connect(uri: &str) -> Result<Self> {
        let hosts = uri.trim_start_matches("mongodb://").split(['/', '?']).next();
        let hosts = hosts
            .and_then(|hosts| hosts.rsplit('@').next())
            .unwrap_or_default();
        for host in hosts.split(',') {
            let address = host
                .to_socket_addrs()?
                .next()
                .context("a member without an address")?;
            let stream = TcpStream::connect_timeout(&address, LIMIT)?;
            stream.set_read_timeout(Some(LIMIT))?;
            stream.set_nodelay(true)?;
            let mut member = Self { stream, pid: 0 };
            let hello = member.ask("admin", &json!({ "hello": 1 }))?;
            if hello.pointer("/isWritablePrimary") == Some(&Value::Bool(true)) {
                let status = member.ask("admin", &status())?;
                let pid = status.pointer("/pid").and_then(Value::as_u64);
                member.pid = u32::try_from(pid.context("a server without a process")?)?;
                return Ok(member);
            }
        }
        bail!("no member takes writes")
    }

    /// Tells what it has done so far.
    ///
    /// # Errors
    /// Fails when it doesn't answer.
    pub(super) fn done(&mut self) -> Result<Done> {
        let status = self.ask("admin", &status())?;
        let mut done = Done::default();
        let commands = status.pointer("/metrics/commands").and_then(Value::as_object);
        for (name, counts) in commands.context("no count of commands")? {
            let total = counts.pointer("/total").and_then(Value::as_u64).unwrap_or(0);
            if total > 0 && !NO_WORK.contains(&name.as_str()) {
                done.commands.insert(name.clone(), total);
            }
        }
        let documents = |kind| {
            let count = status.pointer(&format!("/metrics/document/{kind}"));
            count.and_then(Value::as_u64).unwrap_or(0)
        };
        done.inserted = documents("inserted");
        done.documents = done.inserted + documents("updated") + documents("deleted");
        Ok(done)
    }

    /// Begins to write down each operation on a database.
    ///
    /// # Errors
    /// Fails when it doesn't.
    pub(super) fn begin_profile(&mut self, database: &str) -> Result<()> {
        // Without this it keeps the last megabyte.
        let kept = json!({ "create": "system.profile", "capped": true, "size": 256 << 20 });
        self.ask(database, &kept)?;
        self.ask(database, &json!({ "profile": 2 }))?;
        Ok(())
    }

    /// Ends that.
    ///
    /// # Errors
    /// Fails when it doesn't answer.
    pub(super) fn end_profile(&mut self, database: &str) -> Result<()> {
        self.ask(database, &json!({ "profile": 0 })).map(|_| ())
    }

    /// Counts the operations that were written down and are like this.
    ///
    /// # Errors
    /// Fails when it doesn't answer.
    pub(super) fn count_profiled(&mut self, database: &str, like: &Value) -> Result<f64> {
        let answer = self.ask(database, &json!({ "count": "system.profile", "query": like }))?;
        answer.pointer("/n").and_then(Value::as_f64).context("no count")
    }

    /// How many connections it has with clients.
    ///
    /// # Errors
    /// Fails when it doesn't answer.
    pub(super) fn connections(&mut self) -> Result<f64> {
        let status = self.ask("admin", &status())?;
        status
            .pointer("/connections/current")
            .and_then(Value::as_f64)
            .context("no count of connections")
    }

    /// Removes a database.
    ///
    /// # Errors
    /// Fails when it doesn't.
    pub(super) fn drop_database(&mut self, database: &str) -> Result<()> {
        self.ask(database, &json!({ "dropDatabase": 1 })).map(|_| ())
    }

    /// Sends a command as a message of kind `OP_MSG`.
    fn ask(&mut self, database: &str, command: &Value) -> Result<Value> {
        const OP_MSG: u32 = 2013;
        const HEAD: usize = 12 + 4 + 1;
        let mut fields: Map<String, Value> = command.as_object().cloned().unwrap_or_default();
        fields.insert("$db".to_owned(), json!(database));
        let body = bson::write(&fields)?;
        let mut message = u32::try_from(16 + 4 + 1 + body.len())?.to_le_bytes().to_vec();
        for word in [1, 0, OP_MSG, 0] {
            message.extend_from_slice(&word.to_le_bytes());
        }
        message.push(0);
        message.extend_from_slice(&body);
        self.stream.write_all(&message)?;
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let size = usize::try_from(u32::from_le_bytes(size))?.saturating_sub(4);
        if size > MAX_ANSWER_BYTES {
            bail!("an answer of {size} bytes");
        }
        let mut answer = vec![0; size];
        self.stream.read_exact(&mut answer)?;
        let answer = bson::read(answer.get(HEAD..).context("an answer without a body")?)?;
        if answer.pointer("/ok").and_then(Value::as_f64) != Some(1.0) {
            bail!("MongoDB refuses {command}: {answer}");
        }
        Ok(answer)
    }
}

/// The question that counts commands, without what is long and not looked at.
fn status() -> Value {
    json!({
        "serverStatus": 1, "wiredTiger": 0, "locks": 0, "tcmalloc": 0, "repl": 0, "transactions": 0,
    })
}
