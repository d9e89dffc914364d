//! What a task asks in the middle of its work, and what came back.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    error::{Error, ErrorCode, Result},
    question::{Answers, Question, Questions},
};

/// The questions that a task asked last, and the answers to them.
///
/// Kept until the task asks anew or has ended: every attempt until then gets the same answers, so that nobody is
/// asked twice because an attempt failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inquiry {
    /// What was asked, with the notes of who asks.
    pub questions: Questions,
    /// The answers so far, by the keys of these questions and no others.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub given: Map<String, Value>,
    /// The keys of what the task asked before, which it can't use again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past_keys: Vec<String>,
}

impl Inquiry {
    /// The most questions that a task asks until it has ended.
    pub const MOST_QUESTIONS: usize = 256;

    /// Asks what comes after what a task asked before, if it asked anything.
    ///
    /// # Errors
    /// `PluginFailed` when a key names two questions, or there are too many of them.
    pub fn after(before: Option<&Self>, questions: Questions) -> Result<Self> {
        let failed = |message: String| Err(Error::new(ErrorCode::PluginFailed, message));
        let mut past_keys = before.map_or_else(Vec::new, |before| before.past_keys.clone());
        let last = before.into_iter().flat_map(|before| &before.questions.asked);
        past_keys.extend(last.map(|(key, _)| key.clone()));
        for (place, (key, _)) in questions.asked.iter().enumerate() {
            let mut others = questions.asked.iter().take(place).map(|(other, _)| other);
            if past_keys.contains(key) || others.any(|other| other == key) {
                return failed(format!(
                    "the plugin asked two questions of this task by the key '{key}'; each needs a key of its own"
                ));
            }
        }
        if past_keys.len().saturating_add(questions.asked.len()) > Self::MOST_QUESTIONS {
            return failed(format!(
                "the plugin asked more than {} questions",
                Self::MOST_QUESTIONS
            ));
        }
        Ok(Self {
            questions,
            given: Map::new(),
            past_keys,
        })
    }

    /// The questions that lack an answer, in the order in which they are put.
    pub fn open(&self) -> impl Iterator<Item = (&str, &Question)> {
        let asked = self.questions.asked.iter();
        asked
            .filter(|(key, _)| !self.given.contains_key(key))
            .map(|(key, question)| (key.as_str(), question))
    }

    /// Tells whether no question lacks an answer.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.open().next().is_none()
    }

    /// Takes the answers to open questions, and no others: the first answer to a question stands. Tells whether there
    /// was one.
    pub fn take(&mut self, answers: &Map<String, Value>) -> bool {
        let open = self.open().map(|(key, _)| key.to_owned());
        let new: Vec<(String, Value)> = open
            .filter_map(|key| answers.get(&key).cloned().map(|answer| (key, answer)))
            .collect();
        let is_any = !new.is_empty();
        self.given.extend(new);
        is_any
    }

    /// What the next attempt is told.
    #[must_use]
    pub fn answers(&self) -> Answers {
        Answers {
            given: self.given.clone(),
            state: self.questions.state.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::question::QuestionKind;

    fn questions(keys: &[&str]) -> Questions {
        let question = Question {
            kind: QuestionKind::Roots,
            params: Map::new(),
        };
        Questions {
            asked: keys
                .iter()
                .map(|key| ((*key).to_owned(), question.clone()))
                .collect(),
            state: Some(json!("notes")),
        }
    }

    fn answers(keys: &[&str]) -> Map<String, Value> {
        keys.iter().map(|key| ((*key).to_owned(), json!({}))).collect()
    }

    fn open(inquiry: &Inquiry) -> Vec<&str> {
        inquiry.open().map(|(key, _)| key).collect()
    }

    #[test]
    fn answers_may_come_one_by_one_and_the_first_stands() {
        let mut inquiry = Inquiry::after(None, questions(&["b", "a"])).unwrap();
        assert_eq!(open(&inquiry), ["b", "a"]);
        assert!(inquiry.take(&answers(&["a", "other"])));
        assert_eq!((open(&inquiry), inquiry.is_answered()), (vec!["b"], false));
        let mut later = answers(&["b"]);
        later.insert("a".to_owned(), json!("another"));
        assert!(inquiry.take(&later) && inquiry.is_answered());
        assert!(!inquiry.take(&later));
        assert_eq!(inquiry.answers().given, answers(&["a", "b"]));
        assert_eq!(inquiry.answers().state, Some(json!("notes")));
    }

    #[test]
    fn a_key_names_one_question_until_the_task_has_ended() {
        let first = Inquiry::after(None, questions(&["a", "b"])).unwrap();
        let second = Inquiry::after(Some(&first), questions(&["c"])).unwrap();
        assert_eq!(second.past_keys, ["a", "b"]);
        for keys in [&["a"][..], &["d", "c"], &["d", "d"]] {
            let refused = Inquiry::after(Some(&second), questions(keys)).unwrap_err();
            assert_eq!(refused.code(), ErrorCode::PluginFailed, "{keys:?}");
        }
    }

    #[test]
    fn a_task_asks_no_more_than_so_many_questions() {
        let mut last = None;
        for number in 0..Inquiry::MOST_QUESTIONS {
            let asked = questions(&[&number.to_string()]);
            last = Some(Inquiry::after(last.as_ref(), asked).unwrap());
        }
        assert!(Inquiry::after(last.as_ref(), questions(&["more"])).is_err());
    }

    #[test]
    fn it_is_kept_as_text_without_loss() {
        let first = Inquiry::after(None, questions(&["a"])).unwrap();
        let mut second = Inquiry::after(Some(&first), questions(&["b"])).unwrap();
        second.take(&answers(&["b"]));
        for inquiry in [first, second] {
            let text = serde_json::to_string(&inquiry).unwrap();
            assert_eq!(serde_json::from_str::<Inquiry>(&text).unwrap(), inquiry);
        }
    }
}
