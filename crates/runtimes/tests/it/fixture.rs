//! Runtimes and calls to try things with.

use std::{sync::Arc, time::Duration};

use model::{
    ActionName, Answers, Call, Entropy, Error, ErrorKind, ExecutionId, LogReporter, PluginName,
    ProgressReporter, Reply, Result, Runtime,
};
use runtimes::{Builtin, LlmSettings};
use serde_json::Value;
use uuid::Uuid;

/// Draws nothing but zeros, so that no pause is waited for.
pub(crate) struct Zeros;

impl Entropy for Zeros {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

/// The built-in plugins, without a key for language models.
pub(crate) fn builtin() -> Arc<dyn Runtime> {
    builtin_with(LlmSettings::default())
}

pub(crate) fn builtin_with(settings: LlmSettings) -> Arc<dyn Runtime> {
    Arc::new(Builtin::new(settings, Arc::new(Zeros)).unwrap())
}

/// A call of `plugin.action` that may take a minute.
pub(crate) fn call(tool: &str, payload: Value) -> Call {
    let (plugin, action) = tool.split_once('.').unwrap();
    Call {
        execution_id: ExecutionId::from_uuid(Uuid::nil()),
        plugin: PluginName::parse(plugin).unwrap(),
        action: ActionName::parse(action).unwrap(),
        payload,
        timeout: Duration::from_secs(60),
        task: None,
        answers: Answers::default(),
        progress: ProgressReporter::default(),
        log: LogReporter::default(),
    }
}

/// Calls a built-in plugin.
pub(crate) async fn run(tool: &str, payload: Value) -> Result<Value> {
    done(builtin().call(call(tool, payload)).await)
}

/// The result of a call that asks nothing.
pub(crate) fn done(replied: Result<Reply<Value>>) -> Result<Value> {
    replied.map(|reply| reply.done().expect("a call that asks nothing"))
}

/// The only path that a call was refused for.
pub(crate) fn refused_path(result: Result<Value>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    let [detail] = error.details() else {
        panic!("one detail is expected: {error:?}");
    };
    detail.path.clone()
}

/// Everything that a log could show of an error.
pub(crate) fn everything_of(error: &Error) -> String {
    let mut text = format!("{error}\n{error:?}\n{:?}", error.details());
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!("\n{cause}\n{cause:?}"));
        source = cause.source();
    }
    text
}
