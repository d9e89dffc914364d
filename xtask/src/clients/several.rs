//! Clients of both eras, while of several servers on one store one after the other is killed.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::clients::SETTINGS;
use crate::clients::restarts::{Stage, while_called};
use crate::cluster::{Cluster, Plan};
use crate::request::Request;
use crate::say;

/// How many servers there are.
const SERVERS: usize = 3;

/// How often one of them is killed.
const KILLS: usize = 6;

/// How long all of them live between two kills.
const LIFE: Duration = Duration::from_millis(1_000);

/// How long a killed one stays away.
const ABSENCE: Duration = Duration::from_millis(500);

/// Starts servers on one MongoDB and one Redis behind a proxy that gives each request to any of them, kills one after
/// the other, and lets clients call all the while: each older one in one session, whoever answers.
///
/// # Errors
/// Fails when a client is told anything but the result of its call, and when an answered call isn't in the history.
pub(super) fn check(binary: &Path, folder: &Path) -> Result<()> {
    let mut cluster = Cluster::begin(&Plan {
        binary,
        folder,
        processes: SERVERS,
        are_alike: true,
        settings: &SETTINGS,
    })?;
    let account = json!({
        "email": "several@clients.example",
        "username": "several",
        "password": "correct horse battery staple",
    });
    let registered = Request::post("/api/v1/auth/register", &account).send(cluster.address())?;
    let bearer = format!(
        "Bearer {}",
        registered.text("/data/token").context("can't register")?
    );
    let stage = Stage::new(cluster.address(), &bearer);
    let outcome = while_called(&stage, || {
        for number in (0..SERVERS).cycle().take(KILLS) {
            thread::sleep(LIFE);
            cluster.kill(number)?;
            thread::sleep(ABSENCE);
            cluster.start_killed()?;
        }
        Ok(())
    });
    let ((), told) = outcome.map_err(|reason| reason.context(cluster.tails()))?;
    cluster.end()?;
    say::line(format!(
        "{told} through {KILLS} kills among {SERVERS} servers, no session lost"
    ));
    Ok(())
}
