//! What every kind of plugin does. Another kind joins by one more line at the end.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use model::{
    Action, Answers, Call, CompletionCall, CompletionSubject, ErrorKind, Health, Plugin, PluginName,
    PromptCall, PromptName, ResourceCall, Runtime, ToolName,
};
use runtimes::LlmProvider;
use serde_json::{Value, json};

use crate::{
    fixture::{builtin_with, call, done},
    provider::{Provider, Script},
};

/// A runtime whose plugins can all be called, and one of the same kind in the middle of nowhere.
struct Subject {
    runtime: Arc<dyn Runtime>,
    stalled: Stalled,
    _provider: Provider,
}

/// A call that reaches a far end and never ends by itself.
struct Stalled {
    runtime: Arc<dyn Runtime>,
    call: Call,
    far_end: Provider,
}

impl Subject {
    fn actions(&self) -> Vec<(Plugin, Action)> {
        let pair = |plugin: Plugin| {
            let actions = plugin.actions.clone();
            actions.into_iter().map(move |action| (plugin.clone(), action))
        };
        self.runtime.plugins().into_iter().flat_map(pair).collect()
    }
}

fn call_of(plugin: &Plugin, action: &Action, payload: Value) -> Call {
    Call {
        plugin: plugin.name.clone(),
        action: action.name.clone(),
        ..call("any.any", payload)
    }
}

fn examples(action: &Action) -> Vec<Value> {
    let examples = action.input_schema.get("examples").and_then(Value::as_array);
    examples.cloned().unwrap_or_default()
}

async fn every_tool_has_a_name_of_its_own_that_every_client_takes(subject: Subject) {
    let mut names = HashSet::new();
    for (plugin, action) in subject.actions() {
        let name = ToolName {
            plugin: plugin.name,
            action: action.name,
        };
        let name = name.to_string();
        assert!(name.len() <= 64, "{name}");
        assert!(names.insert(name.to_lowercase()), "{name}");
    }
}

async fn every_plugin_and_action_says_what_it_is_and_what_it_may_take(subject: Subject) {
    for (plugin, action) in subject.actions() {
        for text in [
            &plugin.title,
            &plugin.description,
            &plugin.version,
            &action.title,
            &action.description,
        ] {
            assert!(!text.trim().is_empty(), "{}.{}", plugin.name, action.name);
        }
        assert!(plugin.max_concurrency > 0 && action.timeout > Duration::ZERO);
    }
}

async fn every_schema_is_one_of_draft_2020_12_and_of_an_object(subject: Subject) {
    for (_, action) in subject.actions() {
        for schema in [Some(&action.input_schema), action.output_schema.as_ref()]
            .into_iter()
            .flatten()
        {
            assert!(
                jsonschema::draft202012::meta::validate(schema).is_ok(),
                "{schema}"
            );
            assert!(jsonschema::draft202012::new(schema).is_ok(), "{schema}");
            assert_eq!(schema.get("type"), Some(&json!("object")), "{schema}");
        }
    }
}

async fn every_example_fits_its_schema_and_gives_a_result_that_fits_too(subject: Subject) {
    for (plugin, action) in subject.actions() {
        let input = jsonschema::draft202012::new(&action.input_schema).unwrap();
        for example in examples(&action) {
            assert!(input.is_valid(&example), "{example}");
            let replied = subject
                .runtime
                .call(call_of(&plugin, &action, example.clone()))
                .await;
            let result = done(replied);
            let result =
                result.unwrap_or_else(|error| panic!("{}.{} {example}: {error:?}", plugin.name, action.name));
            let Some(schema) = &action.output_schema else {
                continue;
            };
            let output = jsonschema::draft202012::new(schema).unwrap();
            assert!(output.is_valid(&result), "{example} gives {result}");
        }
    }
}

async fn a_payload_that_does_not_fit_is_refused_without_harm(subject: Subject) {
    let misfits = [
        json!(null),
        json!([]),
        json!("text"),
        json!(7),
        json!({ "noSuchField": 1 }),
    ];
    for (plugin, action) in subject.actions() {
        for misfit in &misfits {
            let refused = subject
                .runtime
                .call(call_of(&plugin, &action, misfit.clone()))
                .await
                .unwrap_err();
            assert_eq!(
                refused.kind(),
                ErrorKind::Invalid,
                "{}.{} {misfit}",
                plugin.name,
                action.name
            );
        }
    }
}

async fn what_is_not_held_is_not_found(subject: Subject) {
    let unknown_plugin = subject
        .runtime
        .call(call("absent.echo", json!({})))
        .await
        .unwrap_err();
    assert_eq!(unknown_plugin.kind(), ErrorKind::NotFound);
    for plugin in subject.runtime.plugins() {
        let tool = format!("{}.absent", plugin.name);
        let unknown_action = subject.runtime.call(call(&tool, json!({}))).await.unwrap_err();
        assert_eq!(unknown_action.kind(), ErrorKind::NotFound);
    }
}

async fn a_prompt_or_resource_that_is_not_held_is_not_found(subject: Subject) {
    for plugin in subject.runtime.plugins() {
        let prompt = PromptCall {
            plugin: plugin.name.clone(),
            prompt: PromptName::parse("absent").unwrap(),
            arguments: BTreeMap::new(),
            answers: Answers::default(),
            timeout: Duration::from_secs(60),
        };
        let refused = subject.runtime.prompt(prompt).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound, "{}", plugin.name);
        let resource = ResourceCall {
            plugin: plugin.name.clone(),
            uri: "absent://nowhere".to_owned(),
            answers: Answers::default(),
            timeout: Duration::from_secs(60),
        };
        let refused = subject.runtime.resource(resource).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound, "{}", plugin.name);
    }
}

async fn nothing_is_suggested_for_what_is_not_held(subject: Subject) {
    for plugin in subject.runtime.plugins() {
        let call = CompletionCall {
            plugin: plugin.name.clone(),
            subject: CompletionSubject::Prompt(PromptName::parse("absent").unwrap()),
            argument: "absent".to_owned(),
            typed: String::new(),
            known: BTreeMap::new(),
            timeout: Duration::from_secs(60),
        };
        let suggestions = subject.runtime.complete(call).await;
        assert!(
            suggestions.is_ok_and(|suggestions| suggestions.values.is_empty()),
            "{}",
            plugin.name
        );
    }
}

async fn every_prompt_and_resource_that_needs_nothing_can_be_had(subject: Subject) {
    for plugin in subject.runtime.plugins() {
        let free = plugin.prompts.iter().filter(|prompt| {
            let mut arguments = prompt.arguments.iter();
            !arguments.any(|argument| argument.is_required)
        });
        for prompt in free {
            let call = PromptCall {
                plugin: plugin.name.clone(),
                prompt: prompt.name.clone(),
                arguments: BTreeMap::new(),
                answers: Answers::default(),
                timeout: Duration::from_secs(60),
            };
            assert!(subject.runtime.prompt(call).await.is_ok(), "{}", prompt.name);
        }
        for resource in &plugin.resources {
            let call = ResourceCall {
                plugin: plugin.name.clone(),
                uri: resource.uri.clone(),
                answers: Answers::default(),
                timeout: Duration::from_secs(60),
            };
            assert!(subject.runtime.resource(call).await.is_ok(), "{}", resource.uri);
        }
    }
}

async fn a_plugin_that_is_not_held_counts_as_healthy(subject: Subject) {
    let absent = PluginName::parse("absent").unwrap();
    assert_eq!(subject.runtime.health(&absent), Health::Healthy);
    for plugin in subject.runtime.plugins() {
        assert_eq!(subject.runtime.health(&plugin.name), Health::Healthy);
    }
}

async fn d07_a_call_that_is_dropped_is_cancelled_to_its_far_end(subject: Subject) {
    let Stalled {
        runtime,
        call,
        far_end,
    } = subject.stalled;
    tokio::select! {
        result = runtime.call(call) => panic!("it ended: {result:?}"),
        () = far_end.arrival() => {}
    }
    far_end.departure().await;
}

async fn builtin() -> Subject {
    let reply = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello.\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let provider = Provider::start([Script::events(reply)]).await;
    let far_end = Provider::start([Script::stalled("")]).await;
    Subject {
        runtime: builtin_with(provider.settings(LlmProvider::OpenAi)),
        stalled: Stalled {
            runtime: builtin_with(far_end.settings(LlmProvider::OpenAi)),
            call: call("llm.complete", json!({ "prompt": "?" })),
            far_end,
        },
        _provider: provider,
    }
}

macro_rules! contract {
    ($runtime:ident, $make:expr; $($promise:ident)*) => {
        mod $runtime {
            $(#[tokio::test]
            async fn $promise() {
                super::$promise($make.await).await;
            })*
        }
    };
    ($($runtime:ident: $make:expr;)*) => {$(
        contract! { $runtime, $make;
            every_tool_has_a_name_of_its_own_that_every_client_takes
            every_plugin_and_action_says_what_it_is_and_what_it_may_take
            every_schema_is_one_of_draft_2020_12_and_of_an_object
            every_example_fits_its_schema_and_gives_a_result_that_fits_too
            a_payload_that_does_not_fit_is_refused_without_harm
            what_is_not_held_is_not_found
            a_prompt_or_resource_that_is_not_held_is_not_found
            nothing_is_suggested_for_what_is_not_held
            every_prompt_and_resource_that_needs_nothing_can_be_had
            a_plugin_that_is_not_held_counts_as_healthy
            d07_a_call_that_is_dropped_is_cancelled_to_its_far_end
        }
    )*};
}

contract! {
    builtin_plugins: super::builtin();
}
