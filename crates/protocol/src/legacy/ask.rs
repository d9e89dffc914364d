//! Questions to a client of the older revisions: which of them it can be asked, and how.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{Said, session::Session};
use crate::{
    error::{ErrorCode, RpcError},
    handler::Handler,
    jsonrpc::{self, Id},
    question::{Answers, Question, QuestionKind, Questions},
    requirement::check_answerable,
    revision::Revision,
    sessions::{ClientAnswer, Weight},
    shared::Shared,
};

/// Asks the client of one session, in the stream of one of its requests.
pub(crate) struct Asker<'a, H> {
    /// What serves the session.
    pub(crate) shared: &'a Shared<H>,
    /// Whose client is asked.
    pub(crate) session: &'a Session,
    /// Leads to the client; `None` when nothing can be said to it before the result.
    pub(crate) said: Option<&'a mpsc::Sender<Said>>,
}

/// A question that was put.
struct Put {
    key: String,
    id: String,
    method: &'static str,
    answer: oneshot::Receiver<ClientAnswer>,
}

impl<H: Handler> Asker<'_, H> {
    /// Puts all questions at once, and waits for all answers.
    ///
    /// # Errors
    /// `MissingCapability` before anything is asked when the client can't answer one of them; `Internal` when it refuses one,
    /// takes too long, or the server stops.
    pub(crate) async fn ask(&self, questions: Questions) -> Result<Answers, RpcError> {
        check_answerable(&questions, &self.session.capabilities)?;
        let adapted = questions.asked.into_iter().map(|(key, question)| {
            let (kind, params) = adapt(self.session.revision, question)?;
            Ok((key, kind, params))
        });
        let adapted = adapted.collect::<Result<Vec<_>, RpcError>>()?;
        let Some(said) = self.said else {
            return Err(RpcError::new(
                ErrorCode::InvalidRequest,
                "this asks its client something: accept `text/event-stream`",
            ));
        };
        let mut put = VecDeque::with_capacity(adapted.len());
        let given = self.gather(said, adapted, &mut put).await;
        if given.is_err() {
            // What came to grief with one question makes the others pointless.
            for question in put {
                withdraw(said, &question.id, "the request has failed").await?;
            }
        }
        let state = questions.state;
        Ok(Answers { given: given?, state })
    }

    /// Puts questions, and waits for their answers; leaves in `put` those that it no longer waits for.
    async fn gather(
        &self,
        said: &mpsc::Sender<Said>,
        questions: Vec<(String, QuestionKind, Map<String, Value>)>,
        put: &mut VecDeque<Put>,
    ) -> Result<Map<String, Value>, RpcError> {
        for (key, kind, params) in questions {
            put.push_back(self.put(said, key, kind, &params).await?);
        }
        let until = Instant::now() + self.shared.limits.answers_within;
        let mut given = Map::new();
        while let Some(question) = put.pop_front() {
            let (key, result) = self.wait(said, question, until).await?;
            given.insert(key, Value::Object(result));
        }
        Ok(given)
    }

    async fn put(
        &self,
        said: &mpsc::Sender<Said>,
        key: String,
        kind: QuestionKind,
        params: &Map<String, Value>,
    ) -> Result<Put, RpcError> {
        let id = format!("{:032x}", (self.shared.random)());
        let asked = self.shared.sessions.ask(self.session.key, &id).await;
        let answer = asked.map_err(|full| RpcError::new(ErrorCode::Internal, full.to_string()))?;
        let message = jsonrpc::request_message(&Id::Text(id.clone()), kind.method(), params);
        say(said, message).await?;
        let method = kind.method();
        Ok(Put {
            key,
            id,
            method,
            answer,
        })
    }

    async fn wait(
        &self,
        said: &mpsc::Sender<Said>,
        question: Put,
        until: Instant,
    ) -> Result<(String, Map<String, Value>), RpcError> {
        let Put {
            key,
            id,
            method,
            answer,
        } = question;
        let answered = async {
            tokio::select! {
                answered = answer => answered.map_err(|_| "the session was ended"),
                () = self.shared.stop.cancelled() => Err("the server stops"),
            }
        };
        let answered = tokio::time::timeout_at(until, answered).await;
        let why = match answered.unwrap_or(Err("the client did not answer in time")) {
            Ok(ClientAnswer::Result(result)) => return Ok((key, result)),
            Ok(ClientAnswer::Refused(why)) => {
                let message = format!("the client refused `{method}`: {why}");
                return Err(RpcError::new(ErrorCode::Internal, message));
            }
            Err(why) => why,
        };
        withdraw(said, &id, why).await?;
        Err(RpcError::new(ErrorCode::Internal, format!("`{method}`: {why}")))
    }
}

/// Tells the client that a question needs no answer any more.
async fn withdraw(said: &mpsc::Sender<Said>, id: &str, why: &str) -> Result<(), RpcError> {
    let withdrawal = json!({ "requestId": id, "reason": why });
    say(
        said,
        jsonrpc::notification_message("notifications/cancelled", &withdrawal),
    )
    .await
}

async fn say(said: &mpsc::Sender<Said>, message: String) -> Result<(), RpcError> {
    let said = said.send(Said {
        weight: Weight::Message,
        message: Bytes::from(message),
    });
    said.await.map_err(|_| RpcError::internal())
}

/// Puts a question as the session's revision has it; refuses one that it hasn't got.
fn adapt(revision: Revision, question: Question) -> Result<(QuestionKind, Map<String, Value>), RpcError> {
    let Question { kind, mut params } = question;
    let (since, part) = match kind {
        QuestionKind::Elicitation => {
            let is_url = params.get("mode").and_then(Value::as_str) == Some("url");
            if revision < Revision::V2025_11_25 && !is_url {
                params.remove("mode");
            }
            match is_url {
                true => (Revision::V2025_11_25, json!({ "url": {} })),
                false => (Revision::V2025_06_18, json!({})),
            }
        }
        QuestionKind::Sampling if params.contains_key("tools") => {
            (Revision::V2025_11_25, json!({ "tools": {} }))
        }
        QuestionKind::Sampling | QuestionKind::Roots => (Revision::V2025_03_26, json!({})),
    };
    if revision < since {
        let required = Map::from_iter([(kind.capability().to_owned(), part)]);
        return Err(RpcError::missing_capabilities(required));
    }
    Ok((kind, params))
}
