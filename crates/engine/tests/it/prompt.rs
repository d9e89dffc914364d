//! Filling prompts in, and suggestions for what is typed.

use std::{collections::BTreeMap, time::Duration};

use engine::{PromptRequest, SuggestionRequest, SuggestionSubject};
use model::{
    Answers, ErrorCode, ExecutionFilter, FilledPrompt, PluginName, PromptName, Reply, Result, Suggestions,
};
use rstest::rstest;
use serde_json::json;

use crate::{
    fixture::{World, code, refusal},
    library::world,
    shop::{admin, key, newest_first, user},
};

fn request(name: &str, arguments: &[(&str, &str)]) -> PromptRequest {
    let arguments = arguments
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    PromptRequest {
        plugin: PluginName::parse("library").unwrap(),
        prompt: PromptName::parse(name).unwrap(),
        arguments: arguments.collect(),
        answers: Answers::default(),
    }
}

/// Fills a prompt of the library in.
pub(crate) async fn filled(
    world: &World,
    name: &str,
    arguments: &[(&str, &str)],
) -> Result<Reply<FilledPrompt>> {
    world.engine.fill_prompt(&user(1), request(name, arguments)).await
}

#[tokio::test]
async fn a_prompt_is_filled_in_and_leaves_no_trace_in_the_history() {
    let world = world();
    let reply = filled(&world, "recommend", &[("genre", "crime")]).await.unwrap();
    let content = &reply.done().unwrap().messages[0].content;
    assert_eq!(*content, json!({ "type": "text", "text": "crime" }));
    let (all, page) = (ExecutionFilter::default(), newest_first(10));
    let listed = world.engine.list_executions(&admin(), all, page).await.unwrap();
    assert!(listed.items.is_empty());
}

#[tokio::test]
async fn a_prompt_that_asks_is_filled_in_with_the_answers() {
    let world = world();
    let arguments = [("genre", "crime"), ("mood", "dark")];
    let reply = filled(&world, "recommend", &arguments).await.unwrap();
    assert!(matches!(reply, Reply::Asks(questions) if questions.asked[0].0 == "confirm"));
    let answered = PromptRequest {
        answers: Answers {
            given: [("confirm".to_owned(), json!({ "roots": [] }))]
                .into_iter()
                .collect(),
            state: None,
        },
        ..request("recommend", &arguments)
    };
    let reply = world.engine.fill_prompt(&user(1), answered).await.unwrap();
    assert!(reply.done().is_some());
}

#[rstest]
#[case::missing("recommend", &[], "arguments.genre is required")]
#[case::unknown("recommend", &[("genre", "x"), ("size", "1")], "arguments.size is no argument of this prompt")]
#[case::the_plugin_s_own("fail", &[("how", "field")], "arguments.how is odd")]
#[tokio::test]
async fn arguments_that_do_not_fit_are_refused_by_name(
    #[case] name: &str,
    #[case] arguments: &[(&str, &str)],
    #[case] message: &str,
) {
    let refused = refusal(filled(&world(), name, arguments).await);
    assert_eq!(refused, (ErrorCode::ValidationFailed, message.to_owned()));
}

#[tokio::test]
async fn a_prompt_that_is_not_there_is_not_found() {
    assert_eq!(code(filled(&world(), "lost", &[]).await), ErrorCode::NotFound);
}

#[rstest]
#[case("huge", ErrorCode::PluginFailed)]
#[case("shapeless", ErrorCode::PluginFailed)]
#[case("empty key", ErrorCode::PluginFailed)]
#[case("unauthenticated", ErrorCode::PluginFailed)]
#[case("panic", ErrorCode::Internal)]
#[tokio::test]
async fn e01_a_plugin_that_misbehaves_with_a_prompt_fails_alone(
    #[case] how: &str,
    #[case] expected: ErrorCode,
) {
    let world = world();
    let (code, message) = refusal(filled(&world, "fail", &[("how", how)]).await);
    assert_eq!(code, expected);
    assert!(!message.contains("on purpose"));
    assert!(filled(&world, "recommend", &[("genre", "crime")]).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn e01_a_prompt_that_is_never_filled_in_is_given_up() {
    let world = world();
    let refused = code(filled(&world, "fail", &[("how", "hang")]).await);
    assert_eq!(refused, ErrorCode::PluginTimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_prompt_waits_until_its_plugin_can_take_it() {
    let world = world();
    let hang = || filled(&world, "fail", &[("how", "hang")]);
    let mut both = Box::pin(async { tokio::join!(hang(), hang()) });
    assert!(futures_util::poll!(&mut both).is_pending());
    tokio::time::advance(Duration::from_secs(1)).await;
    let mut third = Box::pin(filled(&world, "recommend", &[("genre", "crime")]));
    assert!(futures_util::poll!(&mut third).is_pending());
    let (_, third) = tokio::join!(both, third);
    assert!(third.is_ok());
}

async fn suggested(
    world: &World,
    principal: &model::Principal,
    subject: SuggestionSubject,
) -> Result<Suggestions> {
    let request = SuggestionRequest {
        subject,
        argument: "genre".to_owned(),
        typed: "cr".to_owned(),
        known: BTreeMap::new(),
    };
    world.engine.suggest(principal, request).await
}

fn of_prompt(name: &str) -> SuggestionSubject {
    let (plugin, prompt) = (
        PluginName::parse("library").unwrap(),
        PromptName::parse(name).unwrap(),
    );
    SuggestionSubject::Prompt(plugin, prompt)
}

fn of_template(template: &str) -> SuggestionSubject {
    SuggestionSubject::Template(template.to_owned())
}

#[rstest]
#[case(of_prompt("recommend"), "recommend.genre.cr0")]
#[case(of_template("library://shelf/{name}"), "library://shelf/{name}.genre.cr0")]
#[tokio::test]
async fn suggestions_are_the_plugin_s_within_bounds(#[case] subject: SuggestionSubject, #[case] first: &str) {
    let suggestions = suggested(&world(), &user(1), subject).await.unwrap();
    assert_eq!(suggestions.values[0], first);
    assert_eq!(suggestions.values.len(), 99, "without the one that is too long");
    assert!(suggestions.values.iter().all(|value| value.len() < 100));
    assert_eq!((suggestions.total, suggestions.has_more), (Some(200), true));
}

#[rstest]
#[case(of_prompt("lost"), ErrorCode::NotFound)]
#[case(of_template("library://{lost}"), ErrorCode::NotFound)]
#[tokio::test]
async fn nothing_is_suggested_for_what_is_not_there(
    #[case] subject: SuggestionSubject,
    #[case] expected: ErrorCode,
) {
    assert_eq!(code(suggested(&world(), &user(1), subject).await), expected);
}

#[rstest]
#[case(of_prompt("recommend"), ErrorCode::InsufficientScope)]
#[case(of_template("library://shelf/{name}"), ErrorCode::NotFound)]
#[tokio::test]
async fn b03_nothing_is_suggested_for_what_may_not_be_used(
    #[case] subject: SuggestionSubject,
    #[case] expected: ErrorCode,
) {
    let narrow = key(1, &["plugins:execute:vault"]);
    assert_eq!(code(suggested(&world(), &narrow, subject).await), expected);
}
