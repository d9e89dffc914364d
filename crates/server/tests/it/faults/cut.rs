//! A proxy before a database, which can fall silent as a cut network does: nothing is refused, and nothing passes.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};
use url::Url;

pub(super) struct Cut {
    address: SocketAddr,
    is_open: Arc<watch::Sender<bool>>,
    _serving: JoinSet<()>,
}

impl Cut {
    /// Listens on a port of its own, and leads to the database of an address.
    pub(super) async fn before(uri: &str) -> Self {
        let uri = Url::parse(uri).unwrap();
        let behind = (uri.host_str().unwrap().to_owned(), uri.port().unwrap_or(27_017));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_open = Arc::new(watch::Sender::new(true));
        let mut serving = JoinSet::new();
        let gate = Arc::clone(&is_open);
        serving.spawn(async move {
            let mut links = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                if let Ok(server) = TcpStream::connect(&behind).await {
                    let (client_reads, client_writes) = client.into_split();
                    let (server_reads, server_writes) = server.into_split();
                    links.spawn(pass(client_reads, server_writes, gate.subscribe()));
                    links.spawn(pass(server_reads, client_writes, gate.subscribe()));
                }
                while links.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            is_open,
            _serving: serving,
        }
    }

    /// Where the database is found through it.
    pub(super) fn uri(&self) -> String {
        format!("mongodb://{}/?directConnection=true", self.address)
    }

    /// Lets nothing pass any more, in either direction.
    pub(super) fn silence(&self) {
        self.is_open.send_replace(false);
    }

    /// Lets pass what has waited, and all that follows.
    pub(super) fn heal(&self) {
        self.is_open.send_replace(true);
    }
}

/// Carries what comes, as long as the way is open, and waits with it otherwise.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut is_open: watch::Receiver<bool>) {
    let mut piece = vec![0; 16 * 1024];
    while let Ok(count) = from.read(&mut piece).await
        && count > 0
        && is_open.wait_for(|is_open| *is_open).await.is_ok()
        && to.write_all(&piece[..count]).await.is_ok()
    {}
}
