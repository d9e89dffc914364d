//! Redis: one server, as durable as it is by default elsewhere.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::services::launch::{Plan, Service};
use crate::{install, subject, tree};

/// A program that starts a server without anything else being set: tests start theirs with it.
pub(super) fn program() -> Result<PathBuf> {
    let command = install::redis_server()?;
    let library_path = command.get_envs().find_map(|(name, value)| {
        let value = value.filter(|_| name == "LD_LIBRARY_PATH")?;
        Some(value.to_string_lossy().into_owned())
    });
    let Some(library_path) = library_path else {
        return Ok(PathBuf::from(command.get_program()));
    };
    let program = command.get_program().display();
    let script = format!("#!/bin/sh\nLD_LIBRARY_PATH='{library_path}' exec '{program}' \"$@\"\n");
    let path = tree::target().join("tools/redis-server");
    // Replaced as a whole: another run may be starting it at this moment.
    let draft = tree::target().join(format!("tools/redis-server-{}", std::process::id()));
    fs::write(&draft, script)?;
    fs::set_permissions(&draft, Permissions::from_mode(0o755))?;
    fs::rename(draft, &path)?;
    Ok(path)
}

/// Starts a server on a private port, with its data in `folder`.
pub(super) fn start(program: &Path, folder: &Path) -> Result<Service> {
    start_at(program, folder, subject::free_address()?)
}

fn start_at(program: &Path, folder: &Path, address: SocketAddr) -> Result<Service> {
    let mut command = Command::new(program);
    command.arg("--dir").arg(folder);
    command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
    command.args(["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]);
    command.args(["--maxmemory-policy", "noeviction"]);
    Service::start(Plan {
        command,
        folder,
        ready: "Ready to accept connections",
        uri: format!("redis://{address}"),
    })
}

/// A server that comes and goes, always at the same address.
pub(crate) struct Redis {
    program: PathBuf,
    folder: PathBuf,
    address: SocketAddr,
    service: Option<Service>,
}

impl Redis {
    /// Starts it, on new data.
    ///
    /// # Errors
    /// Fails when it can't be had or doesn't start.
    pub(crate) fn begin(folder: &Path) -> Result<Self> {
        let mut redis = Self {
            program: program()?,
            folder: folder.to_path_buf(),
            address: subject::free_address()?,
            service: None,
        };
        redis.start()?;
        Ok(redis)
    }

    /// Where clients find it.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Ends it at once; what it had not written stays lost.
    ///
    /// # Errors
    /// Fails when it had ended by itself.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.service.take().map_or(Ok(()), Service::kill)
    }

    /// Takes away what a dead one kept: the next begins empty.
    ///
    /// # Errors
    /// Fails when the files can't be removed.
    pub(crate) fn forget(&self) -> Result<()> {
        Ok(fs::remove_dir_all(&self.folder)?)
    }

    /// Starts it where it was; does nothing while it runs.
    ///
    /// # Errors
    /// Fails when it doesn't start.
    pub(crate) fn start(&mut self) -> Result<()> {
        if self.service.is_none() {
            self.service = Some(start_at(&self.program, &self.folder, self.address)?);
        }
        Ok(())
    }
}
