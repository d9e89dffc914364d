//! What looks on: when each task began, and how many have ended.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use model::{
    Action, ActionName, Annotations, Call, Error, Health, Observation, Observer, Plugin, PluginName, Reply,
    Result, ResultForm, Runtime, Span, TaskStatus,
};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// The plugin that notes when it is called.
pub(crate) const PLUGIN: &str = "probe";

/// Its action.
pub(crate) const ACTION: &str = "note";

/// Notes when the calls with the numbers 0, 1, 2, … began.
pub(crate) struct Probe {
    plugin: Plugin,
    begun: Mutex<Vec<Option<Instant>>>,
    count: AtomicUsize,
}

impl Probe {
    /// Expects so many calls.
    pub(crate) fn new(calls: usize) -> Result<Self> {
        let action = Action {
            name: ActionName::parse(ACTION)?,
            title: "Note".into(),
            description: "Notes when it is called.".into(),
            input_schema: json!({
                "type": "object", "properties": { "number": { "type": "integer" } }, "required": ["number"],
            }),
            output_schema: None,
            result_form: ResultForm::Value,
            annotations: Annotations::PURE,
            span: Span::Short,
            timeout: Duration::from_secs(5),
        };
        Ok(Self {
            plugin: Plugin {
                name: PluginName::parse(PLUGIN)?,
                title: "Probe".into(),
                description: "Looks on.".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                actions: vec![action],
                prompts: Vec::new(),
                resources: Vec::new(),
                resource_templates: Vec::new(),
                max_concurrency: 1024,
            },
            begun: Mutex::new(vec![None; calls]),
            count: AtomicUsize::new(0),
        })
    }

    /// How many calls began.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// When each call began.
    pub(crate) fn begun(&self) -> Vec<Option<Instant>> {
        self.begun.lock().clone()
    }
}

#[async_trait]
impl Runtime for Probe {
    fn kind(&self) -> &'static str {
        "probe"
    }

    fn plugins(&self) -> Vec<Plugin> {
        vec![self.plugin.clone()]
    }

    fn health(&self, _plugin: &PluginName) -> Health {
        Health::Healthy
    }

    async fn call(&self, call: Call) -> Result<Reply<Value>> {
        let now = Instant::now();
        let number = call.payload.get("number").and_then(Value::as_u64);
        let index = number.and_then(|number| usize::try_from(number).ok());
        let mut begun = self.begun.lock();
        let Some(moment) = index.and_then(|index| begun.get_mut(index)) else {
            return Err(Error::invalid("number", "must be one that is expected"));
        };
        if moment.replace(now).is_none() {
            self.count.fetch_add(1, Ordering::Release);
        }
        Ok(Reply::Done(json!({})))
    }
}

/// Counts tasks that were completed, and notes when the last expected one was.
#[derive(Default)]
pub(crate) struct Finishes {
    completed: AtomicUsize,
    otherwise: AtomicUsize,
    last: Mutex<Option<Instant>>,
}

impl Finishes {
    /// How many tasks were completed, and when the last one was.
    pub(crate) fn completed(&self) -> (usize, Option<Instant>) {
        (self.completed.load(Ordering::Acquire), *self.last.lock())
    }

    /// How many attempts ended in another way.
    pub(crate) fn otherwise(&self) -> usize {
        self.otherwise.load(Ordering::Acquire)
    }
}

impl Observer for Finishes {
    fn observe(&self, observation: Observation<'_>) {
        let Observation::TaskAttemptEnded { status, .. } = observation else {
            return;
        };
        if status == TaskStatus::Completed {
            *self.last.lock() = Some(Instant::now());
            self.completed.fetch_add(1, Ordering::Release);
        } else {
            self.otherwise.fetch_add(1, Ordering::Release);
        }
    }
}
