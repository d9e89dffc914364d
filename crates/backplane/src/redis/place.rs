//! Where the server is: at one address, or wherever sentinels say.

use model::{Error, Result};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo as _,
    RedisError, RedisResult, TlsCertificates, TlsMode,
    aio::{MultiplexedConnection, PubSub},
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio::sync::Mutex;

use super::options::RedisOptions;

/// How to come to the server.
pub(super) enum Place {
    /// Always at the same address.
    Fixed(Box<Client>),
    /// At the address of the present primary, which sentinels know.
    Watched {
        /// Asks them; needed by one attempt at a time.
        sentinels: Box<Mutex<SentinelClient>>,
        /// How many addresses may have to be tried.
        addresses: u32,
    },
}

impl Place {
    /// The port of a sentinel that names none.
    const SENTINEL_PORT: u16 = 26_379;

    /// Takes a place from its URL, and connects to nothing yet.
    pub(super) fn of(options: &RedisOptions) -> Result<Self> {
        let place = match options.url.split_once("-sentinel://") {
            Some((scheme, rest)) => Self::watched(options, scheme, rest),
            None => Self::fixed(options),
        };
        place.map_err(|reason| Error::invalid("REDIS_URL", reason.to_string()))
    }

    /// Connects to the server as it is now.
    pub(super) async fn connect(
        &self,
        settings: &AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        match self {
            Self::Fixed(client) => {
                client
                    .get_multiplexed_async_connection_with_config(settings)
                    .await
            }
            Self::Watched { sentinels, .. } => {
                let mut sentinels = sentinels.lock().await;
                sentinels.get_async_connection_with_config(settings).await
            }
        }
    }

    /// Connects to the server as it is now, in order to listen.
    pub(super) async fn subscriber(&self) -> RedisResult<PubSub> {
        match self {
            Self::Fixed(client) => client.get_async_pubsub().await,
            Self::Watched { sentinels, .. } => {
                let primary = sentinels.lock().await.async_get_client().await?;
                primary.get_async_pubsub().await
            }
        }
    }

    /// How many connections one attempt may need, one after the other: sentinels may be away as well.
    pub(super) fn steps(&self) -> u32 {
        match self {
            Self::Fixed(_) => 1,
            Self::Watched { addresses, .. } => addresses.saturating_add(2),
        }
    }

    fn fixed(options: &RedisOptions) -> RedisResult<Self> {
        let info = server(options, &options.url)?;
        let client = match authority(options) {
            None => Client::open(info)?,
            Some(trusted) => Client::build_with_tls(info, trusted)?,
        };
        Ok(Self::Fixed(Box::new(client)))
    }

    /// Takes what stands after the scheme apart; each address is then read as that of a server alone.
    fn watched(options: &RedisOptions, scheme: &str, rest: &str) -> RedisResult<Self> {
        let (rest, name) = rest
            .rsplit_once('#')
            .ok_or_else(|| refused("no name of a primary after #"))?;
        let (user, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (addresses, database) = rest.split_once('/').unwrap_or((rest, ""));
        let separator = if user.is_empty() { "" } else { "@" };
        let nodes = addresses.split(',').map(|address| {
            let has_port = address.rsplit(']').next().is_some_and(|end| end.contains(':'));
            let port = if has_port {
                String::new()
            } else {
                format!(":{}", Self::SENTINEL_PORT)
            };
            server(
                options,
                &format!("{scheme}://{user}{separator}{address}{port}/{database}"),
            )
        });
        let nodes: Vec<ConnectionInfo> = nodes.collect::<RedisResult<_>>()?;
        let client = sentinels(options, &nodes, name)?;
        Ok(Self::Watched {
            addresses: u32::try_from(nodes.len()).unwrap_or(u32::MAX),
            sentinels: Box::new(Mutex::new(client)),
        })
    }
}

/// A client that asks the sentinels at the addresses of `nodes`, and uses the other settings for the server.
fn sentinels(options: &RedisOptions, nodes: &[ConnectionInfo], name: &str) -> RedisResult<SentinelClient> {
    let first = nodes.first().ok_or_else(|| refused("no address"))?;
    let addresses = nodes.iter().map(|node| node.addr().clone());
    let mut builder = SentinelClientBuilder::new(addresses, name, SentinelServerType::Master)?;
    let settings = first.redis_settings();
    builder = builder.set_client_to_redis_db(settings.db());
    if let Some(user) = settings.username() {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = settings.password() {
        builder = builder.set_client_to_redis_password(password);
    }
    if is_encrypted(first) {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
    }
    if let Some(trusted) = authority(options) {
        builder = builder
            .set_client_to_redis_certificates(trusted.clone())
            .set_client_to_sentinel_certificates(trusted);
    }
    builder.build()
}

/// A server's address and settings, with the password that goes before the one in the URL.
fn server(options: &RedisOptions, url: &str) -> RedisResult<ConnectionInfo> {
    let info = url.into_connection_info()?;
    let mut settings = info.redis_settings().clone();
    if let Some(password) = &options.password {
        settings = settings.set_password(password);
    }
    if is_encrypted(&info) {
        choose_cryptography();
    }
    Ok(info.set_redis_settings(settings))
}

fn is_encrypted(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

fn authority(options: &RedisOptions) -> Option<TlsCertificates> {
    let certificates = options.authority.clone()?;
    Some(TlsCertificates {
        client_tls: None,
        root_cert: Some(certificates.into_bytes()),
    })
}

fn refused(reason: &'static str) -> RedisError {
    (ErrorKind::InvalidClientConfig, reason).into()
}

/// Lets TLS use what everything else here uses, unless the process has chosen already.
fn choose_cryptography() {
    if CryptoProvider::get_default().is_none() {
        // Fails only when another thread has chosen meanwhile.
        aws_lc_rs::default_provider().install_default().ok();
    }
}
