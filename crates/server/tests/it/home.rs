//! What a server of the tests stands on: a directory, and as the environment asks for it a database and keys of its own.
//!
//! `TEST_STORE=mongodb` takes the MongoDB of `MONGODB_URI` in place of the embedded store, `TEST_BACKPLANE=redis` the
//! Redis of `REDIS_URL`. Nothing else of the environment reaches a server.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use tempfile::TempDir;
use url::Url;
use uuid::Uuid;

/// How long Redis may take to forget the keys of a test.
const PATIENCE: Duration = Duration::from_secs(10);

/// Deletes every key that holds a name, some at a time.
const FORGET: &str = "local at = '0' repeat \
    local found = redis.call('SCAN', at, 'MATCH', ARGV[1], 'COUNT', 1000) at = found[1] \
    for _, key in ipairs(found[2]) do redis.call('UNLINK', key) end until at == '0'";

/// A place for the data of servers, which goes with it.
pub(crate) struct Home {
    dir: TempDir,
    /// Of the database, and part of each key on Redis: no other test has it.
    name: String,
    mongodb: Option<String>,
    redis: Option<String>,
}

impl Home {
    /// A place of the kind that the environment chooses.
    pub(crate) fn new() -> Self {
        let mongodb = is_chosen("TEST_STORE", ["sqlite", "mongodb"]).then(|| required("MONGODB_URI"));
        let redis = is_chosen("TEST_BACKPLANE", ["local", "redis"]).then(|| required("REDIS_URL"));
        Self::on(mongodb, redis)
    }

    /// A place for the embedded store, whatever is chosen: for tests of its files and of their lock.
    pub(crate) fn embedded() -> Self {
        Self::on(None, None)
    }

    /// A place that several servers share, on MongoDB and Redis whatever is chosen; `None`, and a word about it, where
    /// these aren't there.
    pub(crate) fn shared() -> Option<Self> {
        match (variable("MONGODB_URI"), variable("REDIS_URL")) {
            (Some(mongodb), Some(redis)) => Some(Self::on(Some(mongodb), Some(redis))),
            _ => {
                require_not_in_ci("MONGODB_URI and REDIS_URL");
                None
            }
        }
    }

    /// A place on servers of the test's own.
    pub(crate) fn on(mongodb: Option<String>, redis: Option<String>) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "nothing but the name of a database comes of it"
        )]
        let name = format!("test_{}", Uuid::new_v4().simple());
        Self {
            dir: TempDir::new().unwrap(),
            name,
            mongodb,
            redis,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The name of the database.
    pub(crate) fn database(&self) -> &str {
        &self.name
    }

    /// What a server is told, beside its data directory, so that it stands here.
    pub(crate) fn variables(&self) -> Vec<(&'static str, &str)> {
        let addresses = [("MONGODB_URI", &self.mongodb), ("REDIS_URL", &self.redis)];
        let mut variables: Vec<_> = addresses
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)))
            .collect();
        if !variables.is_empty() {
            variables.push(("DB_NAME", self.name.as_str()));
        }
        variables
    }

    /// The database as the driver sees it.
    pub(crate) async fn raw(&self) -> mongodb::Database {
        let uri = self.mongodb.as_ref().expect("a place on MongoDB");
        let client = mongodb::Client::with_uri_str(uri).await.unwrap();
        client.database(&self.name)
    }

    fn drop_database(&self) {
        // The test's own runtime can't be waited for where this is called.
        std::thread::scope(|scope| {
            let dropping = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async { self.raw().await.drop().await })
            });
            // What can't be dropped hinders nobody: the name is random.
            drop(dropping.join());
        });
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.mongodb.is_some() {
            self.drop_database();
        }
        if let Some(url) = &self.redis {
            // What stays there expires.
            drop(forget(url, &self.name));
        }
    }
}

/// Deletes the keys of a test, in the wire protocol of Redis.
fn forget(url: &str, name: &str) -> std::io::Result<()> {
    let url = Url::parse(url).map_err(std::io::Error::other)?;
    let mut stream = TcpStream::connect((url.host_str().unwrap_or_default(), url.port().unwrap_or(6379)))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let database = url.path().trim_start_matches('/');
    let pattern = format!("*{name}*");
    let mut commands = vec![vec!["EVAL", FORGET, "0", &pattern], vec!["QUIT"]];
    if !database.is_empty() {
        commands.insert(0, vec!["SELECT", database]);
    }
    if let Some(password) = url.password() {
        commands.insert(0, vec!["AUTH", password]);
    }
    for command in commands {
        write!(stream, "*{}\r\n", command.len())?;
        for word in command {
            write!(stream, "${}\r\n{word}\r\n", word.len())?;
        }
    }
    stream.read_to_end(&mut Vec::new()).map(drop)
}

/// Tells whether the second of two names is chosen; the first is, where nothing is said.
fn is_chosen(variable_name: &str, [usual, other]: [&str; 2]) -> bool {
    match variable(variable_name) {
        None => false,
        Some(value) if value == usual => false,
        Some(value) if value == other => true,
        Some(value) => panic!("{variable_name} is {value:?}, and can be {usual} or {other}"),
    }
}

fn required(name: &str) -> String {
    variable(name).unwrap_or_else(|| panic!("{name} is not set (`cargo xtask services` prints one)"))
}

/// What the environment says of a server or of a program that starts one; `None`, and a word about it, where it says
/// nothing.
pub(crate) fn program(name: &str) -> Option<String> {
    let found = variable(name);
    if found.is_none() {
        require_not_in_ci(name);
    }
    found
}

fn require_not_in_ci(names: &str) {
    let is_ci = variable("CI").is_some_and(|value| value != "0" && value != "false");
    assert!(!is_ci, "not set, and here no test may be left out: {names}");
    eprintln!("SKIPPED: {names} not set (`cargo xtask services` starts both and prints them)");
}

#[expect(
    clippy::disallowed_methods,
    reason = "where databases are, nobody else tells these tests"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
