//! Reading resources of plugins.

use engine::ResourceRequest;
use model::{Answers, ErrorCode, Principal, Reply, ResourceBody, ResourcePart, Result};
use rstest::rstest;
use serde_json::json;

use crate::{
    fixture::{World, code, refusal},
    library::world,
    shop::user,
};

/// Reads a resource for somebody.
pub(crate) async fn read(
    world: &World,
    principal: &Principal,
    uri: &str,
) -> Result<Reply<Vec<ResourcePart>>> {
    let request = ResourceRequest {
        uri: uri.to_owned(),
        answers: Answers::default(),
    };
    world.engine.read_resource(principal, request).await
}

#[rstest]
#[case("library://catalogue", "1 Emma")]
#[case("vault://catalogue", "1 Emma")]
#[case("library://shelf/novels", "shelf/novels")]
#[tokio::test]
async fn a_resource_is_read_by_its_address_or_a_pattern_of_it(#[case] uri: &str, #[case] text: &str) {
    let reply = read(&world(), &user(1), uri).await.unwrap();
    let [part] = reply.done().unwrap().try_into().unwrap();
    assert_eq!(part.body, ResourceBody::Text(text.to_owned()));
}

#[rstest]
#[case("library://shelf/a/b")]
#[case("library://lost")]
#[case("Library://catalogue")]
#[case("mcp-server://executions/1")]
#[case("")]
#[case("library://shelf/missing")]
#[tokio::test]
async fn what_is_at_no_address_is_not_found(#[case] uri: &str) {
    assert_eq!(code(read(&world(), &user(1), uri).await), ErrorCode::NotFound);
}

#[tokio::test]
async fn an_address_without_end_is_not_found() {
    let uri = format!("library://shelf/{}", "a".repeat(10_000));
    assert_eq!(code(read(&world(), &user(1), &uri).await), ErrorCode::NotFound);
}

#[tokio::test]
async fn a_resource_that_asks_is_read_with_the_answers() {
    let world = world();
    let uri = "library://shelf/secret";
    let reply = read(&world, &user(1), uri).await.unwrap();
    assert!(matches!(reply, Reply::Asks(questions) if questions.asked[0].0 == "confirm"));
    let answered = ResourceRequest {
        uri: uri.to_owned(),
        answers: Answers {
            given: [("confirm".to_owned(), json!({ "roots": [] }))]
                .into_iter()
                .collect(),
            state: None,
        },
    };
    let reply = world.engine.read_resource(&user(1), answered).await.unwrap();
    assert!(reply.done().is_some());
}

#[rstest]
#[case("none", ErrorCode::PluginFailed)]
#[case("huge", ErrorCode::PluginFailed)]
#[case("forbidden", ErrorCode::PluginFailed)]
#[case("panic", ErrorCode::Internal)]
#[tokio::test]
async fn e01_a_plugin_that_misbehaves_with_a_resource_fails_alone(
    #[case] shelf: &str,
    #[case] expected: ErrorCode,
) {
    let world = world();
    let (code, message) = refusal(read(&world, &user(1), &format!("library://shelf/{shelf}")).await);
    assert_eq!(code, expected);
    assert!(!message.contains("on purpose"));
    assert!(read(&world, &user(1), "library://catalogue").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn e01_a_resource_that_never_comes_is_given_up() {
    let refused = code(read(&world(), &user(1), "library://shelf/hang").await);
    assert_eq!(refused, ErrorCode::PluginTimedOut);
}

#[tokio::test]
async fn nothing_is_read_once_the_engine_is_closed() {
    let world = world();
    world.engine.close().await.unwrap();
    let refused = code(read(&world, &user(1), "library://catalogue").await);
    assert_eq!(refused, ErrorCode::Unavailable);
}
