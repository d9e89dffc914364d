//! Processes that serve the same sessions, without what serves them.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use backplane::{RedisBackplane, RedisOptions};
use bytes::Bytes;
use model::{Bus, Entropy as _, SharedMemory};
use protocol::{Batch, LocalSessions, SessionKey, Sessions, Standing, StreamKey, Weight};
use server::{
    mcp::{Shared, SharedSessions},
    system::{SystemClock, SystemEntropy},
};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::shop::Shop;
use crate::{
    fixture::PATIENCE,
    home::{Home, program},
};

/// Which sessions are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of one process.
    Local,
    /// Of one of many processes, which gets all the requests.
    Alone,
    /// Of two processes that hear each other.
    Two,
    /// Of two processes that can't hear each other.
    Deaf,
    /// Of two processes on a real Redis.
    Redis,
}

/// Two places where sessions are served; the same, where there is one process.
pub(crate) struct Processes {
    pub(crate) a: Arc<dyn Sessions>,
    pub(crate) b: Arc<dyn Sessions>,
    pub(crate) shop: Arc<Shop>,
    stop: CancellationToken,
    attending: Vec<JoinHandle<()>>,
    backplanes: Vec<Arc<RedisBackplane>>,
    _home: Option<Home>,
}

pub(crate) fn random() -> u128 {
    let mut bytes = [0; 16];
    SystemEntropy.fill(&mut bytes);
    u128::from_be_bytes(bytes)
}

/// A session that no other test has.
pub(crate) fn session() -> SessionKey {
    SessionKey::new(random())
}

impl Processes {
    /// Starts them; `None` when what they need isn't there.
    pub(crate) async fn start(kind: Kind) -> Option<Self> {
        let mut processes = Self::on(Shop::open());
        match kind {
            Kind::Local => {
                let sessions: Arc<dyn Sessions> = Arc::new(LocalSessions::new(|| 1_000_000));
                processes.a = Arc::clone(&sessions);
                processes.b = sessions;
            }
            Kind::Alone => {
                processes.a = processes.enter();
                processes.b = Arc::clone(&processes.a);
            }
            Kind::Two | Kind::Deaf => {
                processes.shop.is_mute.store(kind == Kind::Deaf, Ordering::SeqCst);
                processes.a = processes.enter();
                processes.b = processes.enter();
            }
            Kind::Redis => {
                let url = program("REDIS_URL")?;
                let home = Home::on(None, Some(url.clone()));
                processes.a = processes.enter_redis(&home, &url).await;
                processes.b = processes.enter_redis(&home, &url).await;
                processes._home = Some(home);
            }
        }
        Some(processes)
    }

    fn on(shop: Arc<Shop>) -> Self {
        let nobody: Arc<dyn Sessions> = Arc::new(LocalSessions::new(|| 0));
        Self {
            a: Arc::clone(&nobody),
            b: nobody,
            shop,
            stop: CancellationToken::new(),
            attending: Vec::new(),
            backplanes: Vec::new(),
            _home: None,
        }
    }

    /// One more process.
    pub(crate) fn enter(&mut self) -> Arc<dyn Sessions> {
        let shared = self.shop.enter();
        let stop = self.stop.clone();
        self.attend(shared, stop)
    }

    /// One more process, which ends when it is told to.
    pub(crate) fn enter_until(&mut self, stop: &CancellationToken) -> Arc<dyn Sessions> {
        let shared = self.shop.enter();
        self.attend(shared, stop.clone())
    }

    async fn enter_redis(&mut self, home: &Home, url: &str) -> Arc<dyn Sessions> {
        let options = RedisOptions {
            key_prefix: format!("{}:", home.database()),
            ..RedisOptions::new(url)
        };
        let redis = Arc::new(RedisBackplane::open(&options, Arc::new(SystemClock)).unwrap());
        assert!(redis.until_connected(PATIENCE).await, "no Redis");
        self.backplanes.push(Arc::clone(&redis));
        let stop = self.stop.clone();
        self.attend((Arc::<RedisBackplane>::clone(&redis), redis), stop)
    }

    #[expect(clippy::disallowed_methods, reason = "the fixture waits for it when it stops")]
    fn attend(
        &mut self,
        shared: (Arc<dyn SharedMemory>, Arc<dyn Bus>),
        stop: CancellationToken,
    ) -> Arc<dyn Sessions> {
        let sessions = SharedSessions::new(Shared::from(shared), Arc::new(|| 1_000_000), Arc::new(random));
        let sessions = Arc::new(sessions);
        let attending = Arc::clone(&sessions).attend(stop.clone(), stop);
        self.attending.push(tokio::spawn(attending));
        sessions
    }

    /// Ends them in order.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        drop((self.a, self.b));
        for attending in self.attending {
            timeout(PATIENCE, attending).await.expect("it goes on").unwrap();
        }
        for backplane in self.backplanes {
            backplane.close().await;
        }
    }
}

/// Waits for something that must come.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it never came")
}

/// Asks until a session stands as it should.
pub(crate) async fn until(
    sessions: &Arc<dyn Sessions>,
    session: SessionKey,
    is_right: impl Fn(Standing) -> bool + Send + Sync,
) {
    soon(async {
        while !is_right(sessions.standing(session).await) {
            pause().await;
        }
    })
    .await;
}

/// A moment in which others go on.
pub(crate) async fn pause() {
    drop(timeout(Duration::from_millis(20), std::future::pending::<()>()).await);
}

pub(crate) async fn say(sessions: &Arc<dyn Sessions>, stream: StreamKey, weight: Weight, event: &str) {
    let event = Bytes::copy_from_slice(event.as_bytes());
    sessions.append(stream, weight, event).await.unwrap();
}

/// Reads a stream on to its end: the events with their numbers.
pub(crate) async fn read_to_end(
    sessions: &Arc<dyn Sessions>,
    stream: StreamKey,
    reader: u64,
    mut after: u64,
) -> Vec<(u64, String)> {
    let mut all = Vec::new();
    loop {
        let Batch { events, is_last } = soon(sessions.read(stream, reader, after))
            .await
            .expect("it was cut");
        for (number, event) in events {
            after = number;
            all.push((number, String::from_utf8(event.to_vec()).unwrap()));
        }
        if is_last {
            return all;
        }
    }
}
