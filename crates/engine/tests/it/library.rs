//! A kind of plugin that asks, and that brings prompts and resources, some of which misbehave.

use std::{future::pending, time::Duration};

use async_trait::async_trait;
use model::{
    Action, ActionName, Annotations, Call, CompletionCall, CompletionSubject, Error, ErrorCode, FilledPrompt,
    Health, LogLevel, Plugin, PluginName, Prompt, PromptArgument, PromptCall, PromptMessage, PromptName,
    Question, QuestionKind, Questions, Reply, Resource, ResourceBody, ResourceCall, ResourcePart,
    ResourceTemplate, Result, ResultForm, Runtime, Span, Speaker, Suggestions,
};
use serde_json::{Map, Value, json};

/// Holds the plugins `library`, which has everything, and `vault`, which has one of each.
pub(crate) struct Library;

#[async_trait]
impl Runtime for Library {
    fn kind(&self) -> &'static str {
        "library"
    }

    fn plugins(&self) -> Vec<Plugin> {
        vec![vault(), library()]
    }

    fn health(&self, _: &PluginName) -> Health {
        Health::Healthy
    }

    async fn call(&self, call: Call) -> Result<Reply<Value>> {
        match call.action.as_str() {
            "lend" | "lendAndWrite" => Ok(lend(&call)),
            "ask" => Ok(Reply::Asks(wrong_questions(
                call.payload["how"].as_str().unwrap(),
            ))),
            "content" | "structured" => Ok(Reply::Done(call.payload["result"].clone())),
            "log" => {
                call.log.log(LogLevel::Notice, json!({ "page": 1 }));
                call.progress.report(0.5, None);
                Ok(Reply::Done(json!({})))
            }
            "open" => Ok(Reply::Done(json!({}))),
            _ => Err(Error::not_found("action")),
        }
    }

    async fn prompt(&self, call: PromptCall) -> Result<Reply<FilledPrompt>> {
        match call.prompt.as_str() {
            "recommend" if call.answers.given.is_empty() && call.arguments.contains_key("mood") => {
                Ok(Reply::Asks(confirm()))
            }
            "recommend" => Ok(Reply::Done(prompt_of(
                json!({ "type": "text", "text": call.arguments["genre"] }),
            ))),
            "fail" => bad(&call.arguments["how"]).await,
            _ => Err(Error::not_found("prompt")),
        }
    }

    async fn resource(&self, call: ResourceCall) -> Result<Reply<Vec<ResourcePart>>> {
        let (_, path) = call.uri.split_once("://").unwrap();
        match path {
            "catalogue" => Ok(Reply::Done(vec![part(&call.uri, "1 Emma")])),
            "shelf/secret" if call.answers.given.is_empty() => Ok(Reply::Asks(confirm())),
            "shelf/none" => Ok(Reply::Done(Vec::new())),
            "shelf/huge" => Ok(Reply::Done(vec![part(&call.uri, &"x".repeat(9 * 1024 * 1024))])),
            "shelf/panic" => panic!("on purpose"),
            "shelf/hang" => pending().await,
            "shelf/missing" => Err(Error::not_found("book")),
            "shelf/forbidden" => Err(Error::new(ErrorCode::Forbidden, "the library is closed")),
            _ => Ok(Reply::Done(vec![part(&call.uri, path)])),
        }
    }

    async fn complete(&self, call: CompletionCall) -> Result<Suggestions> {
        let stem = match call.subject {
            CompletionSubject::Prompt(prompt) => format!("{prompt}.{}.{}", call.argument, call.typed),
            CompletionSubject::Template(template) => format!("{template}.{}.{}", call.argument, call.typed),
        };
        let long = "x".repeat(2_000);
        let values = (0..200).map(|number| {
            if number == 1 {
                long.clone()
            } else {
                format!("{stem}{number}")
            }
        });
        Ok(Suggestions {
            values: values.collect(),
            total: Some(200),
            has_more: false,
        })
    }
}

/// Asks which copy is wanted and then whether really, and gives the answers.
fn lend(call: &Call) -> Reply<Value> {
    let question = |key: &str, state: Value| {
        let Value::Object(params) = json!({ "message": format!("Which {key}?"), "requestedSchema": {} })
        else {
            unreachable!("an object was written");
        };
        let mut questions = Questions::one(key, QuestionKind::Elicitation, params);
        questions.state = Some(state);
        Reply::Asks(questions)
    };
    match &call.answers.state {
        None => question("copy", json!(1)),
        Some(state) if *state == json!(1) => question("day", json!([1, call.answers.given])),
        Some(state) => Reply::Done(json!({ "state": state, "given": call.answers.given })),
    }
}

fn confirm() -> Questions {
    Questions::one("confirm", QuestionKind::Roots, Map::new())
}

fn wrong_questions(how: &str) -> Questions {
    let question = |text: &str| Question {
        kind: QuestionKind::Sampling,
        params: Map::from_iter([("message".to_owned(), json!(text))]),
    };
    let asked = match how {
        "nothing" => Vec::new(),
        "twice" => vec![("a".to_owned(), question("?")), ("a".to_owned(), question("?"))],
        "much" => vec![("a".to_owned(), question(&"x".repeat(300 * 1024)))],
        other => vec![(other.to_owned(), question("?"))],
    };
    Questions { asked, state: None }
}

async fn bad(how: &str) -> Result<Reply<FilledPrompt>> {
    match how {
        "panic" => panic!("on purpose"),
        "hang" => pending().await,
        "huge" => Ok(Reply::Done(prompt_of(
            json!({ "type": "text", "text": "x".repeat(9 * 1024 * 1024) }),
        ))),
        "shapeless" => Ok(Reply::Done(prompt_of(json!("just text")))),
        "empty key" => Ok(Reply::Asks(wrong_questions(""))),
        "field" => Err(Error::invalid("how", "is odd")),
        _ => Err(Error::new(ErrorCode::Unauthenticated, "no")),
    }
}

fn prompt_of(content: Value) -> FilledPrompt {
    FilledPrompt {
        description: None,
        messages: vec![PromptMessage {
            speaker: Speaker::User,
            content,
        }],
    }
}

fn part(uri: &str, text: &str) -> ResourcePart {
    ResourcePart {
        uri: uri.to_owned(),
        mime_type: None,
        body: ResourceBody::Text(text.to_owned()),
    }
}

fn library() -> Plugin {
    let structured = Action {
        output_schema: Some(json!({ "type": "object", "required": ["x"] })),
        result_form: ResultForm::Content,
        ..action("structured")
    };
    let content = Action {
        result_form: ResultForm::Content,
        ..action("content")
    };
    let lend_and_write = Action {
        annotations: Annotations::REMOTE,
        ..action("lendAndWrite")
    };
    let argument = |name: &str, is_required| PromptArgument {
        name: name.to_owned(),
        description: String::new(),
        is_required,
    };
    let actions = vec![
        action("lend"),
        lend_and_write,
        action("ask"),
        content,
        structured,
        action("log"),
    ];
    Plugin {
        prompts: vec![
            prompt(
                "recommend",
                vec![argument("genre", true), argument("mood", false)],
            ),
            prompt("fail", vec![argument("how", true)]),
        ],
        resource_templates: vec![ResourceTemplate {
            uri_template: "library://shelf/{name}".to_owned(),
            name: "shelf".to_owned(),
            title: "Shelf".to_owned(),
            description: String::new(),
            mime_type: None,
        }],
        ..plugin("library", actions)
    }
}

fn vault() -> Plugin {
    Plugin {
        prompts: vec![prompt("open", Vec::new())],
        ..plugin("vault", vec![action("open")])
    }
}

fn plugin(name: &str, actions: Vec<Action>) -> Plugin {
    Plugin {
        name: PluginName::parse(name).unwrap(),
        title: name.to_owned(),
        description: String::new(),
        version: "1.0.0".to_owned(),
        actions,
        prompts: Vec::new(),
        resources: vec![Resource {
            uri: format!("{name}://catalogue"),
            name: "catalogue".to_owned(),
            title: "Catalogue".to_owned(),
            description: String::new(),
            mime_type: None,
        }],
        resource_templates: Vec::new(),
        max_concurrency: 2,
    }
}

fn action(name: &str) -> Action {
    Action {
        name: ActionName::parse(name).unwrap(),
        title: name.to_owned(),
        description: String::new(),
        input_schema: json!({ "type": "object" }),
        output_schema: None,
        result_form: ResultForm::Value,
        annotations: Annotations::PURE,
        span: Span::Short,
        timeout: Duration::from_secs(60),
    }
}

fn prompt(name: &str, arguments: Vec<PromptArgument>) -> Prompt {
    Prompt {
        name: PromptName::parse(name).unwrap(),
        title: name.to_owned(),
        description: String::new(),
        arguments,
    }
}

/// A world whose only plugins are those of the library.
pub(crate) fn world() -> crate::fixture::World {
    let builder = crate::fixture::WorldBuilder {
        runtimes: vec![std::sync::Arc::new(Library)],
        ..crate::fixture::WorldBuilder::default()
    };
    builder.build()
}
