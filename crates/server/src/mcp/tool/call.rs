//! `tools/call`: inline, or as a task for a client that takes one.

use std::{sync::Arc, time::Duration};

use engine::{CallRequest, ToolView};
use model::{
    Answers, Error, ErrorKind, LogLevel, LogReporter, Permission, ProgressReporter, Reply, Source, Span,
    TaskId, ToolName,
};
use protocol::{Capabilities, Context, Outbox, RpcError, ToolCall, ToolReply};
use serde_json::{Map, Value};

use super::{
    own::OwnTool,
    submission::{Abandon, submit},
};
use crate::mcp::{
    caller::Caller,
    door::Door,
    fault::{request_error, tool_result},
    outcome::result_of,
    question::{self, Note},
    task::{no_such_task, percent},
};

/// How long a call is waited for that may take longer, before its client gets a task.
const THRESHOLD: Duration = Duration::from_secs(2);

/// How long a client that takes no task (any more) waits for one that asked it something.
const LAST_WAIT: Duration = Duration::from_secs(50);

/// What an action of any length that is done as a task needs beside the permission to call it.
const FOR_TASKS: [Permission; 2] = [Permission::WriteTasks, Permission::ReadTasks];

/// `tools/call`.
pub(in crate::mcp) async fn call(
    door: &Door,
    context: &Context<Caller>,
    call: ToolCall,
) -> Result<ToolReply, RpcError> {
    let caller = &context.caller;
    if let Some(own) = OwnTool::find(&call.name) {
        let done = own.call(door, caller, call.arguments).await?;
        return Ok(ToolReply::Done(done));
    }
    let name = door.names().find_tool(&call.name);
    let name = name.ok_or_else(|| unknown(&call.name))?;
    let execute = Permission::ExecutePlugin(name.plugin.clone());
    let Ok(tool) = door.engine().find_tool(caller.principal(), &name) else {
        return Err(refused(door, context, name, call).await);
    };
    let takes_tasks = context.revision.is_stateless() && context.capabilities.takes_tasks();
    let (given, note) = question::taken(call.answers);
    let notes = match note {
        Note::OfTask(id) => return resume(door, context, (&id, given)).await,
        Note::OfPlugin(notes) => notes,
    };
    let answers = Answers { given, state: notes };
    let arguments = Value::Object(call.arguments);
    match tool.action.span {
        Span::OnlyAsTask if !takes_tasks => Err(RpcError::tasks_not_taken()),
        Span::OnlyAsTask => {
            let [write, read] = FOR_TASKS;
            caller.require(&[execute, write, read])?;
            as_task(door, context, (&tool, arguments), Duration::ZERO).await
        }
        // What was answered already goes on where it was asked.
        Span::Long if takes_tasks && answers.is_empty() && caller.may(&FOR_TASKS) => {
            as_task(door, context, (&tool, arguments), Duration::ZERO).await
        }
        Span::Varies if takes_tasks && answers.is_empty() && caller.may(&FOR_TASKS) => {
            as_task(door, context, (&tool, arguments), THRESHOLD).await
        }
        Span::Short | Span::Varies | Span::Long => {
            inline(door, context, (&tool, &call.name), arguments, answers).await
        }
    }
}

/// Makes a call that can only be refused, so that it is in the history as every other, and tells why.
async fn refused(door: &Door, context: &Context<Caller>, name: ToolName, call: ToolCall) -> RpcError {
    let caller = &context.caller;
    let execute = Permission::ExecutePlugin(name.plugin.clone());
    let arguments = Value::Object(call.arguments);
    let request = request_of(context, (name, &call.name), arguments, Answers::default());
    let called = door.engine().call(caller.principal(), request, caller.client());
    let Err(error) = called.await else {
        return RpcError::internal();
    };
    match caller.require(&[execute]) {
        Err(lack) => lack,
        Ok(()) => refusal(&error, &call.name),
    }
}

/// The call of an action through this door; `shown` is its name as the client knows it.
fn request_of(
    context: &Context<Caller>,
    (name, shown): (ToolName, &str),
    arguments: Value,
    answers: Answers,
) -> CallRequest {
    let ToolName { plugin, action } = name;
    CallRequest {
        plugin,
        action,
        payload: Some(arguments),
        source: Source::Mcp,
        answers,
        progress: progress_to(&context.outbox),
        log: log_to(&context.outbox, shown),
    }
}

/// Calls the action and waits for its end.
async fn inline(
    door: &Door,
    context: &Context<Caller>,
    (tool, name): (&ToolView, &str),
    arguments: Value,
    answers: Answers,
) -> Result<ToolReply, RpcError> {
    let request = request_of(context, (tool.name.clone(), name), arguments, answers);
    let caller = &context.caller;
    let called = door.engine().call(caller.principal(), request, caller.client());
    match called.await {
        Ok(Reply::Done(executed)) => Ok(ToolReply::Done(result_of(
            tool.action.result_form,
            executed.result,
        ))),
        Ok(Reply::Asks(questions)) => Ok(ToolReply::Asks(question::of_call(questions))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Forbidden) => {
            Err(refusal(&error, name))
        }
        Err(error) => tool_result(&error).map(ToolReply::Done),
    }
}

/// Hands the call in as a task, and waits for its end for a while.
async fn as_task(
    door: &Door,
    context: &Context<Caller>,
    (tool, arguments): (&Arc<ToolView>, Value),
    patience: Duration,
) -> Result<ToolReply, RpcError> {
    let caller = &context.caller;
    let id = match submit(door, caller, tool, arguments, None).await {
        Ok(task) => task.id,
        Err(error) if error.kind() == ErrorKind::Forbidden => return Err(request_error(&error)),
        Err(error) => return tool_result(&error).map(ToolReply::Done),
    };
    // Until its client knows of it, nobody else would call it off.
    let abandon = Abandon::of(door, caller, id);
    let reply = await_task(door, caller, id, patience).await?;
    if is_heard(&reply, &context.capabilities) {
        abandon.disarm();
    }
    Ok(reply)
}

/// Tells whether a client gets the reply: it gets no questions that it can't answer, but an error.
fn is_heard(reply: &ToolReply, client: &Capabilities) -> bool {
    match reply {
        ToolReply::Asks(questions) => {
            let mut asked = questions.asked.iter();
            asked.all(|(_, question)| client.answers(question.kind))
        }
        ToolReply::Done(_) | ToolReply::Task(_) => true,
    }
}

/// Gives a task that asked something the answers, and waits for what comes of it.
async fn resume(
    door: &Door,
    context: &Context<Caller>,
    (id, given): (&str, Map<String, Value>),
) -> Result<ToolReply, RpcError> {
    let caller = &context.caller;
    caller.require(&FOR_TASKS)?;
    let id = id.parse::<TaskId>().map_err(|_| no_such_task())?;
    let answered = door.engine().answer_task(caller.principal(), id, given).await;
    match answered {
        Ok(_) => {}
        // It has gone on, or ended: what it has come to is told below.
        Err(error) if error.kind() == ErrorKind::Conflict => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(no_such_task()),
        Err(error) => return tool_result(&error).map(ToolReply::Done),
    }
    let takes_tasks = context.capabilities.takes_tasks();
    let patience = if takes_tasks { THRESHOLD } else { LAST_WAIT };
    let reply = await_task(door, caller, id, patience).await?;
    if matches!(reply, ToolReply::Task(_)) && !takes_tasks {
        return Err(RpcError::tasks_not_taken());
    }
    Ok(reply)
}

/// What a task has come to after a while: its result, what it asks, or the task itself.
async fn await_task(
    door: &Door,
    caller: &Caller,
    id: TaskId,
    patience: Duration,
) -> Result<ToolReply, RpcError> {
    let (engine, principal) = (door.engine(), caller.principal());
    let found = if patience.is_zero() {
        engine.read_task(principal, id).await
    } else {
        match engine.run_task(principal, id, patience).await {
            Ok(run) => Ok(run.task),
            // It had ended before.
            Err(error) if error.kind() == ErrorKind::Conflict => engine.read_task(principal, id).await,
            Err(error) => Err(error),
        }
    };
    let mut task = found.map_err(|error| request_error(&error))?;
    let glass = door.glass();
    if patience.is_zero() {
        let handle = glass.handle_of(&task).ok_or_else(no_such_task)?;
        return Ok(ToolReply::Task(handle));
    }
    if task.standing.awaits_input {
        let open = task.inquiry.iter().flat_map(|inquiry| inquiry.open());
        let asked = open.map(|(key, question)| (key.to_owned(), question.clone()));
        let questions = question::of_task(&id.to_string(), asked.collect());
        return Ok(ToolReply::Asks(questions));
    }
    let handle = glass.handle_of(&task).ok_or_else(no_such_task)?;
    match handle.status {
        protocol::TaskStatus::Completed => Ok(ToolReply::Done(glass.ending(&mut task))),
        protocol::TaskStatus::Failed => Err(glass
            .state_of(task)
            .and_then(|state| state.error)
            .unwrap_or_else(RpcError::internal)),
        protocol::TaskStatus::Working
        | protocol::TaskStatus::InputRequired
        | protocol::TaskStatus::Cancelled => Ok(ToolReply::Task(handle)),
    }
}

fn progress_to(outbox: &Outbox) -> ProgressReporter {
    if !outbox.wants_progress() {
        return ProgressReporter::default();
    }
    let outbox = outbox.clone();
    // In percent, since that is what most clients show without reading the total.
    ProgressReporter::new(move |progress| {
        outbox.progress(percent(progress.fraction), Some(100.0), progress.message);
    })
}

fn log_to(outbox: &Outbox, tool: &str) -> LogReporter {
    if !outbox.wants_logs() {
        return LogReporter::default();
    }
    let (outbox, logger) = (outbox.clone(), tool.to_owned());
    LogReporter::new(move |message| {
        outbox.log(level_of(message.level), Some(logger.clone()), message.content);
    })
}

fn level_of(level: LogLevel) -> protocol::LogLevel {
    match level {
        LogLevel::Debug => protocol::LogLevel::Debug,
        LogLevel::Info => protocol::LogLevel::Info,
        LogLevel::Notice => protocol::LogLevel::Notice,
        LogLevel::Warning => protocol::LogLevel::Warning,
        LogLevel::Error => protocol::LogLevel::Error,
        LogLevel::Critical => protocol::LogLevel::Critical,
        LogLevel::Alert => protocol::LogLevel::Alert,
        LogLevel::Emergency => protocol::LogLevel::Emergency,
    }
}

fn refusal(error: &Error, name: &str) -> RpcError {
    if error.kind() == ErrorKind::NotFound {
        return unknown(name);
    }
    request_error(error)
}

fn unknown(name: &str) -> RpcError {
    const MAX_CHARS: usize = 64;
    let shown: String = name.chars().take(MAX_CHARS).collect();
    RpcError::invalid_params(format!("Unknown tool: {shown}"))
}
