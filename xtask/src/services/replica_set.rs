//! MongoDB: three members of one replica set, told of each other in its own wire protocol.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::services::launch::Service;
use crate::services::mongod;
use crate::subject;

/// The name of the set.
const NAME: &str = "rs0";

/// How many members it has: one may be lost.
const MEMBERS: usize = 3;

/// How long members may take to agree on the first primary.
const ELECTION_LIMIT: Duration = Duration::from_secs(60);

/// How long a member may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// What an answer holds when the command did what it says.
const OK: &[u8] = b"\x01ok\0\0\0\0\0\0\0\xf0\x3f";

/// The longest answer that is read.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// A replica set that runs here, and whose members come and go.
pub(crate) struct ReplicaSet {
    /// Where clients find it.
    pub(crate) uri: String,
    program: PathBuf,
    members: Vec<Member>,
}

/// One member, always at the same address.
struct Member {
    address: SocketAddr,
    folder: PathBuf,
    service: Option<Service>,
}

impl ReplicaSet {
    /// Starts the members on private ports and waits until one of them is the primary.
    ///
    /// # Errors
    /// Fails when the program can't be had, or the members don't agree.
    pub(crate) fn begin(folder: &Path) -> Result<Self> {
        Self::start(&mongod::program()?, folder)
    }

    pub(super) fn start(program: &Path, folder: &Path) -> Result<Self> {
        let mut members = Vec::new();
        for number in 0..MEMBERS {
            let (address, folder) = (subject::free_address()?, folder.join(number.to_string()));
            let service = mongod::start_member(program, &folder, NAME, address)?;
            members.push(Member {
                address,
                folder,
                service: Some(service),
            });
        }
        let addresses: Vec<SocketAddr> = members.iter().map(|member| member.address).collect();
        let first = *addresses.first().context("a set without members")?;
        let answer = ask(first, &initiation(&addresses))?;
        if !contains(&answer, OK) {
            let answer = String::from_utf8_lossy(&answer).into_owned();
            bail!("the replica set can't be formed: {answer}");
        }
        let hosts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let set = Self {
            uri: format!("mongodb://{}/?replicaSet={NAME}", hosts.join(",")),
            program: program.to_path_buf(),
            members,
        };
        set.await_primary()?;
        Ok(set)
    }

    /// Waits until a member that runs is the primary.
    ///
    /// # Errors
    /// Fails when none is in time.
    pub(crate) fn await_primary(&self) -> Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < ELECTION_LIMIT {
            if self.primary().is_some() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("no primary within {} s", ELECTION_LIMIT.as_secs())
    }

    /// Ends the primary at once, as SIGKILL does; tells whether there was one.
    ///
    /// # Errors
    /// Fails when it had ended by itself.
    pub(crate) fn kill_primary(&mut self) -> Result<bool> {
        let Some(number) = self.primary() else {
            return Ok(false);
        };
        let service = self
            .members
            .get_mut(number)
            .and_then(|member| member.service.take());
        service.map_or(Ok(false), |service| service.kill().map(|()| true))
    }

    /// Tells the primary to step down, so that another is elected; tells whether it did.
    pub(crate) fn step_down(&self) -> bool {
        let command = document(&[
            ("replSetStepDown", int(5)),
            ("secondaryCatchUpPeriodSecs", int(1)),
            ("force", Value(0x08, vec![1])),
            ("$db", text("admin")),
        ]);
        let primary = self.primary().and_then(|number| self.members.get(number));
        primary.is_some_and(|member| ask(member.address, &command).is_ok_and(|answer| contains(&answer, OK)))
    }

    /// Starts the members that were killed.
    ///
    /// # Errors
    /// Fails when one doesn't start.
    pub(crate) fn restart_killed(&mut self) -> Result<()> {
        for member in self.members.iter_mut().filter(|member| member.service.is_none()) {
            let service = mongod::start_member(&self.program, &member.folder, NAME, member.address)?;
            member.service = Some(service);
        }
        Ok(())
    }

    /// The number of the member that is the primary now.
    fn primary(&self) -> Option<usize> {
        let question = document(&[("hello", int(1)), ("$db", text("admin"))]);
        let is_primary = |member: &Member| {
            let answer = member.service.as_ref().map(|_| ask(member.address, &question));
            answer.is_some_and(|answer| {
                answer.is_ok_and(|answer| contains(&answer, b"\x08isWritablePrimary\0\x01"))
            })
        };
        self.members.iter().position(is_primary)
    }
}

/// The command that forms the set. Members notice the loss of a primary in about a second, not ten.
fn initiation(addresses: &[SocketAddr]) -> Vec<u8> {
    let members: Vec<(String, Value)> = (0_i32..)
        .zip(addresses)
        .map(|(number, address)| {
            let member = document(&[("_id", int(number)), ("host", text(&address.to_string()))]);
            (number.to_string(), Value(0x03, member))
        })
        .collect();
    let members: Vec<(&str, Value)> = members
        .iter()
        .map(|(number, member)| (number.as_str(), member.clone()))
        .collect();
    let settings = document(&[
        ("electionTimeoutMillis", int(1000)),
        ("heartbeatIntervalMillis", int(200)),
    ]);
    let set = document(&[
        ("_id", text(NAME)),
        ("members", Value(0x04, document(&members))),
        ("settings", Value(0x03, settings)),
    ]);
    document(&[("replSetInitiate", Value(0x03, set)), ("$db", text("admin"))])
}

/// A value in BSON: the number of its type, and its bytes.
#[derive(Clone)]
struct Value(u8, Vec<u8>);

fn int(number: i32) -> Value {
    Value(0x10, number.to_le_bytes().to_vec())
}

fn text(words: &str) -> Value {
    let mut bytes = length(words.len() + 1);
    bytes.extend_from_slice(words.as_bytes());
    bytes.push(0);
    Value(0x02, bytes)
}

/// A document in BSON (bsonspec.org).
fn document(fields: &[(&str, Value)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, Value(kind, bytes)) in fields {
        body.push(*kind);
        body.extend_from_slice(name.as_bytes());
        body.push(0);
        body.extend_from_slice(bytes);
    }
    body.push(0);
    [length(body.len() + 4), body].concat()
}

fn length(bytes: usize) -> Vec<u8> {
    // Everything here is a few hundred bytes long.
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes().to_vec()
}

/// Sends a command as a message of kind `OP_MSG` and returns the bytes of the answer.
fn ask(address: SocketAddr, command: &[u8]) -> Result<Vec<u8>> {
    const OP_MSG: u32 = 2013;
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    let mut message = length(16 + 4 + 1 + command.len());
    for word in [1, 0, OP_MSG, 0] {
        message.extend_from_slice(&word.to_le_bytes());
    }
    message.push(0);
    message.extend_from_slice(command);
    stream.write_all(&message)?;
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let size = usize::try_from(u32::from_le_bytes(size))?.saturating_sub(4);
    if size > MAX_ANSWER_BYTES {
        bail!("{address} answers {size} bytes");
    }
    let mut answer = vec![0; size];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
