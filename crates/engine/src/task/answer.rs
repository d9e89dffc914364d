//! Answers to what a task asks.

use model::{Detail, Error, ErrorCode, Permission, Principal, Question, QuestionKind, Result, Task, TaskId};
use serde_json::{Map, Value};

use crate::{
    ownership::{no_such_task, require_call_of},
    parts::Engine,
    principal::visible_owner,
    registry::{Excess, Extent},
};

/// How large and how deep the answers may be that come together.
const ANSWERS_EXTENT: Extent = Extent {
    bytes: 1024 * 1024,
    levels: 64,
};

/// What people can say to a question that is put to them.
const ACTIONS: [&str; 3] = ["accept", "decline", "cancel"];

impl Engine {
    /// Keeps answers to what a task asks, by the keys of its questions; gives the task as it is then. With the last
    /// answer it goes on. Some of the answers may come now and others later. What answers no open question is ignored:
    /// the first answer stands.
    ///
    /// # Errors
    /// `NotFound`; `Forbidden` without the permission to call its plugin, since the answers make it go on; `Invalid`
    /// with paths below `answers` for what can't be the answer to its question, and for more than 1 MiB or 64 levels;
    /// `Conflict` when it has asked nothing, or has ended.
    pub async fn answer_task(
        &self,
        principal: &Principal,
        id: TaskId,
        answers: Map<String, Value>,
    ) -> Result<Task> {
        principal.require(&Permission::WriteTasks)?;
        let task = self.visible_task(principal, id).await?;
        require_call_of(principal, &task)?;
        require_fitting(&task, &answers)?;
        let owner = visible_owner(principal)?;
        let now = self.parts.clock.now();
        let kept = self.waking(self.parts.store.answer_task(id, owner, &answers, now));
        let kept = kept.await?.ok_or_else(no_such_task)?;
        // What was asked is kept with its answers until the task has ended.
        if kept.inquiry.is_none() {
            let message = "the task isn't asking anything: answers are for a task that shows inputRequests";
            return Err(Error::new(ErrorCode::Conflict, message));
        }
        self.parts.queue.announce_change(id);
        Ok(kept)
    }
}

/// Refuses what can't be answers to the open questions of a task.
fn require_fitting(task: &Task, answers: &Map<String, Value>) -> Result<()> {
    let within = ANSWERS_EXTENT.holds_all(answers.values());
    within.map_err(|excess| {
        Error::invalid(
            "answers",
            match excess {
                Excess::Bytes => "must have at most 1 MiB as JSON",
                Excess::Levels => "must have at most 64 levels",
            },
        )
    })?;
    let questions = task.inquiry.iter().flat_map(|inquiry| inquiry.open());
    let mistakes = questions.filter_map(|(key, question)| {
        let message = mistake(question, answers.get(key)?)?;
        Some(Detail {
            path: format!("answers.{key}"),
            message: message.to_owned(),
        })
    });
    let mistakes: Vec<Detail> = mistakes.collect();
    if mistakes.is_empty() {
        Ok(())
    } else {
        Err(Error::invalid_fields(mistakes))
    }
}

/// Why this can't be the answer to a question.
fn mistake(question: &Question, answer: &Value) -> Option<&'static str> {
    let Some(answer) = answer.as_object() else {
        return Some("must be an object");
    };
    match question.kind {
        QuestionKind::Elicitation => {
            let action = answer.get("action").and_then(Value::as_str);
            if !action.is_some_and(|action| ACTIONS.contains(&action)) {
                return Some("must have an action: accept, decline or cancel");
            }
            let is_content_wrong = answer.get("content").is_some_and(|content| !content.is_object());
            is_content_wrong.then_some("must have an object as its content, or none")
        }
        QuestionKind::Roots => {
            let are_listed = answer.get("roots").is_some_and(Value::is_array);
            (!are_listed).then_some("must have a list of roots")
        }
        QuestionKind::Sampling => None,
    }
}
