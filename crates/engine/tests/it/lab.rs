//! A kind of plugin that behaves as badly as a test asks it to.

use std::{
    future::pending,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use model::{
    Action, ActionName, Annotations, Call, Error, ErrorCode, Health, Plugin, PluginName, Question,
    QuestionKind, Questions, Reply, Result, ResultForm, Runtime, Span,
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// Holds the plugins `lab`, with actions of every kind, and `single`, which takes one call at once.
pub(crate) struct Lab {
    calls: AtomicUsize,
    dropped: AtomicUsize,
    begun: Semaphore,
    finish: Semaphore,
}

impl Default for Lab {
    fn default() -> Self {
        Self {
            calls: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
            begun: Semaphore::new(0),
            finish: Semaphore::new(0),
        }
    }
}

impl Lab {
    /// How many calls came this far.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// How many calls were dropped before their end.
    pub(crate) fn dropped(&self) -> usize {
        self.dropped.load(Ordering::SeqCst)
    }

    /// Waits until a call of an action that waits has begun.
    pub(crate) async fn begun(&self) {
        self.begun.acquire().await.unwrap().forget();
    }

    /// Lets one call of an action that waits end.
    pub(crate) fn finish(&self) {
        self.finish.add_permits(1);
    }

    async fn wait(&self) -> Result<Value> {
        let guard = Dropped(&self.dropped);
        self.begun.add_permits(1);
        self.finish.acquire().await.unwrap().forget();
        std::mem::forget(guard);
        Ok(json!({ "waited": true }))
    }

    /// Reports each fraction, waiting before each but the first.
    async fn report(&self, call: &Call) -> Result<Value> {
        for (number, fraction) in call.payload["fractions"].as_array().unwrap().iter().enumerate() {
            if number > 0 {
                self.wait().await?;
            }
            call.progress
                .report(fraction.as_f64().unwrap(), Some("under way"));
        }
        self.wait().await
    }

    async fn hang(&self) -> Result<Value> {
        let _guard = Dropped(&self.dropped);
        self.begun.add_permits(1);
        pending().await
    }
}

/// Counts what is dropped before its end.
struct Dropped<'a>(&'a AtomicUsize);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Runtime for Lab {
    fn kind(&self) -> &'static str {
        "lab"
    }

    fn plugins(&self) -> Vec<Plugin> {
        let quick = Duration::from_millis(20);
        let misfit = Action {
            output_schema: Some(json!({ "type": "object", "required": ["x"] })),
            ..action("misfit", Annotations::PURE)
        };
        let strict = Action {
            input_schema: json!({
                "type": "object",
                "properties": { "message": { "type": "string", "maxLength": 5 }, "list": { "items": { "type": "integer" } } },
                "required": ["message"],
                "additionalProperties": false,
            }),
            ..action("strict", Annotations::PURE)
        };
        let timed = |name, annotations| Action {
            timeout: quick,
            ..action(name, annotations)
        };
        let lab = vec![
            action("echo", Annotations::PURE),
            action("write", Annotations::REMOTE),
            action("wait", Annotations::PURE),
            action("waitAndWrite", Annotations::REMOTE),
            timed("hang", Annotations::PURE),
            timed("hangAndWrite", Annotations::REMOTE),
            action("panic", Annotations::PURE),
            action("panicAndWrite", Annotations::REMOTE),
            action("huge", Annotations::PURE),
            action("deep", Annotations::PURE),
            action("fail", Annotations::PURE),
            action("report", Annotations::PURE),
            action("interview", Annotations::PURE),
            action("interviewAndWrite", Annotations::REMOTE),
            misfit,
            strict,
        ];
        let single = vec![action("wait", Annotations::PURE)];
        vec![plugin("single", single, 1), plugin("lab", lab, 100)]
    }

    fn health(&self, plugin: &PluginName) -> Health {
        match plugin.as_str() {
            "single" => Health::Unavailable("it is out of order".to_owned()),
            _ => Health::Healthy,
        }
    }

    async fn call(&self, call: Call) -> Result<Reply<Value>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if call.action.as_str().starts_with("interview") {
            return interview(&call);
        }
        let result = match call.action.as_str() {
            "echo" | "strict" => Ok(call.payload),
            "write" => Ok(json!({ "written": call.execution_id })),
            "wait" | "waitAndWrite" => self.wait().await,
            "report" => self.report(&call).await,
            "hang" | "hangAndWrite" => self.hang().await,
            "panic" | "panicAndWrite" => panic!("on purpose"),
            "huge" => Ok(json!("x".repeat(9 * 1024 * 1024))),
            "deep" => Ok((0..65).fold(json!(1), |inner, _| json!([inner]))),
            "fail" => Err(failure(&call.payload)),
            "misfit" => Ok(json!({ "y": "a private result" })),
            _ => Err(Error::not_found("action")),
        };
        result.map(Reply::Done)
    }
}

/// Asks the questions of the payload's `rounds`, one round after the other, and gives all that it is told. Fails for
/// now in the attempt that the payload names.
fn interview(call: &Call) -> Result<Reply<Value>> {
    if call.payload["failing"] == json!(call.task.map(|tried| tried.attempt)) {
        return Err(Error::new(ErrorCode::PluginUnavailable, "not now"));
    }
    let state = call
        .answers
        .state
        .clone()
        .unwrap_or_else(|| json!({ "told": {} }));
    let mut told = state["told"].as_object().cloned().unwrap_or_default();
    told.extend(call.answers.given.clone());
    let round = state["round"].as_u64().unwrap_or_default();
    let keys = &call.payload["rounds"][usize::try_from(round).unwrap()];
    let Some(keys) = keys.as_array() else {
        return Ok(Reply::Done(Value::Object(told)));
    };
    let question = |key: &Value| {
        let question = Question {
            kind: QuestionKind::Elicitation,
            params: json!({ "message": key }).as_object().cloned().unwrap(),
        };
        (key.as_str().unwrap().to_owned(), question)
    };
    Ok(Reply::Asks(Questions {
        asked: keys.iter().map(question).collect(),
        state: Some(json!({ "round": round + 1, "told": told })),
    }))
}

/// Fails with the code and message that the payload asks for.
fn failure(payload: &Value) -> Error {
    let text = |name: &str| payload[name].as_str().unwrap_or_default().to_owned();
    let code = ErrorCode::ALL.iter().find(|code| code.as_str() == text("code"));
    if code == Some(&ErrorCode::ValidationFailed) {
        return Error::invalid(text("path"), text("message"));
    }
    Error::new(*code.unwrap(), text("message"))
}

fn plugin(name: &str, actions: Vec<Action>, max_concurrency: u16) -> Plugin {
    Plugin {
        name: PluginName::parse(name).unwrap(),
        title: name.to_owned(),
        description: String::new(),
        version: "1.0.0".to_owned(),
        actions,
        prompts: Vec::new(),
        resources: Vec::new(),
        resource_templates: Vec::new(),
        max_concurrency,
    }
}

fn action(name: &str, annotations: Annotations) -> Action {
    Action {
        name: ActionName::parse(name).unwrap(),
        title: name.to_owned(),
        description: String::new(),
        input_schema: json!({ "type": "object" }),
        output_schema: None,
        result_form: ResultForm::Value,
        annotations,
        span: Span::Short,
        timeout: Duration::from_secs(60),
    }
}
