//! The only place where a tool is called.

use std::time::Duration;

use model::{ActionName, ExecutionId, PluginName, Principal, Result, Source};
use serde_json::Value;

use crate::parts::{Client, Engine};

/// A call that someone wants to make.
#[derive(Clone, Debug)]
pub struct CallRequest {
    /// The plugin.
    pub plugin: PluginName,
    /// Its action.
    pub action: ActionName,
    /// What it works on; an empty object when left out.
    pub payload: Option<Value>,
    /// Through which door it comes.
    pub source: Source,
}

/// A call that gave a result, and is in the history.
#[derive(Clone, Debug)]
pub struct Executed {
    /// Its name in the history.
    pub id: ExecutionId,
    /// The plugin.
    pub plugin: PluginName,
    /// Its action.
    pub action: ActionName,
    /// What it gave.
    pub result: Value,
    /// From its acceptance to its result.
    pub duration: Duration,
}

impl Engine {
    /// Calls an action and keeps the call in the history, durably, whatever becomes of it.
    ///
    /// When the future is dropped, the call is cancelled and recorded as such.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `Invalid` with paths below `payload`, `PluginFailed`, `PluginUnavailable`,
    /// `PluginTimedOut`, `Overloaded`; `Unavailable` when the history can't be written.
    pub async fn execute(
        &self,
        _principal: &Principal,
        _request: CallRequest,
        _client: &Client,
    ) -> Result<Executed> {
        todo!()
    }
}
