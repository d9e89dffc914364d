//! The server within the test's own process: real socket, real store, a directory that goes with it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use engine::{Engine, Pace};
use futures_util::future::join_all;
use server::{
    config::{Config, source::Sources},
    edge, mcp,
    metrics::Metrics,
    rest,
    state::AppState,
    wire::{self, Extras},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::home::Home;

/// The operator's key of every server here.
pub(crate) const ADMIN_API_KEY: &str = "operator-key-of-the-tests-0123456789";

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A server that is running.
pub(crate) struct Server {
    address: SocketAddr,
    state: AppState,
    stopping: CancellationToken,
    serving: JoinHandle<()>,
    working: JoinHandle<()>,
    _home: Arc<Home>,
}

impl Server {
    /// Starts a server with generous limits.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a server with further variables.
    pub(crate) async fn start_with(variables: &[(&str, &str)]) -> Self {
        Self::start_more(Router::new(), Extras::default(), variables).await
    }

    /// Starts a server with further routes.
    pub(crate) async fn start_routes(routes: Router<AppState>, variables: &[(&str, &str)]) -> Self {
        Self::start_more(routes, Extras::default(), variables).await
    }

    /// Starts a server with further routes and plugins.
    pub(crate) async fn start_more(
        routes: Router<AppState>,
        extras: Extras,
        variables: &[(&str, &str)],
    ) -> Self {
        Self::start_on(&Arc::new(Home::new()), routes, extras, variables).await
    }

    /// Starts a server on what another has left, or, where that is shared, still uses.
    pub(crate) async fn start_in(home: &Arc<Home>, variables: &[(&str, &str)]) -> Self {
        Self::start_on(home, Router::new(), Extras::default(), variables).await
    }

    /// Starts a server with further routes and plugins in a place that is given.
    pub(crate) async fn start_on(
        home: &Arc<Home>,
        routes: Router<AppState>,
        extras: Extras,
        variables: &[(&str, &str)],
    ) -> Self {
        let usual = [
            ("DATA_DIR", home.path().to_str().unwrap()),
            ("BCRYPT_COST", "4"),
            ("ADMIN_API_KEY", ADMIN_API_KEY),
            ("RATE_LIMIT_MAX_REQUESTS", "1000000"),
            ("RATE_LIMIT_USER_MAX_REQUESTS", "1000000"),
        ];
        let sources = Sources::default().with_environment(
            usual
                .into_iter()
                .chain(home.variables())
                .chain(variables.iter().copied()),
        );
        let config = Config::load(&sources).unwrap().config;
        let metrics = Arc::new(Metrics::new());
        let wired = wire::open(&config, Arc::<Metrics>::clone(&metrics), extras.runtimes)
            .await
            .unwrap();
        let stopping = CancellationToken::new();
        let state = AppState::new(&wired, config.edge, metrics, stopping.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let terms = mcp::Terms {
            bare_tools: extras.bare_tools,
            task_retention: config.task_retention,
        };
        let routes = rest::router()
            .merge(mcp::routes(&state, terms).unwrap())
            .merge(routes);
        let serving = edge::serve(listener, routes, state.clone(), config.shutdown_grace);
        let (engine, stop) = (state.engine().clone(), stopping.clone());
        let working = async move {
            let pace = Pace { stop: stop.clone() };
            let duties = engine.duties().into_iter().map(|duty| pace.drive(duty));
            let hearing = engine.listen(stop.clone());
            tokio::join!(
                join_all(duties),
                hearing,
                engine.work(stop, config.shutdown_grace)
            );
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the fixture waits for its server when it stops it"
        )]
        let (serving, working) = (tokio::spawn(serving), tokio::spawn(working));
        Self {
            address,
            state,
            stopping,
            serving,
            working,
            _home: Arc::clone(home),
        }
    }

    /// `http://127.0.0.1:<port>`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its verbs, past the doors.
    pub(crate) fn engine(&self) -> &Engine {
        self.state.engine()
    }

    /// What it has counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        self.state.metrics()
    }

    /// A token that tells it to stop.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Stops it in order, and closes its store.
    pub(crate) async fn stop(self) {
        self.stopping.cancel();
        timeout(PATIENCE, self.serving).await.unwrap().unwrap();
        timeout(PATIENCE, self.working).await.unwrap().unwrap();
        self.state.engine().close().await.unwrap();
        self.state.cache().close().await;
    }

    /// Opens a connection on which anything can be sent.
    pub(crate) async fn connect(&self) -> Wire {
        Wire {
            stream: TcpStream::connect(self.address).await.unwrap(),
            ahead: Vec::new(),
        }
    }

    /// Sends bytes on a connection of their own, and gives what comes back until the server closes it.
    pub(crate) async fn exchange(&self, sent: impl AsRef<[u8]>) -> String {
        let mut wire = self.connect().await;
        wire.send(sent).await;
        wire.read_to_end().await
    }
}

/// A connection without a client library that would hide what is sent.
pub(crate) struct Wire {
    stream: TcpStream,
    /// What has arrived of answers that were not read yet.
    ahead: Vec<u8>,
}

impl Wire {
    /// Sends bytes; a server that has closed already is no failure.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        drop(self.stream.write_all(bytes.as_ref()).await);
    }

    /// Reads until the server closes.
    pub(crate) async fn read_to_end(&mut self) -> String {
        let mut bytes = std::mem::take(&mut self.ahead);
        let read = timeout(PATIENCE, self.stream.read_to_end(&mut bytes)).await;
        // A reset is an end, too.
        drop(read.expect("the server did not close the connection"));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads one answer with a `Content-Length`, or without a body; what follows it is an error.
    pub(crate) async fn read_answer(&mut self) -> String {
        let answer = self.read_pipelined_answer().await;
        assert!(self.ahead.is_empty(), "more than one answer came");
        answer
    }

    /// Reads one answer of several.
    pub(crate) async fn read_pipelined_answer(&mut self) -> String {
        loop {
            if let Some(length) = whole_answer(&self.ahead) {
                let rest = self.ahead.split_off(length);
                return String::from_utf8(std::mem::replace(&mut self.ahead, rest)).unwrap();
            }
            let mut piece = [0; 16 * 1024];
            let count = timeout(PATIENCE, self.stream.read(&mut piece))
                .await
                .expect("no answer came")
                .unwrap_or(0);
            assert_ne!(
                count,
                0,
                "closed without a whole answer: {:?}",
                String::from_utf8_lossy(&self.ahead)
            );
            self.ahead.extend_from_slice(&piece[..count]);
        }
    }

    /// Closes it.
    pub(crate) fn close(self) {
        drop(self);
    }
}

/// How long the first answer in `bytes` is, when it is there as a whole.
fn whole_answer(bytes: &[u8]) -> Option<usize> {
    let head_length = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..head_length]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = head_length + length.map_or(0, |length| length.parse().unwrap());
    (length <= bytes.len()).then_some(length)
}

/// The status of a raw answer.
pub(crate) fn status_of(answer: &str) -> u16 {
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("not an answer: {answer:?}"))
}

/// The value of a header in a raw answer.
pub(crate) fn header_of<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
}

/// The body of a raw answer as JSON.
pub(crate) fn body_of(answer: &str) -> serde_json::Value {
    let body = answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body)
        .unwrap_or_default();
    serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON in {answer:?}"))
}
