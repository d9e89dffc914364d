//! Tasks that ask something, and the answers to them.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use model::{
    Action, ActionName, Annotations, Call, Health, Plugin, PluginName, QuestionKind, Questions, Reply,
    Result, ResultForm, Runtime, Span,
};
use serde_json::{Value, json};
use server::wire::Extras;

use super::{act, make, read, when};
use crate::{
    caller::{Caller, Person, Reply as HttpReply},
    fixture::{PATIENCE, Server},
};

/// A plugin that asks for a name and a reason, and gives back what it is told.
struct Clerk;

#[async_trait]
impl Runtime for Clerk {
    fn kind(&self) -> &'static str {
        "clerk"
    }

    fn plugins(&self) -> Vec<Plugin> {
        let ask = Action {
            name: ActionName::parse("ask").unwrap(),
            title: "ask".to_owned(),
            description: String::new(),
            input_schema: json!({ "type": "object" }),
            output_schema: None,
            result_form: ResultForm::Value,
            annotations: Annotations::REMOTE,
            span: Span::Long,
            timeout: PATIENCE,
        };
        vec![Plugin {
            name: PluginName::parse("clerk").unwrap(),
            title: "clerk".to_owned(),
            description: String::new(),
            version: "1.0.0".to_owned(),
            actions: vec![ask],
            prompts: Vec::new(),
            resources: Vec::new(),
            resource_templates: Vec::new(),
            max_concurrency: 10,
        }]
    }

    fn health(&self, _: &PluginName) -> Health {
        Health::Healthy
    }

    async fn call(&self, call: Call) -> Result<Reply<Value>> {
        if !call.answers.is_empty() {
            return Ok(Reply::Done(json!({ "told": call.answers.given })));
        }
        let params = json!({ "message": "Who, and why?" })
            .as_object()
            .cloned()
            .unwrap();
        let mut questions = Questions::one("name", QuestionKind::Elicitation, params);
        let more = Questions::one("places", QuestionKind::Roots, serde_json::Map::new());
        questions.asked.extend(more.asked);
        questions.state = Some(json!("a note that nobody sees"));
        Ok(Reply::Asks(questions))
    }
}

async fn start() -> Server {
    let clerk: Arc<dyn Runtime> = Arc::new(Clerk);
    Server::start_more(Router::new(), Extras::from(vec![clerk]), &[]).await
}

fn form() -> Value {
    json!({ "title": "a form", "plugin": "clerk", "action": "ask" })
}

async fn answer(caller: &Caller, id: &str, answers: Value) -> HttpReply {
    let path = format!("/api/v1/tasks/{id}/answers");
    caller.post(&path, json!({ "answers": answers })).await
}

/// Makes a task and waits until it asks; gives its id.
async fn asking(caller: &Caller) -> String {
    let id = make(caller, form()).await;
    let waiting = async {
        while read(caller, &id).await["inputRequests"].is_null() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    id
}

#[tokio::test]
async fn a_task_shows_what_it_asks_and_goes_on_when_all_is_answered() {
    let server = start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let id = asking(&ada.caller).await;
    let task = read(&ada.caller, &id).await;
    assert_eq!(
        task["inputRequests"],
        json!({
            "name": { "method": "elicitation/create", "params": { "message": "Who, and why?" } },
            "places": { "method": "roots/list", "params": {} },
        })
    );
    assert_eq!(
        (&task["status"], &task["attempt"]),
        (&json!("pending"), &json!(1))
    );
    assert!(!task.to_string().contains("nobody sees") && task["dueAt"].is_null());
    let name = json!({ "action": "accept", "content": { "name": "Ada" } });
    let first = answer(&ada.caller, &id, json!({ "name": name, "other": {} })).await;
    let keys: Vec<_> = first.expect(200).data()["inputRequests"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(keys, ["places"]);
    let places = json!({ "roots": [] });
    let last = answer(
        &ada.caller,
        &id,
        json!({ "places": places, "name": { "action": "cancel" } }),
    )
    .await;
    assert!(last.expect(200).data()["inputRequests"].is_null());
    let done = when(&ada.caller, &id, "completed").await;
    assert_eq!(
        done["result"],
        json!({ "told": { "name": name, "places": places } })
    );
    assert!(done["inputRequests"].is_null());
    server.stop().await;
}

#[tokio::test]
async fn what_can_not_be_an_answer_is_refused_with_its_path_and_changes_nothing() {
    let server = start().await;
    let operator = Caller::operator(&server);
    let id = asking(&operator).await;
    for (answers, path) in [
        (json!({ "name": "Ada" }), "answers.name"),
        (json!({ "name": {} }), "answers.name"),
        (json!({ "name": { "action": "shrug" } }), "answers.name"),
        (
            json!({ "name": { "action": "accept", "content": 1 } }),
            "answers.name",
        ),
        (json!({ "places": { "roots": "/" } }), "answers.places"),
        (json!([]), "answers"),
    ] {
        let refused = answer(&operator, &id, answers.clone()).await;
        let refused = refused.refused(422, "validation_failed");
        assert_eq!(refused.refused_fields(), [path], "{answers}");
    }
    let other = operator
        .post(&format!("/api/v1/tasks/{id}/answers"), json!({}))
        .await;
    other.refused(422, "validation_failed");
    assert_eq!(
        read(&operator, &id).await["inputRequests"]
            .as_object()
            .unwrap()
            .len(),
        2
    );
    server.stop().await;
}

#[tokio::test]
async fn whoever_waits_for_a_task_is_told_at_once_that_it_asks() {
    let server = start().await;
    let operator = Caller::operator(&server);
    let mut later = form();
    later["scheduledAt"] = json!("2099-01-01T00:00:00Z");
    let id = make(&operator, later).await;
    let run = act(&operator, &id, "execute?wait=30s").await.expect(202).data();
    assert!(run["inputRequests"].is_object(), "{run}");
    act(&operator, &id, "cancel").await.expect(200);
    let given = json!({ "name": { "action": "decline" }, "places": { "roots": [] } });
    answer(&operator, &id, given).await.refused(409, "conflict");
    assert_eq!(read(&operator, &id).await["status"], "cancelled");
    server.stop().await;
}

#[tokio::test]
async fn a_task_that_asks_nothing_takes_no_answers_but_one_that_was_answered_may_be_told_again() {
    let server = start().await;
    let operator = Caller::operator(&server);
    let given = json!({ "name": { "action": "decline" }, "places": { "roots": [] } });
    let mut later = form();
    later["scheduledAt"] = json!("2099-01-01T00:00:00Z");
    let unasked = make(&operator, later).await;
    let refused = answer(&operator, &unasked, given.clone()).await;
    refused.refused(409, "conflict");
    let todo = make(&operator, json!({ "title": "a to-do" })).await;
    answer(&operator, &todo, given.clone())
        .await
        .refused(409, "conflict");
    let id = asking(&operator).await;
    answer(&operator, &id, json!({ "name": given["name"] }))
        .await
        .expect(200);
    answer(&operator, &id, json!({ "name": given["name"] }))
        .await
        .expect(200);
    answer(&operator, &id, json!({ "places": given["places"] }))
        .await
        .expect(200);
    when(&operator, &id, "completed").await;
    answer(&operator, &id, given).await.refused(409, "conflict");
    server.stop().await;
}

#[tokio::test]
async fn b01_b03_another_persons_task_is_not_answered_and_answers_need_the_right_to_call_its_plugin() {
    let server = start().await;
    let (ada, eve) = (
        Person::new(&server, "ada", "user").await,
        Person::new(&server, "eve", "user").await,
    );
    let id = asking(&ada.caller).await;
    let given = json!({ "name": { "action": "decline" }, "places": { "roots": [] } });
    let foreign = answer(&eve.caller, &id, given.clone()).await;
    foreign.refused(404, "not_found");
    let (_, narrow) = ada.key(&["tasks:read", "tasks:write"]).await;
    let narrow = answer(&narrow, &id, given.clone()).await;
    narrow.refused(403, "insufficient_scope");
    assert_eq!(
        read(&ada.caller, &id).await["inputRequests"]
            .as_object()
            .unwrap()
            .len(),
        2
    );
    let (_, wide) = ada.key(&["tasks:write", "plugins:execute:clerk"]).await;
    answer(&wide, &id, given).await.expect(200);
    when(&ada.caller, &id, "completed").await;
    server.stop().await;
}
