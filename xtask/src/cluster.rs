//! Several processes of the server on one MongoDB replica set and one Redis, behind an nginx: each part can be killed.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::nginx::Nginx;
use crate::request::Request;
use crate::services::{Redis, ReplicaSet};
use crate::subject::{Setup, Subject, free_address, random_secret};
use crate::{install, services};

/// The name of the database.
const DATABASE: &str = "cluster";

/// How long a process may take to become ready, with other starts at the same time and a database that comes back.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// What a process may do, in turn: some answer and work, some only answer, some only work.
const ROLES: [&str; 3] = ["api,worker", "api", "worker"];

/// What is started.
pub(crate) struct Plan<'a> {
    /// The program.
    pub(crate) binary: &'a Path,
    /// A folder for all data and logs.
    pub(crate) folder: &'a Path,
    /// How many processes.
    pub(crate) processes: usize,
    /// Lets each process do everything, in place of the roles in turn.
    pub(crate) are_alike: bool,
    /// Environment variables beyond addresses, secrets and roles.
    pub(crate) settings: &'a [(&'a str, &'a str)],
}

/// All parts, which end with it.
pub(crate) struct Cluster {
    /// The database.
    pub(crate) store: ReplicaSet,
    /// The shared memory.
    pub(crate) redis: Redis,
    /// The operator's key.
    pub(crate) admin_key: String,
    binary: PathBuf,
    settings: Vec<(String, String)>,
    members: Vec<Member>,
    proxy: Nginx,
}

/// One process of the server, always at the same address.
struct Member {
    roles: &'static str,
    address: SocketAddr,
    folder: PathBuf,
    subject: Option<Subject>,
    is_ready: bool,
    slowest_start: Duration,
}

/// Gets the programs of all parts but the server.
///
/// # Errors
/// Fails when one can't be had.
pub(crate) fn get() -> Result<()> {
    services::get()?;
    install::nginx().map(drop)
}

impl Cluster {
    /// Starts everything, on new data.
    ///
    /// # Errors
    /// Fails when a part can't be had or doesn't start.
    pub(crate) fn begin(plan: &Plan<'_>) -> Result<Self> {
        let store = ReplicaSet::begin(&plan.folder.join("mongod"))?;
        let redis = Redis::begin(&plan.folder.join("redis"))?;
        let admin_key = random_secret()?;
        let shared = [
            ("MONGODB_URI", store.uri.clone()),
            ("DB_NAME", DATABASE.to_owned()),
            ("REDIS_URL", redis.url()),
            ("JWT_SECRET", random_secret()?),
            ("REFRESH_TOKEN_SECRET", random_secret()?),
            ("ADMIN_API_KEY", admin_key.clone()),
            ("TRUSTED_PROXIES", "127.0.0.1/32".to_owned()),
        ];
        let own = plan
            .settings
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        let settings = shared
            .into_iter()
            .chain(own)
            .map(|(name, value)| (name.to_owned(), value));
        let mut members = Vec::new();
        for (number, roles) in (0..plan.processes).zip(ROLES.iter().cycle()) {
            let folder = plan.folder.join(format!("server-{number}"));
            fs::create_dir_all(&folder)?;
            members.push(Member {
                roles: if plan.are_alike { "api,worker" } else { roles },
                address: free_address()?,
                folder,
                subject: None,
                is_ready: false,
                slowest_start: Duration::ZERO,
            });
        }
        let doors: Vec<SocketAddr> = members
            .iter()
            .filter(|member| member.answers())
            .map(|member| member.address)
            .collect();
        let mut cluster = Self {
            store,
            redis,
            admin_key,
            binary: plan.binary.to_path_buf(),
            settings: settings.collect(),
            members,
            proxy: Nginx::start(&plan.folder.join("nginx"), &doors)?,
        };
        cluster.start_killed()?;
        Ok(cluster)
    }

    /// Where clients find it, whatever has been killed: the proxy.
    pub(crate) fn address(&self) -> SocketAddr {
        self.proxy.address()
    }

    /// How many processes of the server there are, dead or alive.
    pub(crate) fn processes(&self) -> usize {
        self.members.len()
    }

    /// The numbers of the processes that do tasks.
    pub(crate) fn workers(&self) -> Vec<usize> {
        let numbered = self.members.iter().enumerate();
        numbered
            .filter(|(_, member)| member.roles.contains("worker"))
            .map(|(number, _)| number)
            .collect()
    }

    /// The working directory of each process.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.members.iter().map(|member| member.folder.as_path())
    }

    /// The longest time from a launch of a process to its first healthy answer.
    pub(crate) fn slowest_start(&self) -> Duration {
        let times = self.members.iter().map(|member| member.slowest_start);
        times.max().unwrap_or_default()
    }

    /// Ends a process at once, if it lives.
    ///
    /// # Errors
    /// Fails when it had ended by itself, or logged a panic.
    pub(crate) fn kill(&mut self, number: usize) -> Result<()> {
        let member = self.members.get_mut(number).context("no such process")?;
        if let Some(subject) = member.subject.take() {
            require_no_panic(&subject)?;
            subject.kill()?;
        }
        Ok(())
    }

    /// Starts a process that was killed, and doesn't wait for it; does nothing while it lives.
    ///
    /// # Errors
    /// Fails when it can't be started.
    pub(crate) fn launch(&mut self, number: usize) -> Result<()> {
        let member = self.members.get_mut(number).context("no such process")?;
        if member.subject.is_none() {
            member.subject = Some(member.launch(&self.binary, &self.settings)?);
            member.is_ready = false;
        }
        Ok(())
    }

    /// Starts whatever was killed, waits until every process is ready, and until the proxy reaches one.
    ///
    /// # Errors
    /// Fails when a part doesn't come back.
    pub(crate) fn start_killed(&mut self) -> Result<()> {
        self.redis.start()?;
        self.store.restart_killed()?;
        self.store.await_primary()?;
        for number in 0..self.members.len() {
            self.launch(number)?;
        }
        for member in &mut self.members {
            member.await_ready(&self.binary, &self.settings)?;
        }
        self.await_proxy()
    }

    /// Fails when a process that should live has ended by itself.
    pub(crate) fn require_alive(&mut self) -> Result<()> {
        let mut alive = self
            .members
            .iter_mut()
            .filter_map(|member| member.subject.as_mut());
        alive.try_for_each(Subject::require_running)
    }

    /// Stops every process in order, and everything else after them.
    ///
    /// # Errors
    /// Fails when one doesn't end well, or logged a panic.
    pub(crate) fn end(mut self) -> Result<()> {
        for member in &mut self.members {
            if let Some(subject) = member.subject.take() {
                require_no_panic(&subject)?;
                subject.stop()?;
            }
        }
        Ok(())
    }

    /// The last lines of what each process has logged.
    pub(crate) fn tails(&self) -> String {
        let alive = self.members.iter().filter_map(|member| member.subject.as_ref());
        alive.map(Subject::tail).collect::<Vec<_>>().join("\n")
    }

    fn await_proxy(&self) -> Result<()> {
        let begin = Instant::now();
        loop {
            let reply = Request::get("/health").send(self.address());
            match reply {
                Ok(reply) if reply.status == 200 => return Ok(()),
                Ok(_) | Err(_) if begin.elapsed() < READY_LIMIT => thread::sleep(Duration::from_millis(20)),
                Ok(reply) => bail!("behind the proxy: {} {}", reply.status, reply.raw),
                Err(reason) => return Err(reason.context("the proxy doesn't answer")),
            }
        }
    }
}

impl Member {
    /// Tells whether clients are led to it.
    fn answers(&self) -> bool {
        self.roles.contains("api")
    }

    fn launch(&self, binary: &Path, settings: &[(String, String)]) -> Result<Subject> {
        let mut settings: Vec<(&str, &str)> = settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        settings.push(("ROLES", self.roles));
        let setup = Setup {
            binary,
            folder: &self.folder,
            settings: &settings,
        };
        Subject::launch_at(&setup, self.address)
    }

    /// Waits until it is ready. One that ends at its start because its database is away is started again, as whoever
    /// watches over processes would.
    fn await_ready(&mut self, binary: &Path, settings: &[(String, String)]) -> Result<()> {
        let begin = Instant::now();
        while !self.is_ready {
            let subject = self.subject.as_mut().context("a process that was not launched")?;
            let Err(reason) = subject.await_health() else {
                self.slowest_start = self.slowest_start.max(subject.started_in);
                self.is_ready = true;
                break;
            };
            if begin.elapsed() > READY_LIMIT {
                return Err(reason.context("a process doesn't become ready"));
            }
            require_no_panic(subject)?;
            self.subject = None;
            self.subject = Some(self.launch(binary, settings)?);
        }
        Ok(())
    }
}

fn require_no_panic(subject: &Subject) -> Result<()> {
    let logged = subject.logged()?;
    match logged.lines().find(|line| line.contains("panicked")) {
        Some(line) => bail!("a process logged a panic: {line}"),
        None => Ok(()),
    }
}
