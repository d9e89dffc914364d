//! Reading the arguments of the server's own tools: what is wrong with them is told by name, all of it at once.

use model::{Detail, Error, Result, TaskId, TaskTitle};
use serde_json::{Map, Value};

use super::{LONGEST_WAIT, USUAL_WAIT};

/// The most unknown arguments that are named.
const MAX_NAMED: usize = 8;

/// The most characters of an unknown argument's name that are repeated.
const MAX_NAME_CHARS: usize = 64;

/// Arguments that are read one by one.
pub(super) struct Arguments {
    left: Map<String, Value>,
    wrong: Vec<Detail>,
}

impl Arguments {
    /// Reads what a tool works on: `take` takes each argument that the tool has, and what is left then is refused.
    ///
    /// # Errors
    /// `Invalid` with a detail for each argument that isn't acceptable.
    pub(super) fn read<T>(
        arguments: Map<String, Value>,
        take: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Result<T> {
        let mut reading = Self {
            left: arguments,
            wrong: Vec::new(),
        };
        let taken = take(&mut reading);
        let unknown: Vec<String> = reading.left.keys().take(MAX_NAMED).cloned().collect();
        for name in unknown {
            let shown: String = name.chars().take(MAX_NAME_CHARS).collect();
            reading.refuse(&shown, "is not an argument of this tool");
        }
        match taken {
            Some(taken) if reading.wrong.is_empty() => Ok(taken),
            Some(_) | None => Err(Error::invalid_fields(reading.wrong)),
        }
    }

    /// `taskId`, which must be there.
    pub(super) fn task_id(&mut self) -> Option<TaskId> {
        let given = self.left.remove("taskId");
        let id = given
            .as_ref()
            .and_then(Value::as_str)
            .and_then(|id| id.parse().ok());
        if id.is_none() {
            self.refuse("taskId", "must be the id of a task, as tasks__submit gives it");
        }
        id
    }

    /// `seconds`; as many as usual when it isn't there.
    pub(super) fn seconds(&mut self) -> Option<u64> {
        let Some(given) = self.left.remove("seconds") else {
            return Some(USUAL_WAIT);
        };
        let seconds = given
            .as_u64()
            .filter(|seconds| (1..=LONGEST_WAIT).contains(seconds));
        if seconds.is_none() {
            let message = format!("must be a whole number from 1 to {LONGEST_WAIT}");
            self.refuse("seconds", message);
        }
        seconds
    }

    /// `tool`, which must be there.
    pub(super) fn tool(&mut self) -> Option<String> {
        if let Some(Value::String(tool)) = self.left.remove("tool") {
            return Some(tool);
        }
        self.refuse("tool", "must be the name of a tool, as tools/list shows it");
        None
    }

    /// `arguments`; none when it isn't there.
    pub(super) fn arguments(&mut self) -> Option<Map<String, Value>> {
        match self.left.remove("arguments") {
            None => Some(Map::new()),
            Some(Value::Object(arguments)) => Some(arguments),
            Some(_) => {
                self.refuse("arguments", "must be an object");
                None
            }
        }
    }

    /// `title`; `Some(None)` when it isn't there.
    pub(super) fn title(&mut self) -> Option<Option<TaskTitle>> {
        let Some(given) = self.left.remove("title") else {
            return Some(None);
        };
        let title = given.as_str().and_then(|title| TaskTitle::parse(title).ok());
        if title.is_none() {
            self.refuse("title", "must be a text of 1 to 200 characters, in one line");
        }
        title.map(Some)
    }

    fn refuse(&mut self, name: &str, message: impl Into<String>) {
        self.wrong.push(Detail {
            path: name.to_owned(),
            message: message.into(),
        });
    }
}
