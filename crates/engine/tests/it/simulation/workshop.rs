//! Where a process's plugin calls wait until the simulation says how they end.

use std::{future::pending, time::Duration};

use async_trait::async_trait;
use model::{
    Action, ActionName, Annotations, Answers, Call, CallTry, ExecutionId, Health, Plugin, PluginName, Reply,
    Result, ResultForm, Runtime, Span,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// How many calls of the plugin `narrow` run at once on one process.
pub(super) const NARROW: u16 = 1;

/// Holds the plugins `wide` and `narrow`, each with an action that only reads and one that writes.
#[derive(Default)]
pub(super) struct Workshop {
    calls: Mutex<Vec<Going>>,
    begun: Mutex<Vec<(CallTry, Answers)>>,
}

struct Going {
    call: Call,
    end: oneshot::Sender<Result<Reply<Value>>>,
}

impl Workshop {
    /// The calls that are going on.
    pub(super) fn going(&self) -> Vec<ExecutionId> {
        let mut calls = self.calls.lock();
        calls.retain(|going| !going.end.is_closed());
        calls.iter().map(|going| going.call.execution_id).collect()
    }

    /// The tries that began since this was asked last, with what they were told.
    pub(super) fn begun(&self) -> Vec<(CallTry, Answers)> {
        std::mem::take(&mut self.begun.lock())
    }

    /// Lets a call that is going on end.
    pub(super) fn end(&self, place: usize, outcome: Result<Reply<Value>>) {
        let going = self.calls.lock().remove(place);
        // A call that was dropped at this moment hears nothing.
        let _dropped = going.end.send(outcome);
    }

    /// Lets a call that is going on say how far it has come.
    pub(super) fn report(&self, place: usize, fraction: f64) {
        let progress = self.calls.lock()[place].call.progress.clone();
        progress.report(fraction, None);
    }
}

#[async_trait]
impl Runtime for Workshop {
    fn kind(&self) -> &'static str {
        "workshop"
    }

    fn plugins(&self) -> Vec<Plugin> {
        let actions = || {
            vec![
                action("read", Annotations::PURE),
                action("write", Annotations::REMOTE),
            ]
        };
        vec![
            plugin("wide", actions(), 100),
            plugin("narrow", actions(), NARROW),
        ]
    }

    fn health(&self, _: &PluginName) -> Health {
        Health::Healthy
    }

    async fn call(&self, call: Call) -> Result<Reply<Value>> {
        let (end, ended) = oneshot::channel();
        let answers = call.answers.clone();
        self.begun.lock().extend(call.task.map(|tried| (tried, answers)));
        self.calls.lock().push(Going { call, end });
        match ended.await {
            Ok(outcome) => outcome,
            Err(_) => pending().await,
        }
    }
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
