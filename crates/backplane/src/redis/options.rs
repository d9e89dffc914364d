//! What a connection to Redis is told.

use std::{fmt, time::Duration};

/// Where the Redis server is, and how long it may take.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://[user[:password]@]host[:port][/database]`, or `rediss://…` for TLS with a certificate that this
    /// machine trusts, or the authority below.
    ///
    /// Behind sentinels `redis-sentinel://[user[:password]@]host[:port][,host[:port]]…[/database]#name`, or
    /// `rediss-sentinel://…`: these are asked which server is the primary of that name, again after each loss of
    /// the connection. User and password are the servers'; the sentinels ask for none.
    pub url: String,
    /// Certificates in PEM that stand for those which this machine trusts; only with TLS.
    pub authority: Option<String>,
    /// Goes before a password in the URL.
    pub password: Option<String>,
    /// What every key begins with, so that several installations can use one database; `mcp:` by default.
    pub key_prefix: String,
    /// How long an answer may take before Redis counts as away; 250 ms by default, a thousand times what it
    /// takes in the same room. Notices and memory may take four times as long.
    pub response_limit: Duration,
    /// How long a connection may take to come about, with TLS and password; 2 s by default.
    pub connect_limit: Duration,
}

impl RedisOptions {
    /// Takes a server's URL, and the defaults for everything else.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            authority: None,
            password: None,
            key_prefix: "mcp:".to_owned(),
            response_limit: Duration::from_millis(250),
            connect_limit: Duration::from_secs(2),
        }
    }
}

impl fmt::Debug for RedisOptions {
    /// Leaves out the URL and the password: either may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("key_prefix", &self.key_prefix)
            .field("response_limit", &self.response_limit)
            .field("connect_limit", &self.connect_limit)
            .finish_non_exhaustive()
    }
}
