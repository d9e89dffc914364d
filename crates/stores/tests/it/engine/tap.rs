//! A place between a store and its database where every command that passes is counted.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

use ::mongodb::bson::doc;
use model::{Secret, Store};
use parking_lot::Mutex;
use stores::MongoStore;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
};

use super::Mongo;

/// What is a step of the store's, and not of the driver's own.
const COUNTED: [&str; 7] = [
    "aggregate",
    "delete",
    "find",
    "findAndModify",
    "getMore",
    "insert",
    "update",
];

/// How often each command was sent.
type Counts = Arc<Mutex<BTreeMap<String, u64>>>;

/// A store whose way to its database leads through here. Its commands are counted as they are on the wire, and nobody
/// else's.
pub(crate) struct Tapped {
    pub(crate) store: Arc<dyn Store>,
    counts: Counts,
    _passing: JoinSet<()>,
}

impl Tapped {
    pub(crate) async fn open(place: &Mongo) -> Self {
        let (counts, behind) = (Counts::default(), server(place).await);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut passing = JoinSet::new();
        passing.spawn(pass_all(listener, behind, Arc::clone(&counts)));
        let mut options = place.options().clone();
        options.uri = Secret::new(format!("mongodb://{address}/?directConnection=true"));
        let store = Arc::new(MongoStore::open(&options).await.unwrap());
        Self {
            store,
            counts,
            _passing: passing,
        }
    }

    /// What was sent since this was asked before.
    pub(crate) fn take(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.counts.lock())
    }
}

/// The server that takes writes.
async fn server(place: &Mongo) -> String {
    let hello = place.raw().await.run_command(doc! { "hello": 1 }).await.unwrap();
    if let Ok(primary) = hello.get_str("primary") {
        return primary.to_owned();
    }
    let uri = place.options().uri.expose().to_owned();
    let hosts = uri.trim_start_matches("mongodb://").split(['/', '?']).next();
    let hosts = hosts.unwrap().rsplit('@').next().unwrap().to_owned();
    hosts.split(',').next().unwrap().to_owned()
}

async fn pass_all(listener: TcpListener, behind: String, counts: Counts) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(&behind).await else {
            continue;
        };
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
        }
        let (from_client, mut to_client) = client.into_split();
        let (mut from_server, to_server) = server.into_split();
        connections.spawn(count(from_client, to_server, Arc::clone(&counts)));
        connections.spawn(async move { drop(copy(&mut from_server, &mut to_client).await) });
    }
}

/// Passes messages on, and counts them by the first field of their body, which names the command.
async fn count(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, counts: Counts) {
    const HEAD: usize = 16;
    const OP_MSG: i32 = 2013;
    while let Ok(length) = from.read_i32_le().await {
        let mut message = vec![0; usize::try_from(length).unwrap()];
        message[..4].copy_from_slice(&length.to_le_bytes());
        if from.read_exact(&mut message[4..]).await.is_err() {
            return;
        }
        let kind = i32::from_le_bytes(message[12..HEAD].try_into().unwrap());
        if kind == OP_MSG {
            // Flags, the kind of the section, the length of its document, and the type of its first field.
            let name = message[HEAD + 4 + 1 + 4 + 1..].split(|byte| *byte == 0).next();
            let name = String::from_utf8_lossy(name.unwrap()).into_owned();
            if COUNTED.contains(&name.as_str()) {
                *counts.lock().entry(name).or_default() += 1;
            }
        }
        if to.write_all(&message).await.is_err() {
            return;
        }
    }
}
