//! What the protocol is served with, over whatever transport.

use std::{sync::Arc, time::Duration};

use engine::Engine;
use model::{Clock as _, Entropy as _, PluginName};
use protocol::{Host, Limits, LocalSessions};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{door::Door, handler::Seal};
use crate::system::{SystemClock, SystemEntropy};

/// What decides how tools and tasks are shown.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// The plugin whose tools and prompts clients see under their own names.
    pub bare_tools: Option<PluginName>,
    /// How long ended tasks are kept.
    pub task_retention: Duration,
}

/// What the protocol is served with: the door to an engine's verbs, and what every transport needs beside it.
///
/// `tracker` owns what goes on beside an answer; `stop` is cancelled when the server stops. Calls are never cut off: a
/// transport that does so brings its own signal for it.
///
/// # Errors
/// `Bug` when the keys of what clients hold can't be derived.
pub fn host(
    engine: &Engine,
    terms: Terms,
    tracker: TaskTracker,
    stop: CancellationToken,
) -> model::Result<Host<Door>> {
    let seal = Seal::of(engine)?;
    let door = Door::new(
        engine.clone(),
        terms.bare_tools,
        terms.task_retention,
        tracker.clone(),
    );
    Ok(Host {
        handler: Arc::new(door),
        seal: Arc::new(seal),
        sessions: Arc::new(LocalSessions::new(now_ms)),
        clock: Arc::new(now_ms),
        random: Arc::new(random),
        limits: Limits::default(),
        tracker,
        stop,
        cut_off: CancellationToken::new(),
    })
}

/// Milliseconds since the beginning of 1970.
fn now_ms() -> u64 {
    u64::try_from(SystemClock.now().as_millis()).unwrap_or_default()
}

/// 128 bits that nobody can guess.
fn random() -> u128 {
    let mut bytes = [0; 16];
    SystemEntropy.fill(&mut bytes);
    u128::from_be_bytes(bytes)
}
