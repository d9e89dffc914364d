//! A plugin that does what the tests of the protocol need: it asks, takes its time, fails, says things, and breaks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use model::{
    Action, ActionName, Annotations, Call, Error, ErrorCode, FilledPrompt, Health, LogLevel, Plugin,
    PluginName, Prompt, PromptArgument, PromptCall, PromptMessage, PromptName, QuestionKind, Questions,
    Reply, Resource, ResourceBody, ResourceCall, ResourcePart, ResourceTemplate, Result, ResultForm, Runtime,
    Span, Speaker,
};
use serde_json::{Map, Value, json};
use server::wire::Extras;
use tokio::sync::Semaphore;

pub(crate) const NAME: &str = "lab";

/// What happens inside, for tests to see and to steer.
pub(crate) struct Inside {
    /// How many calls of `hang` are going on.
    pub(crate) hanging: AtomicUsize,
    /// How many calls of `hang` were given up.
    pub(crate) given_up: Semaphore,
    /// How many calls of `hang` have begun.
    pub(crate) begun: Semaphore,
    /// Lets calls of `wait` end.
    pub(crate) gate: Semaphore,
    /// How many calls of `count` were made.
    pub(crate) counted: AtomicUsize,
}

/// The plugin.
pub(crate) struct Lab {
    inside: Arc<Inside>,
}

/// The plugin as an extra of a server, and what happens inside.
pub(crate) fn lab() -> (Extras, Arc<Inside>) {
    let inside = Arc::new(Inside {
        hanging: AtomicUsize::new(0),
        given_up: Semaphore::new(0),
        begun: Semaphore::new(0),
        gate: Semaphore::new(0),
        counted: AtomicUsize::new(0),
    });
    let lab: Arc<dyn Runtime> = Arc::new(Lab {
        inside: Arc::clone(&inside),
    });
    (Extras::from(vec![lab]), inside)
}

fn action(name: &str, span: Span) -> Action {
    Action {
        name: ActionName::parse(name).unwrap(),
        title: format!("The action {name}"),
        description: String::new(),
        input_schema: json!({ "type": "object" }),
        output_schema: None,
        result_form: ResultForm::Value,
        annotations: Annotations::PURE,
        span,
        timeout: Duration::from_secs(60),
    }
}

fn actions() -> Vec<Action> {
    let schema = |properties: Value| json!({ "type": "object", "properties": properties });
    let mut content = action("content", Span::Short);
    content.result_form = ResultForm::Content;
    let mut region = action("region", Span::Short);
    region.input_schema = schema(json!({ "region": { "type": "string", "x-mcp-header": "Region" } }));
    let mut count = action("count", Span::Long);
    count.annotations = Annotations::REMOTE;
    let mut strict = action("strict", Span::Short);
    strict.input_schema = json!({
        "type": "object",
        "properties": { "size": { "type": "integer" } },
        "required": ["size"],
        "additionalProperties": false,
    });
    vec![
        action("ask", Span::Short),
        action("ask-late", Span::Varies),
        action("ask-long", Span::Long),
        action("wait", Span::Long),
        action("wait-long", Span::Varies),
        action("only", Span::OnlyAsTask),
        action("hang", Span::Short),
        action("speak", Span::Short),
        action("fail", Span::Short),
        action("fail-long", Span::Long),
        action("break", Span::Short),
        action("break-long", Span::Long),
        content,
        region,
        count,
        strict,
    ]
}

/// Counts a call that was given up.
struct Hanging<'a>(&'a Inside);

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        self.0.hanging.fetch_sub(1, Ordering::SeqCst);
        self.0.given_up.add_permits(1);
    }
}

/// Asks for a name, unless it was given.
fn ask(call: &Call) -> Reply<Value> {
    match call.answers.given.get("who") {
        None => {
            let mut params = Map::new();
            params.insert("mode".to_owned(), json!("form"));
            params.insert("message".to_owned(), json!("Who are you?"));
            let schema = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
            params.insert("requestedSchema".to_owned(), schema);
            Reply::Asks(Questions {
                state: Some(json!({ "asked": call.payload })),
                ..Questions::one("who", QuestionKind::Elicitation, params)
            })
        }
        Some(answer) => Reply::Done(json!({ "answer": answer, "notes": call.answers.state })),
    }
}

#[async_trait]
impl Runtime for Lab {
    fn kind(&self) -> &'static str {
        "lab"
    }

    fn plugins(&self) -> Vec<Plugin> {
        let prompt = Prompt {
            name: PromptName::parse("greet").unwrap(),
            title: "Greet".to_owned(),
            description: String::new(),
            arguments: vec![PromptArgument {
                name: "name".to_owned(),
                description: String::new(),
                is_required: true,
            }],
        };
        let resource = Resource {
            uri: "lab://readme".to_owned(),
            name: "readme".to_owned(),
            title: String::new(),
            description: String::new(),
            mime_type: Some("text/plain".to_owned()),
        };
        let template = ResourceTemplate {
            uri_template: "lab://notes/{id}".to_owned(),
            name: "note".to_owned(),
            title: String::new(),
            description: String::new(),
            mime_type: None,
        };
        vec![Plugin {
            name: PluginName::parse(NAME).unwrap(),
            title: "Lab".to_owned(),
            description: String::new(),
            version: "1".to_owned(),
            actions: actions(),
            prompts: vec![prompt],
            resources: vec![resource],
            resource_templates: vec![template],
            max_concurrency: 512,
        }]
    }

    fn health(&self, _: &PluginName) -> Health {
        Health::Healthy
    }

    async fn call(&self, call: Call) -> Result<Reply<Value>> {
        let inside = &self.inside;
        Ok(match call.action.as_str() {
            "ask" | "ask-late" | "ask-long" => ask(&call),
            "wait" | "wait-long" | "only" => {
                inside.gate.acquire().await.unwrap().forget();
                Reply::Done(json!({ "waited": true }))
            }
            "hang" => {
                inside.hanging.fetch_add(1, Ordering::SeqCst);
                let _hanging = Hanging(inside);
                call.progress.report(0.1, Some("hanging"));
                inside.begun.add_permits(1);
                std::future::pending::<()>().await;
                Reply::Done(Value::Null)
            }
            "speak" => {
                call.progress.report(0.5, Some("half of it"));
                call.log.log(LogLevel::Warning, "something is odd");
                // Lets what was said be seen before the end.
                tokio::task::yield_now().await;
                Reply::Done(json!("said"))
            }
            "fail" | "fail-long" => {
                return Err(Error::new(ErrorCode::PluginFailed, "the experiment failed"));
            }
            "break" | "break-long" => panic!("the lab broke"),
            "count" => {
                inside.counted.fetch_add(1, Ordering::SeqCst);
                return Err(Error::new(ErrorCode::PluginUnavailable, "not now"));
            }
            "content" => {
                let image = json!({ "type": "image", "data": "AA==", "mimeType": "image/png" });
                Reply::Done(json!({ "content": [image] }))
            }
            _ => Reply::Done(json!({ "payload": call.payload })),
        })
    }

    async fn prompt(&self, call: PromptCall) -> Result<Reply<FilledPrompt>> {
        let name = call.arguments.get("name").cloned().unwrap_or_default();
        let content = json!({ "type": "text", "text": format!("Hello, {name}!") });
        Ok(Reply::Done(FilledPrompt {
            description: None,
            messages: vec![PromptMessage {
                speaker: Speaker::User,
                content,
            }],
        }))
    }

    async fn resource(&self, call: ResourceCall) -> Result<Reply<Vec<ResourcePart>>> {
        if call.uri == "lab://notes/missing" {
            return Err(Error::not_found("note"));
        }
        Ok(Reply::Done(vec![ResourcePart {
            body: ResourceBody::Text(format!("the text of {}", call.uri)),
            uri: call.uri,
            mime_type: Some("text/plain".to_owned()),
        }]))
    }
}

/// A plugin with so many actions that they fill pages.
pub(crate) struct Many(pub(crate) usize);

#[async_trait]
impl Runtime for Many {
    fn kind(&self) -> &'static str {
        "many"
    }

    fn plugins(&self) -> Vec<Plugin> {
        vec![Plugin {
            name: PluginName::parse("many").unwrap(),
            title: "Many".to_owned(),
            description: String::new(),
            version: "1".to_owned(),
            actions: (0..self.0)
                .map(|number| action(&format!("a{number}"), Span::Short))
                .collect(),
            prompts: Vec::new(),
            resources: Vec::new(),
            resource_templates: Vec::new(),
            max_concurrency: 512,
        }]
    }

    fn health(&self, _: &PluginName) -> Health {
        Health::Healthy
    }

    async fn call(&self, call: Call) -> Result<Reply<Value>> {
        Ok(Reply::Done(json!(call.action.as_str())))
    }
}
