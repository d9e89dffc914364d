//! Payloads that refer to results of earlier tasks.
//!
//! Anywhere in a payload, the object `{"$fromTask": "<id>", "pointer": "/a/0"}` stands for a value in the result of
//! a task that must be among those that this one depends on. The pointer is a JSON pointer (RFC 6901); without one,
//! the whole result is meant.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    io,
};

use model::{Error, Result, Task, TaskId};
use serde_json::{Map, Value};

use crate::{
    parts::Engine,
    registry::{Excess, Extent},
};

/// The field by which an object is a reference.
const TASK: &str = "$fromTask";

/// The field that says which part of the result is meant.
const POINTER: &str = "pointer";

/// The most characters of a pointer.
const MOST_POINTER_CHARS: usize = 1_000;

/// The most characters of a path or a pointer that a message shows.
const MOST_SHOWN_CHARS: usize = 200;

/// How large and how deep a payload may become by what it refers to: as a result may be.
const RESOLVED_EXTENT: Extent = Extent {
    bytes: 8 * 1024 * 1024,
    levels: 64,
};

/// A place in a payload that stands for a value of a result.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reference {
    /// The task whose result is meant.
    pub(super) task: TaskId,
    /// Which part of it; empty for the whole.
    pointer: String,
}

/// Finds every reference of a payload of bounded depth, and its path as error details name it.
///
/// # Errors
/// `Invalid` with the path of an object that has the field `$fromTask` and is no reference.
pub(super) fn read_references(payload: &Value) -> Result<Vec<(String, Reference)>> {
    let mut walk = Walk::default();
    walk.enter(payload)?;
    Ok(walk.found)
}

/// Gives the payload of a claimed job, with each reference replaced by what it refers to.
///
/// # Errors
/// `Invalid` with paths below `payload` when a reference leads nowhere, or too much comes together: another try
/// would not help. Those of the store.
pub(super) async fn resolve_references(engine: &Engine, task: &Task) -> Result<Value> {
    let Some(job) = &task.job else {
        return Err(Error::bug("a task without a job was claimed"));
    };
    let mut payload = job.payload.clone();
    if task.depends_on.is_empty() {
        return Ok(payload);
    }
    let references = read_references(&payload).map_err(|error| error.under("payload"))?;
    if references.is_empty() {
        return Ok(payload);
    }
    let values = Values::collect(engine, task, references).await?;
    values.put_into(&mut payload);
    RESOLVED_EXTENT.holds(&payload).map_err(|excess| {
        let message = match excess {
            Excess::Levels => "has more than 64 levels with what it refers to",
            Excess::Bytes => "has more than 8 MiB with what it refers to",
        };
        Error::invalid("payload", message)
    })?;
    Ok(payload)
}

impl Reference {
    /// Reads an object as a reference; gives `None` for an object that is none.
    fn of(fields: &Map<String, Value>) -> Result<Option<Self>> {
        let Some(task) = fields.get(TASK) else {
            return Ok(None);
        };
        let task = task.as_str().and_then(|text| text.parse().ok());
        let task = task.ok_or_else(|| Error::invalid(TASK, "must be the id of a task"))?;
        if let Some(other) = fields
            .keys()
            .find(|name| !matches!(name.as_str(), TASK | POINTER))
        {
            let message = "is not known here: a reference has $fromTask and pointer only";
            return Err(Error::invalid(shown(other), message));
        }
        let pointer = match fields.get(POINTER) {
            None => String::new(),
            Some(Value::String(pointer)) if pointer.chars().nth(MOST_POINTER_CHARS).is_some() => {
                return Err(Error::invalid(POINTER, "must have at most 1,000 characters"));
            }
            Some(Value::String(pointer)) if is_pointer(pointer) => pointer.clone(),
            Some(_) => {
                return Err(Error::invalid(
                    POINTER,
                    "must be a JSON pointer, such as /rows/0/name",
                ));
            }
        };
        Ok(Some(Self { task, pointer }))
    }
}

/// A walk through a payload.
#[derive(Default)]
struct Walk<'a> {
    /// Where it is. Written out only where something is found: most payloads refer to nothing.
    place: Vec<Step<'a>>,
    found: Vec<(String, Reference)>,
}

/// From a value to one inside it.
enum Step<'a> {
    Name(&'a str),
    Number(usize),
}

impl<'a> Walk<'a> {
    fn enter(&mut self, value: &'a Value) -> Result<()> {
        match value {
            Value::Object(fields) => {
                let reference = Reference::of(fields).map_err(|error| self.at_place(error))?;
                if let Some(reference) = reference {
                    self.found.push((self.path(), reference));
                    return Ok(());
                }
                for (name, field) in fields {
                    self.step(Step::Name(name), field)?;
                }
            }
            Value::Array(entries) => {
                for (number, entry) in entries.iter().enumerate() {
                    self.step(Step::Number(number), entry)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        Ok(())
    }

    fn step(&mut self, step: Step<'a>, value: &'a Value) -> Result<()> {
        self.place.push(step);
        self.enter(value)?;
        self.place.pop();
        Ok(())
    }

    fn path(&self) -> String {
        let steps = self.place.iter().map(|step| match step {
            Step::Name(name) => shown(name).into_owned(),
            Step::Number(number) => number.to_string(),
        });
        shown(&steps.collect::<Vec<_>>().join(".")).into_owned()
    }

    fn at_place(&self, error: Error) -> Error {
        if self.place.is_empty() {
            return error;
        }
        error.under(&self.path())
    }
}

/// What the references of one payload stand for.
struct Values(HashMap<Reference, Value>);

impl Values {
    /// Looks up each task that is referred to, one after the other, and keeps of its result what is asked for: never
    /// more in all than a payload may hold, and one whole result.
    async fn collect(engine: &Engine, task: &Task, references: Vec<(String, Reference)>) -> Result<Self> {
        let mut uses: BTreeMap<TaskId, HashMap<String, Uses>> = BTreeMap::new();
        for (path, reference) in references {
            let of_task = uses.entry(reference.task).or_default();
            let pointer = of_task
                .entry(reference.pointer)
                .or_insert(Uses { path, count: 0 });
            pointer.count += 1;
        }
        let mut values = HashMap::new();
        let mut left = RESOLVED_EXTENT.bytes;
        for (id, pointers) in uses {
            let mut result = find_result(engine, task, id, &pointers).await?;
            for (pointer, Uses { path, count }) in pointers {
                let refuse = |message: String| Error::invalid(in_payload(&path), message);
                let value = result.pointer_mut(&pointer).ok_or_else(|| {
                    refuse(format!(
                        "refers to {:?} in the result of task {id}, where nothing is",
                        shown(&pointer)
                    ))
                })?;
                let size = size_up_to(value, left / count)
                    .ok_or_else(|| refuse("makes the payload larger than 8 MiB".to_owned()))?;
                left -= size * count;
                values.insert(Reference { task: id, pointer }, value.clone());
            }
        }
        Ok(Self(values))
    }

    fn put_into(&self, value: &mut Value) {
        if let Value::Object(fields) = value
            && let Ok(Some(reference)) = Reference::of(fields)
        {
            *value = self.0.get(&reference).cloned().unwrap_or_default();
            return;
        }
        match value {
            Value::Object(fields) => fields.values_mut().for_each(|field| self.put_into(field)),
            Value::Array(entries) => entries.iter_mut().for_each(|entry| self.put_into(entry)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// How often one part of a result is referred to.
struct Uses {
    /// Where first.
    path: String,
    count: usize,
}

/// The result of a task that another depends on.
async fn find_result(
    engine: &Engine,
    dependent: &Task,
    id: TaskId,
    pointers: &HashMap<String, Uses>,
) -> Result<Value> {
    let path = pointers.values().map(|uses| uses.path.as_str()).min();
    let refuse = |message: String| Error::invalid(in_payload(path.unwrap_or_default()), message);
    if !dependent.depends_on.contains(&id) {
        return Err(refuse(format!(
            "refers to task {id}, which is not one of dependsOn"
        )));
    }
    let found = engine.parts.store.find_task(id, dependent.user_id).await?;
    let found = found.filter(|task| task.user_id == dependent.user_id);
    let found = found.ok_or_else(|| refuse(format!("refers to task {id}, which is gone")))?;
    let status = found.standing.status.as_str();
    found.result.ok_or_else(|| {
        refuse(format!(
            "refers to task {id}, which is {status} and has no result"
        ))
    })
}

/// The bytes of a value's text; `None` when they are more than `most`.
fn size_up_to(value: &Value, most: usize) -> Option<usize> {
    let mut counter = Counter { left: most };
    serde_json::to_writer(&mut counter, value).ok()?;
    Some(most - counter.left)
}

/// Counts bytes down, and then fails.
struct Counter {
    left: usize,
}

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left.checked_sub(bytes.len());
        self.left = left.ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Tells whether a text is a JSON pointer (RFC 6901 §3).
fn is_pointer(text: &str) -> bool {
    let is_rooted = text.is_empty() || text.starts_with('/');
    is_rooted && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

/// What a message shows of a text that may be long.
fn shown(text: &str) -> Cow<'_, str> {
    match text.chars().nth(MOST_SHOWN_CHARS) {
        Some(_) => Cow::Owned(text.chars().take(MOST_SHOWN_CHARS).chain(['…']).collect()),
        None => Cow::Borrowed(text),
    }
}

/// The path of something in the payload.
pub(super) fn in_payload(path: &str) -> String {
    if path.is_empty() {
        "payload".to_owned()
    } else {
        format!("payload.{path}")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    const ID: &str = "0199c0de-0000-7000-8000-00000000abcd";

    fn paths(payload: &Value) -> Vec<String> {
        let found = read_references(payload).unwrap();
        found.into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn references_are_found_wherever_they_stand_in_the_order_of_the_payload() {
        let reference = json!({ "$fromTask": ID });
        let payload = json!({ "a": [1, reference, { "b": reference }], "c": reference, "d": "$fromTask" });
        assert_eq!(paths(&payload), ["a.1", "a.2.b", "c"]);
        assert_eq!(paths(&reference), [""]);
    }

    #[test]
    fn c08_names_with_a_dollar_sign_are_names_like_any_other() {
        let payload =
            json!({ "$set": { "$from": 1, "a.b": { "": null, "__proto__": {} } }, "$fromtask": ID });
        assert!(paths(&payload).is_empty());
    }

    #[rstest]
    #[case(json!({ "$fromTask": 7 }), "a.0.$fromTask")]
    #[case(json!({ "$fromTask": "7" }), "a.0.$fromTask")]
    #[case(json!({ "$fromTask": ID.to_uppercase() }), "a.0.$fromTask")]
    #[case(json!({ "$fromTask": ID, "more": 1 }), "a.0.more")]
    #[case(json!({ "$fromTask": ID, "pointer": 1 }), "a.0.pointer")]
    #[case(json!({ "$fromTask": ID, "pointer": "a" }), "a.0.pointer")]
    #[case(json!({ "$fromTask": ID, "pointer": "/a~2" }), "a.0.pointer")]
    #[case(json!({ "$fromTask": ID, "pointer": "/~" }), "a.0.pointer")]
    #[case(json!({ "$fromTask": ID, "pointer": format!("/{}", "é".repeat(1_000)) }), "a.0.pointer")]
    fn c08_what_is_nearly_a_reference_is_refused_with_its_path(#[case] object: Value, #[case] path: &str) {
        let refused = read_references(&json!({ "a": [object] })).unwrap_err();
        assert_eq!(refused.details()[0].path, path);
    }

    #[test]
    fn a_pointer_may_have_a_thousand_characters() {
        let pointer = format!("/{}", "é".repeat(999));
        assert_eq!(paths(&json!({ "$fromTask": ID, "pointer": pointer })), [""]);
    }

    #[test]
    fn of_long_names_a_message_shows_the_beginning() {
        let name = "é".repeat(100_000);
        let refused = read_references(&json!({ &name: { "$fromTask": ID, &name: 1 } })).unwrap_err();
        assert!(refused.details()[0].path.chars().count() < 500);
        let found = paths(&json!({ &name: { &name: { "$fromTask": ID } } }));
        assert_eq!(found, [format!("{}…", "é".repeat(200))]);
    }

    #[test]
    fn a_size_is_counted_up_to_its_limit() {
        let value = json!({ "a": [1, "é\n"] });
        let size = value.to_string().len();
        assert_eq!(size_up_to(&value, size), Some(size));
        assert_eq!(size_up_to(&value, size - 1), None);
    }
}
