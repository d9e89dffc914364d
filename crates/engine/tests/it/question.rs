//! Calls that ask something first, and results made of content.

use std::sync::{Arc, Mutex};

use engine::{CallRequest, Client, Engine, Executed};
use model::{
    Answers, ErrorCode, ExecutionFilter, ExecutionOutcome, LogReporter, ProgressReporter, Question,
    QuestionKind, Questions, Reply, Result,
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    library::world,
    shop::{admin, newest_first, request, user},
};

async fn call(engine: &Engine, action: &str, payload: Value, answers: Answers) -> Result<Reply<Executed>> {
    let request = CallRequest {
        answers,
        ..request("library", action, Some(payload))
    };
    engine.call(&user(1), request, &Client::default()).await
}

async fn asked(engine: &Engine, action: &str, answers: Answers) -> Questions {
    match call(engine, action, json!({}), answers).await.unwrap() {
        Reply::Asks(questions) => questions,
        Reply::Done(executed) => panic!("it asks nothing: {executed:?}"),
    }
}

fn answers(key: &str, answer: Value, state: Option<Value>) -> Answers {
    Answers {
        given: [(key.to_owned(), answer)].into_iter().collect(),
        state,
    }
}

/// The code with which the only call in the history failed.
async fn failed_with(engine: &Engine) -> String {
    let (caller, all) = (admin(), ExecutionFilter::default());
    let listed = engine.list_executions(&caller, all, newest_first(100)).await;
    match listed.unwrap().items.remove(0).outcome {
        ExecutionOutcome::Failure(failure) => failure.code,
        other @ (ExecutionOutcome::Running | ExecutionOutcome::Success(_)) => panic!("{other:?}"),
    }
}

#[rstest]
#[case("lend")]
#[case("lendAndWrite")]
#[tokio::test]
async fn a_call_that_asks_is_made_anew_with_the_answers_and_its_own_notes(#[case] action: &str) {
    let world = world();
    let first = asked(&world.engine, action, Answers::default()).await;
    let [(key, Question { kind, params })] = first.asked.as_slice() else {
        panic!("{first:?}");
    };
    assert_eq!((key.as_str(), *kind), ("copy", QuestionKind::Elicitation));
    assert_eq!(params["message"], "Which copy?");
    let second = asked(&world.engine, action, answers("copy", json!("red"), first.state)).await;
    assert_eq!(second.asked[0].0, "day");
    let last = answers("day", json!("friday"), second.state);
    let reply = call(&world.engine, action, json!({}), last).await.unwrap();
    let Reply::Done(executed) = reply else {
        panic!("{reply:?}");
    };
    let expected = json!({ "state": [1, { "copy": "red" }], "given": { "day": "friday" } });
    assert_eq!(executed.result, expected);
}

#[rstest]
#[case("lend")]
#[case("lendAndWrite")]
#[tokio::test]
async fn a_call_that_asks_is_in_the_history_as_one_that_failed_since_it_asked(#[case] action: &str) {
    let world = world();
    asked(&world.engine, action, Answers::default()).await;
    assert_eq!(failed_with(&world.engine).await, "input_required");
}

#[tokio::test]
async fn a_caller_that_cannot_be_asked_is_told_what_is_asked() {
    let world = world();
    let request = request("library", "lend", None);
    let error = world.engine.execute(&user(1), request, &Client::default()).await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InputRequired);
    let [detail] = error.details() else {
        panic!("{error:?}");
    };
    assert_eq!(
        (detail.path.as_str(), detail.message.as_str()),
        ("copy", "Which copy?")
    );
}

#[rstest]
#[case("nothing")]
#[case("twice")]
#[case("much")]
#[case("a key with spaces")]
#[tokio::test]
async fn e02_questions_outside_their_bounds_are_a_failure_of_the_plugin(#[case] how: &str) {
    let world = world();
    let replied = call(&world.engine, "ask", json!({ "how": how }), Answers::default()).await;
    assert_eq!(replied.unwrap_err().code(), ErrorCode::PluginFailed);
    assert_eq!(failed_with(&world.engine).await, "plugin_failed");
}

#[rstest]
#[case::text("content", json!({ "content": [{ "type": "text", "text": "hi" }] }), true)]
#[case::nothing("content", json!({ "content": [] }), true)]
#[case::any_structure("content", json!({ "content": [], "structuredContent": 7 }), true)]
#[case::image("content", json!({ "content": [{ "type": "image", "data": "AA==", "mimeType": "image/png" }] }), true)]
#[case::link("content", json!({ "content": [{ "type": "resource_link", "uri": "a:b", "name": "b" }] }), true)]
#[case::embedded("content", json!({ "content": [{ "type": "resource", "resource": { "uri": "a:b", "text": "" } }] }), true)]
#[case::half_an_image("content", json!({ "content": [{ "type": "image" }] }), false)]
#[case::unknown("content", json!({ "content": [{ "type": "smell" }] }), false)]
#[case::no_block("content", json!({ "content": ["hi"] }), false)]
#[case::no_content("content", json!({ "text": "hi" }), false)]
#[case::fitting("structured", json!({ "content": [], "structuredContent": { "x": 1 } }), true)]
#[case::failure("structured", json!({ "content": [], "isError": true }), true)]
#[case::misfit("structured", json!({ "content": [], "structuredContent": { "y": 1 } }), false)]
#[case::missing("structured", json!({ "content": [] }), false)]
#[tokio::test]
async fn e02_a_result_made_of_content_has_blocks_and_the_structure_that_was_promised(
    #[case] action: &str,
    #[case] result: Value,
    #[case] is_accepted: bool,
) {
    let world = world();
    let payload = json!({ "result": result });
    match call(&world.engine, action, payload, Answers::default()).await {
        Ok(reply) => assert!(is_accepted && reply.done().unwrap().result == result),
        Err(error) => {
            assert!(!is_accepted, "{error}");
            assert_eq!(error.code(), ErrorCode::PluginFailed);
        }
    }
}

#[tokio::test]
async fn the_caller_hears_what_the_plugin_says_meanwhile() {
    let world = world();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (progress, log) = (Arc::clone(&heard), Arc::clone(&heard));
    let request = CallRequest {
        progress: ProgressReporter::new(move |said| progress.lock().unwrap().push(json!(said.fraction))),
        log: LogReporter::new(move |said| log.lock().unwrap().push(json!([said.level, said.content]))),
        ..request("library", "log", None)
    };
    world
        .engine
        .call(&user(1), request, &Client::default())
        .await
        .unwrap();
    let heard = std::mem::take(&mut *heard.lock().unwrap());
    assert_eq!(heard, [json!(["notice", { "page": 1 }]), json!(0.5)]);
}
