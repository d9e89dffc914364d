//! The only place where a tool is called.

mod trial;
mod entry;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use model::{
    ActionName, Error, ErrorCode, ErrorKind, ExecutionId, Permission, PluginName, Principal, Result, Source,
    UserId,
};
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    parts::{Client, Engine},
    registry::{Excess, Extent, Held, Ready, overloaded},
};
use entry::Entry;
pub(crate) use trial::{Attempted, Trial};

/// How deep a payload may be; the reader of JSON and the stores go deeper.
const PAYLOAD_LEVELS: usize = 64;

/// How large and how deep a result may be.
const RESULT_EXTENT: Extent = Extent {
    bytes: 8 * 1024 * 1024,
    levels: 64,
};

/// How long a try of a task waits for its turn at a plugin that takes no more calls at once.
const TASK_TURN_WAIT: Duration = Duration::from_millis(250);

/// The most characters of a plugin's error message that are kept and shown.
const MAX_MESSAGE_CHARS: usize = 1_000;

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

/// A try of a task, as its worker wants the call to be made.
pub(crate) struct TaskCall {
    /// On whose behalf, or why nothing may be called.
    pub(crate) permitted: Result<Arc<Principal>>,
    /// Whose task it is; `None` for the operator.
    pub(crate) user_id: Option<UserId>,
    /// The call.
    pub(crate) request: CallRequest,
    /// Which try of which task, and who hears of its progress.
    pub(crate) trial: Trial,
    /// How long it may take; the action's own limit when `None`.
    pub(crate) timeout: Option<Duration>,
}

/// How long a call waits and runs at most.
struct Limits {
    turn: Duration,
    call: Duration,
}

impl Engine {
    /// Calls an action and keeps the call in the history, durably, whatever becomes of it.
    ///
    /// A call of an action that isn't read-only is in the history before it begins; one that can't be written
    /// there isn't made. A call waits at most its action's timeout for its turn, and then runs for at most
    /// that long. When the future is dropped, the call is cancelled and recorded as such. A payload may have
    /// 64 levels, a result as many and 8 MiB of text.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `Invalid` with paths below `payload`, `PluginFailed`, `PluginUnavailable`,
    /// `PluginTimedOut`, `Overloaded`; `Unavailable` when the history can't be written, with the code
    /// `interrupted` when the call was made nevertheless.
    pub async fn execute(
        &self,
        principal: &Principal,
        request: CallRequest,
        client: &Client,
    ) -> Result<Executed> {
        let permitted = principal.require(&Permission::ExecutePlugin(request.plugin.clone()));
        let user_id = principal.user_id();
        let mut entry = Entry::accept(&self.parts, user_id, request, client, Trial::default())?;
        let admitted = permitted.and_then(|()| self.admit(&mut entry));
        let outcome = match admitted {
            Ok((held, ready)) => {
                let limits = Limits {
                    turn: ready.timeout,
                    call: ready.timeout,
                };
                perform(&mut entry, held, ready, limits).await
            }
            Err(refusal) => Err(refusal),
        };
        entry.close(outcome).await
    }

    /// Makes the call of a try of a task: as [`Self::execute`] does, but its end isn't recorded yet. That is up to the
    /// caller, together with what becomes of the task. The call is cancelled when `stopped` gives the reason.
    ///
    /// A call waits only for a moment for its turn, since other tasks may have better use for the worker.
    pub(crate) async fn execute_task(
        &self,
        call: TaskCall,
        stopped: impl Future<Output = Error>,
    ) -> Attempted {
        let permission = Permission::ExecutePlugin(call.request.plugin.clone());
        let permitted = call
            .permitted
            .and_then(|principal| principal.require(&permission));
        let client = Client::default();
        let accepted = Entry::accept(&self.parts, call.user_id, call.request, &client, call.trial);
        let mut entry = match accepted {
            Ok(entry) => entry,
            Err(error) => return Attempted::not_made(error),
        };
        let made = async {
            permitted?;
            let (held, ready) = self.admit(&mut entry)?;
            let limits = Limits {
                turn: TASK_TURN_WAIT,
                call: call.timeout.unwrap_or(ready.timeout),
            };
            perform(&mut entry, held, ready, limits).await
        };
        let outcome = tokio::select! {
            biased;
            reason = stopped => Err(reason),
            outcome = made => outcome,
        };
        entry.settle(outcome).await
    }

    /// Finds the action and checks the payload against it.
    fn admit(&self, entry: &mut Entry) -> Result<(&Held, &Ready)> {
        let held = self.parts.plugins.find(entry.plugin());
        let held = held.ok_or_else(|| Error::not_found("plugin"))?;
        let ready = held.action(entry.action());
        let ready = ready.ok_or_else(|| Error::not_found("action of this plugin"))?;
        entry.name_is_known();
        let payload = entry.payload();
        let extent = Extent {
            bytes: usize::MAX,
            levels: PAYLOAD_LEVELS,
        };
        if extent.holds(payload).is_err() {
            let message = format!("must have at most {PAYLOAD_LEVELS} levels");
            entry.forget_payload();
            return Err(Error::invalid("payload", message));
        }
        ready
            .input
            .check(payload)
            .map_err(|error| error.under("payload"))?;
        Ok((held, ready))
    }
}

/// Waits for a turn, records what must be recorded before, calls, and checks what comes back.
async fn perform(entry: &mut Entry, held: &Held, ready: &Ready, limits: Limits) -> Result<Value> {
    let turn = timeout(limits.turn, held.gate.enter()).await;
    let turn = turn.unwrap_or_else(|_elapsed| Err(overloaded()))?;
    let call = entry.call(limits.call);
    if !ready.is_read_only {
        entry.open().await?;
    }
    entry.note_made();
    // Made inside, so that a panic before the first await is caught too.
    let running = AssertUnwindSafe(async { held.runtime.call(call).await }).catch_unwind();
    let outcome = timeout(limits.call, running).await;
    drop(turn);
    let result = match outcome {
        Ok(Ok(outcome)) => outcome.map_err(as_plugin_failure)?,
        Ok(Err(_panic)) => return Err(Error::bug("a plugin panicked")),
        Err(_elapsed) => return Err(timed_out(limits.call)),
    };
    require_acceptable(ready, &result)?;
    Ok(result)
}

fn require_acceptable(ready: &Ready, result: &Value) -> Result<()> {
    let failed = |message: &'static str| Err(Error::new(ErrorCode::PluginFailed, message));
    match RESULT_EXTENT.holds(result) {
        Ok(()) => {}
        Err(Excess::Bytes) => return failed("the plugin's result is larger than 8 MiB"),
        Err(Excess::Levels) => return failed("the plugin's result has more than 64 levels"),
    }
    match &ready.output {
        Some(output) if !output.accepts(result) => {
            let error = Error::new(
                ErrorCode::PluginFailed,
                "the plugin's result doesn't fit the plugin's own schema",
            );
            Err(match output.first_mistake(result) {
                Some(mistake) => error.source(mistake),
                None => error,
            })
        }
        Some(_) | None => Ok(()),
    }
}

fn timed_out(limit: Duration) -> Error {
    let message = format!("the action took longer than its limit of {limit:?}");
    Error::new(ErrorCode::PluginTimedOut, message)
}

/// Lets a plugin fail as a plugin, and as nothing else: what it says of credentials, limits or the like is
/// about its own dealings, never about the caller's with this server.
fn as_plugin_failure(error: Error) -> Error {
    let code = match error.kind() {
        ErrorKind::Invalid => return bounded(error).under("payload"),
        ErrorKind::NotFound | ErrorKind::PluginFailed | ErrorKind::PluginUnavailable | ErrorKind::Bug => {
            return bounded(error);
        }
        ErrorKind::TimedOut => ErrorCode::PluginTimedOut,
        ErrorKind::Unavailable | ErrorKind::RateLimited => ErrorCode::PluginUnavailable,
        ErrorKind::Malformed
        | ErrorKind::Unauthenticated
        | ErrorKind::Forbidden
        | ErrorKind::MethodNotAllowed
        | ErrorKind::Conflict
        | ErrorKind::TooLarge
        | ErrorKind::TooSlow
        | ErrorKind::UnsupportedMediaType
        | ErrorKind::Misdirected
        | ErrorKind::Cancelled => ErrorCode::PluginFailed,
    };
    recast(error, code)
}

fn bounded(error: Error) -> Error {
    let is_long = |text: &str| text.chars().nth(MAX_MESSAGE_CHARS).is_some();
    let is_bounded = !is_long(error.message())
        && error
            .details()
            .iter()
            .all(|detail| !is_long(&detail.path) && !is_long(&detail.message));
    if is_bounded {
        return error;
    }
    if error.kind() == ErrorKind::Invalid {
        return Error::invalid("", "is refused by the plugin, with more words than can be shown");
    }
    let code = error.code();
    recast(error, code)
}

fn recast(error: Error, code: ErrorCode) -> Error {
    let message: String = error.message().chars().take(MAX_MESSAGE_CHARS).collect();
    let recast = Error::new(code, message);
    let recast = match error.wait() {
        Some(wait) => recast.retry_after(wait),
        None => recast,
    };
    recast.source(error)
}
