//! `sample`: small actions for trying things out.

use std::time::Duration;

use model::{
    Action, ActionName, Annotations, Call, Error, ErrorCode, Plugin, PluginName, ProgressReporter, Result,
    ResultForm, Span,
};
use serde::Deserialize;
use serde_json::{Map, Number, Value, json};
use tokio::time::{Instant, sleep_until};

use super::{Answer, BuiltinPlugin, payload, schema};

const MAX_MESSAGE_CHARS: usize = 100_000;
const MAX_FAILURE_CHARS: usize = 500;
const MAX_SLEEP_MILLIS: u64 = 60_000;

/// How often a sleep tells how far it is.
const SLEEP_PARTS: u32 = 20;

pub(super) struct Sample {
    plugin: Plugin,
}

impl Sample {
    pub(super) fn new() -> Result<Self> {
        let plugin = Plugin {
            name: PluginName::parse("sample")?,
            title: "Sample".into(),
            description: "Small actions without effects, for trying things out.".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            actions: vec![echo_action()?, add_action()?, sleep_action()?, fail_action()?],
            prompts: Vec::new(),
            resources: Vec::new(),
            resource_templates: Vec::new(),
            max_concurrency: 1024,
        };
        Ok(Self { plugin })
    }
}

impl BuiltinPlugin for Sample {
    fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    fn call(&self, call: Call) -> Answer<'_> {
        match call.action.as_str() {
            "echo" => Answer::Now(echo(call.payload)),
            "add" => Answer::Now(add(call.payload)),
            "sleep" => Answer::later(sleep(call.payload, call.progress)),
            "fail" => Answer::Now(Err(fail(call.payload))),
            _ => Answer::unknown_action(),
        }
    }
}

fn echo_action() -> Result<Action> {
    let message = json!({
        "message": { "type": "string", "maxLength": MAX_MESSAGE_CHARS, "description": "The text to give back." },
    });
    Ok(Action {
        name: ActionName::parse("echo")?,
        title: "Echo".into(),
        description: "Gives the message back as it is.".into(),
        input_schema: schema::input(&message, &["message"], json!([{ "message": "Hello" }])),
        output_schema: Some(schema::whole(&message, &["message"])),
        result_form: ResultForm::Value,
        annotations: Annotations::PURE,
        span: Span::Short,
        timeout: Duration::from_secs(5),
    })
}

fn add_action() -> Result<Action> {
    let summands = json!({
        "a": { "type": "number", "description": "The first summand." },
        "b": { "type": "number", "description": "The second summand." },
    });
    let sum = json!({ "sum": { "type": "number", "description": "a + b." } });
    Ok(Action {
        name: ActionName::parse("add")?,
        title: "Add".into(),
        description: "Adds two numbers: whole ones exactly, others in 64-bit floating point.".into(),
        input_schema: schema::input(
            &summands,
            &["a", "b"],
            json!([{ "a": 2, "b": 3 }, { "a": 0.5, "b": -1e3 }]),
        ),
        output_schema: Some(schema::whole(&sum, &["sum"])),
        result_form: ResultForm::Value,
        annotations: Annotations::PURE,
        span: Span::Short,
        timeout: Duration::from_secs(5),
    })
}

fn sleep_action() -> Result<Action> {
    let millis = |description| json!({ "type": "integer", "minimum": 0, "maximum": MAX_SLEEP_MILLIS, "description": description });
    let input = json!({ "ms": millis("How many milliseconds to wait.") });
    let output = json!({ "sleptMs": millis("How many milliseconds were waited.") });
    Ok(Action {
        name: ActionName::parse("sleep")?,
        title: "Sleep".into(),
        description: "Waits for up to a minute, for trying out timeouts, cancellation and progress.".into(),
        input_schema: schema::input(&input, &["ms"], json!([{ "ms": 1 }])),
        output_schema: Some(schema::whole(&output, &["sleptMs"])),
        result_form: ResultForm::Value,
        annotations: Annotations::PURE,
        span: Span::Varies,
        timeout: Duration::from_millis(MAX_SLEEP_MILLIS) + Duration::from_secs(5),
    })
}

fn fail_action() -> Result<Action> {
    let input = json!({
        "message": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_FAILURE_CHARS,
            "default": "failed as asked",
            "description": "What the failure says.",
        },
        "retryable": {
            "type": "boolean",
            "default": false,
            "description": "Whether it is a failure that may pass, so that a retry can help.",
        },
    });
    Ok(Action {
        name: ActionName::parse("fail")?,
        title: "Fail".into(),
        description: "Always fails, for trying out how failures are shown, recorded and retried.".into(),
        input_schema: schema::whole(&input, &[]),
        output_schema: None,
        result_form: ResultForm::Value,
        annotations: Annotations::PURE,
        span: Span::Short,
        timeout: Duration::from_secs(5),
    })
}

/// Gives the payload itself back: it is what the result has to be, and nothing of it is copied.
fn echo(payload: Value) -> Result<Value> {
    let fields = require_object(payload)?;
    let Some(Value::String(message)) = fields.get("message") else {
        return Err(Error::invalid("message", "must be a text"));
    };
    // No text has more characters than bytes, so that short ones need not be counted.
    let is_long = message.len() > MAX_MESSAGE_CHARS && message.chars().count() > MAX_MESSAGE_CHARS;
    if is_long {
        let reason = format!("must have at most {MAX_MESSAGE_CHARS} characters");
        return Err(Error::invalid("message", reason));
    }
    if fields.len() > 1 {
        return Err(Error::invalid("", "must hold nothing but message"));
    }
    Ok(Value::Object(fields))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Summands {
    a: Number,
    b: Number,
}

fn add(payload: Value) -> Result<Value> {
    let Summands { a, b } = payload::read(payload)?;
    let sum = exact_sum(&a, &b).or_else(|| payload::number(a.as_f64()? + b.as_f64()?));
    let sum =
        sum.ok_or_else(|| Error::invalid("", "the sum of a and b must be within 64-bit floating point"))?;
    Ok(json!({ "sum": sum }))
}

fn exact_sum(a: &Number, b: &Number) -> Option<Value> {
    let sum = a.as_i128()? + b.as_i128()?;
    i64::try_from(sum)
        .map(Value::from)
        .or_else(|_| u64::try_from(sum).map(Value::from))
        .ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nap {
    #[serde(deserialize_with = "payload::whole")]
    ms: u64,
}

async fn sleep(payload: Value, progress: ProgressReporter) -> Result<Value> {
    let Nap { ms } = payload::read(payload)?;
    if ms > MAX_SLEEP_MILLIS {
        return Err(Error::invalid(
            "ms",
            format!("must be at most {MAX_SLEEP_MILLIS}"),
        ));
    }
    let (begun, total) = (Instant::now(), Duration::from_millis(ms));
    for part in 1..=SLEEP_PARTS {
        sleep_until(begun + total * part / SLEEP_PARTS).await;
        progress.report(f64::from(part) / f64::from(SLEEP_PARTS), Some("sleeping"));
    }
    Ok(json!({ "sleptMs": ms }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    message: Option<String>,
    #[serde(default)]
    retryable: bool,
}

fn fail(payload: Value) -> Error {
    let wish: Wish = match payload::read(payload) {
        Ok(wish) => wish,
        Err(refusal) => return refusal,
    };
    let message = wish.message.unwrap_or_else(|| "failed as asked".to_owned());
    if message.is_empty() || message.chars().count() > MAX_FAILURE_CHARS {
        return Error::invalid(
            "message",
            format!("must have 1 to {MAX_FAILURE_CHARS} characters"),
        );
    }
    let code = if wish.retryable {
        ErrorCode::PluginUnavailable
    } else {
        ErrorCode::PluginFailed
    };
    Error::new(code, message)
}

fn require_object(payload: Value) -> Result<Map<String, Value>> {
    let Value::Object(fields) = payload else {
        return Err(Error::invalid("", "must be an object"));
    };
    Ok(fields)
}
