//! The one place that builds clients for requests to other servers.

use std::time::Duration;

use model::{Error, ErrorCode, Result};
use tokio::sync::OnceCell;

const USER_AGENT: &str = concat!("mcp-server/", env!("CARGO_PKG_VERSION"));

/// How many idle connections to one host are kept, and for how long.
const IDLE_CONNECTIONS: usize = 16;
const IDLE_CONNECTION_LIFETIME: Duration = Duration::from_secs(60);

/// How long a client waits for the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands, name resolution and TLS included.
    pub connect: Duration,
    /// Between two arrivals of anything: the head of an answer or the next piece of it.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(60),
        }
    }
}

/// A client that is built when it is first used: reading the system's trusted certificates takes time and
/// memory, which a server that never calls out should not spend.
#[derive(Debug)]
pub struct Client {
    timeouts: Timeouts,
    built: OnceCell<reqwest::Client>,
}

/// Makes a client: it follows no redirects, takes no proxy from the environment, keeps no cookies, and
/// tells its name and version.
#[must_use]
pub fn client(timeouts: Timeouts) -> Client {
    Client {
        timeouts,
        built: OnceCell::new(),
    }
}

impl Client {
    /// The client itself, built by the first caller off the asynchronous threads.
    ///
    /// # Errors
    /// `PluginFailed` when the system has no certificates to trust.
    pub(crate) async fn get(&self) -> Result<&reqwest::Client> {
        self.built.get_or_try_init(|| build(self.timeouts)).await
    }
}

async fn build(timeouts: Timeouts) -> Result<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .connect_timeout(timeouts.connect)
        .read_timeout(timeouts.idle)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(IDLE_CONNECTION_LIFETIME);
    let built = tokio::task::spawn_blocking(|| builder.build()).await;
    built.map_err(Error::bug)?.map_err(|cause| {
        let message = "no encrypted connections can be made: install the system's certificates \
                       (the package ca-certificates)";
        Error::new(ErrorCode::PluginFailed, message).source(cause)
    })
}
