//! `cargo xtask services`: a MongoDB and a Redis server of our own, to test against.

mod launch;
mod mongod;
mod replica_set;
mod redis;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use nix::sys::signal::{SigSet, Signal};

use crate::process::Running;
use crate::services::launch::Service;
use crate::{say, tree};
pub(crate) use redis::Redis;
pub(crate) use replica_set::ReplicaSet;

/// Which servers there are already, and which are to be started.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// A MongoDB that runs already, to use instead of starting one
    #[arg(long, env = "MONGODB_URI", hide_env_values = true)]
    mongodb_uri: Option<String>,
    /// Start MongoDB as a replica set of three members
    #[arg(long)]
    replica_set: bool,
    /// A Redis server that runs already, to use instead of starting one
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    redis_url: Option<String>,
}

impl Wanted {
    /// Servers that are started here whatever runs already.
    pub(crate) fn anew(replica_set: bool) -> Self {
        Self {
            replica_set,
            ..Self::default()
        }
    }
}

/// What the services command is told.
#[derive(clap::Args, Debug)]
pub(crate) struct Settings {
    #[command(flatten)]
    wanted: Wanted,
    /// What to run beside the services, with `MONGODB_URI` and `REDIS_URL` set; without it they run until Ctrl-C
    #[arg(last = true)]
    command: Vec<OsString>,
}

/// How long a command may run beside the services.
const COMMAND_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// Servers that run, with what tests are told of them. Those that were started here end with it.
pub(crate) struct Services {
    /// Environment variables for tests: where the servers are, and what starts another one.
    pub(crate) variables: Vec<(&'static str, OsString)>,
    started: Vec<Service>,
    set: Option<ReplicaSet>,
    folder: PathBuf,
}

impl Services {
    /// Gets and starts what isn't there.
    ///
    /// # Errors
    /// Fails when one of them can't be had; none is left running then.
    pub(crate) fn start(wanted: &Wanted) -> Result<Self> {
        let mut services = Self {
            variables: Vec::new(),
            started: Vec::new(),
            set: None,
            folder: tree::scratch("services")?,
        };
        services.mongodb(wanted)?;
        services.redis(wanted.redis_url.as_deref())?;
        Ok(services)
    }

    fn mongodb(&mut self, wanted: &Wanted) -> Result<()> {
        let program = mongod::program()?;
        let folder = self.folder.join("mongod");
        let uri = match &wanted.mongodb_uri {
            Some(uri) => uri.clone(),
            None if wanted.replica_set => {
                let set = ReplicaSet::start(&program, &folder)?;
                self.set.insert(set).uri.clone()
            }
            None => self.started(mongod::start(&program, &folder)?),
        };
        self.variables.push(("MONGODB_URI", uri.into()));
        self.variables.push(("MONGOD", program.into()));
        Ok(())
    }

    fn redis(&mut self, running: Option<&str>) -> Result<()> {
        let program = redis::program()?;
        let url = match running {
            Some(url) => url.to_owned(),
            None => self.started(redis::start(&program, &self.folder.join("redis"))?),
        };
        self.variables.push(("REDIS_URL", url.into()));
        self.variables.push(("REDIS_SERVER", program.into()));
        Ok(())
    }

    /// Keeps a server and returns where it is.
    fn started(&mut self, service: Service) -> String {
        let uri = service.uri.clone();
        self.started.push(service);
        uri
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.started.clear();
        self.set = None;
        // Only test data, in the folder of build products.
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// Gets the programs of MongoDB and Redis.
///
/// # Errors
/// Fails when one can't be had.
pub(crate) fn get() -> Result<()> {
    mongod::program()?;
    redis::program()?;
    Ok(())
}

/// Starts the services, runs the command beside them or waits to be told to end, and ends them.
///
/// # Errors
/// Fails when a service can't be had, or the command fails.
pub(crate) fn run(settings: &Settings) -> Result<()> {
    let services = Services::start(&settings.wanted)?;
    for (name, value) in &services.variables {
        say::line(format!("{name}={}", value.display()));
    }
    let Some((program, arguments)) = settings.command.split_first() else {
        return wait_for_end();
    };
    let mut command = Command::new(program);
    command.args(arguments).envs(services.variables.iter().cloned());
    let status = Running::start(&mut command)?.wait(COMMAND_LIMIT)?;
    if !status.success() {
        bail!("{}: {status}", program.display());
    }
    Ok(())
}

/// Waits for Ctrl-C or SIGTERM.
///
/// The signals are held back only now: a server that inherited that could not be told to end.
fn wait_for_end() -> Result<()> {
    let ends: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
    ends.thread_block()?;
    say::line("running until Ctrl-C");
    ends.wait()?;
    Ok(())
}
