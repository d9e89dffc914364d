//! Several processes of the server on one database and one Redis, and the requests that they get.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::bench::contenders::SETTINGS;
use crate::bench::load::{self, Drive, Load};
use crate::bench::scale::mongo::Mongo;
use crate::request::Request;
use crate::subject::{Setup, Subject, random_secret};

/// The body of every measured call.
const CALL: &str = r#"{"plugin":"sample","action":"echo","payload":{"message":"hello"}}"#;

const PASSWORD: &str = "correct horse battery staple";

/// How many tasks each process does at once.
pub(super) const TASKS_AT_ONCE: u32 = 100;

/// Where the parts are that all processes share.
pub(super) struct Shared {
    pub(super) mongodb_uri: String,
    pub(super) redis_url: String,
}

/// The processes, with one account and one key.
pub(super) struct Crowd {
    pub(super) servers: Vec<Subject>,
    /// The database that is theirs alone.
    pub(super) database: String,
    folder: PathBuf,
    bearer: String,
    key: String,
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    CallByToken,
    CallByKey,
    History,
}

impl Ask {
    pub(super) const ALL: [Self; 3] = [Self::CallByToken, Self::CallByKey, Self::History];

    /// How it is called in the report.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::CallByToken => "`POST /mcp/execute`, token",
            Self::CallByKey => "`POST /mcp/execute`, API key",
            Self::History => "`GET /mcp/history?limit=20`",
        }
    }
}

/// What all load generators together gave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Driven {
    pub(super) requests: f64,
    pub(super) per_second: f64,
    /// Of the process where it is longest: a client may hang on any.
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

impl Crowd {
    /// Starts so many processes on a database of their own and makes the account and the key.
    ///
    /// # Errors
    /// Fails when one doesn't start.
    pub(super) fn start(binary: &Path, folder: &Path, shared: &Shared, processes: u32) -> Result<Self> {
        let secret = random_secret()?;
        let database = format!("bench_{}", secret.get(..16).unwrap_or_default());
        let (refresh, admin_key) = (random_secret()?, random_secret()?);
        let at_once = TASKS_AT_ONCE.to_string();
        let mut settings = SETTINGS.to_vec();
        settings.extend([
            ("MONGODB_URI", shared.mongodb_uri.as_str()),
            ("DB_NAME", &database),
            ("REDIS_URL", &shared.redis_url),
            ("JWT_SECRET", &secret),
            ("REFRESH_TOKEN_SECRET", &refresh),
            ("ADMIN_API_KEY", &admin_key),
            ("WORKER_CONCURRENCY", &at_once),
        ]);
        let mut servers = Vec::new();
        for number in 0..processes {
            let folder = folder.join(number.to_string());
            fs::create_dir_all(&folder)?;
            servers.push(Subject::start(&Setup {
                binary,
                folder: &folder,
                settings: &settings,
            })?);
        }
        let address = servers.first().context("no process")?.address();
        let account = json!({"email": "bench@bench.example", "username": "bench", "password": PASSWORD});
        let registered = Request::post("/api/v1/auth/register", &account).send(address)?;
        let token = registered.text("/data/token").context("can't register")?;
        let bearer = format!("Bearer {token}");
        let made = Request::post("/api/v1/auth/api-key/generate", &json!({"name": "bench"}))
            .header("Authorization", &bearer)
            .send(address)?;
        let key = made.text("/data/key").context("can't make a key")?;
        Ok(Self {
            servers,
            database,
            folder: folder.to_path_buf(),
            bearer,
            key,
        })
    }

    /// The value of the header `Authorization` by which the account calls.
    pub(super) fn bearer(&self) -> &str {
        &self.bearer
    }

    /// Drives all processes at the same time, each with a load generator of its own and so many connections.
    ///
    /// # Errors
    /// Fails when any answer wasn't 2xx.
    pub(super) fn drive(&self, ask: Ask, connections: u32, seconds: u32) -> Result<Driven> {
        let drives: Vec<Result<Drive>> = thread::scope(|scope| {
            let drive = |(number, server): (usize, &Subject)| {
                let load = self.load(ask, server, connections);
                let folder = self.folder.join(number.to_string());
                scope.spawn(move || load::drive(&load, seconds, &folder))
            };
            let running: Vec<_> = self.servers.iter().enumerate().map(drive).collect();
            let ended = running.into_iter().map(thread::ScopedJoinHandle::join);
            ended
                .map(|drive| drive.unwrap_or_else(|_| anyhow::bail!("a load generator failed")))
                .collect()
        });
        let drives = drives.into_iter().collect::<Result<Vec<Drive>>>()?;
        let longest = |of: fn(&Drive) -> Duration| drives.iter().map(of).max().unwrap_or_default();
        Ok(Driven {
            requests: drives.iter().map(|drive| drive.requests).sum(),
            per_second: drives.iter().map(Drive::per_second).sum(),
            p50: longest(|drive| drive.p50),
            p99: longest(|drive| drive.p99),
        })
    }

    fn load(&self, ask: Ask, server: &Subject, connections: u32) -> Load {
        let base = format!("http://{}", server.address());
        let bearer = ("Authorization", self.bearer.clone());
        let json = ("Content-Type", "application/json".to_owned());
        let call = |credential| Load {
            url: format!("{base}/mcp/execute"),
            method: "POST",
            headers: vec![credential, json],
            body: Some(CALL.to_owned()),
            connections,
        };
        match ask {
            Ask::CallByToken => call(bearer),
            Ask::CallByKey => call(("X-API-Key", self.key.clone())),
            Ask::History => Load {
                url: format!("{base}/mcp/history?limit=20"),
                method: "GET",
                headers: vec![bearer],
                body: None,
                connections,
            },
        }
    }

    /// Stops all processes, each of which must end well, and removes the database.
    ///
    /// # Errors
    /// Fails when one doesn't.
    pub(super) fn stop(self, mongo: &mut Mongo) -> Result<()> {
        for server in self.servers {
            server.stop()?;
        }
        mongo.drop_database(&self.database)
    }
}
