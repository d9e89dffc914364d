//! The only place where a tool is called.

mod attempted;
mod failure;
mod guard;
mod outcome;
mod entry;

use std::{sync::Arc, time::Duration};

use model::{
    ActionName, Answers, CallTry, Error, ExecutionId, LogReporter, Permission, PluginName, Principal,
    ProgressReporter, Reply, Result, Source, UserId,
};
use serde_json::Value;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::{
    parts::{Client, Engine},
    registry::{Extent, Held, Ready},
};
pub(crate) use attempted::Attempted;
use entry::Entry;
pub(crate) use guard::guarded;
pub(crate) use outcome::{RESULT_EXTENT, is_block, require_askable, unanswered};

/// How deep a payload may be; the reader of JSON and the stores go deeper.
const PAYLOAD_LEVELS: usize = 64;

/// How long a try of a task waits for its turn at a plugin that takes no more calls at once.
const TASK_TURN_WAIT: Duration = Duration::from_millis(250);

/// A call that someone wants to make.
#[derive(Clone, Debug)]
pub struct CallRequest {
    /// The plugin.
    pub plugin: PluginName,
    /// Its action.
    pub action: ActionName,
    /// What it works on; an empty object when left out.
    pub payload: Option<Value>,
    /// What was answered to what the same call asked before; empty for a first call.
    pub answers: Answers,
    /// Takes what the plugin says of its progress.
    pub progress: ProgressReporter,
    /// Takes what the plugin logs for the caller.
    pub log: LogReporter,
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
    /// Which try of which task.
    pub(crate) call_try: CallTry,
    /// How long it may take; the action's own limit when `None`.
    pub(crate) timeout: Option<Duration>,
}

/// How long a call waits and runs at most.
struct Limits {
    turn: Duration,
    call: Duration,
}

impl Engine {
    /// Calls an action for a caller that can't be asked anything: as [`Self::call`] does.
    ///
    /// # Errors
    /// Those of [`Self::call`]; `InputRequired` with a detail for each question when the action asks something.
    pub async fn execute(
        &self,
        principal: &Principal,
        request: CallRequest,
        client: &Client,
    ) -> Result<Executed> {
        match self.call(principal, request, client).await? {
            Reply::Done(executed) => Ok(executed),
            Reply::Asks(questions) => Err(unanswered(&questions)),
        }
    }

    /// Calls an action and keeps the call in the history, durably, whatever becomes of it.
    ///
    /// A call of an action that isn't read-only is in the history before it begins; one that can't be written
    /// there isn't made. A call waits at most its action's timeout for its turn, and then runs for at most
    /// that long. When the future is dropped, the call is cancelled and recorded as such. A payload may have
    /// 64 levels, a result as many and 8 MiB of text, what is asked at once 256 KiB.
    ///
    /// A call that asks something is in the history as one that failed, with the code `input_required`; the one that
    /// is made with the answers is another.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `Invalid` with paths below `payload`, `PluginFailed`, `PluginUnavailable`,
    /// `PluginTimedOut`, `Overloaded`; `Unavailable` when the history can't be written, with the code
    /// `interrupted` when the call was made nevertheless.
    pub async fn call(
        &self,
        principal: &Principal,
        request: CallRequest,
        client: &Client,
    ) -> Result<Reply<Executed>> {
        let permitted = principal.require(&Permission::ExecutePlugin(request.plugin.clone()));
        let user_id = principal.user_id();
        let mut entry = Entry::accept(&self.parts, user_id, request, client, None)?;
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
        let accepted = Entry::accept(
            &self.parts,
            call.user_id,
            call.request,
            &client,
            Some(call.call_try),
        );
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

impl Engine {
    /// Lets closing the engine wait for what is done until the answer is dropped.
    ///
    /// # Errors
    /// `Unavailable` when the engine is being closed.
    pub(crate) fn running(&self) -> Result<TaskTrackerToken> {
        entry::running(&self.parts)
    }
}

/// Waits for a turn, records what must be recorded before, calls, and checks what comes back.
async fn perform(entry: &mut Entry, held: &Held, ready: &Ready, limits: Limits) -> Result<Reply<Value>> {
    let turn = held.turn(limits.turn).await?;
    let call = entry.call(limits.call);
    if !ready.is_read_only {
        entry.open().await?;
    }
    entry.note_made();
    let reply = guarded(limits.call, "payload", async { held.runtime.call(call).await }).await;
    drop(turn);
    let reply = reply?;
    outcome::require_acceptable(ready, &reply)?;
    Ok(reply)
}
