//! How the OpenAPI document describes the fields of requests and answers.

use model::PageLimit;
use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{Object, ObjectBuilder, Ref, RefOr, Schema, schema::SchemaType},
};

/// The most requests per window that a key can be limited to.
pub(crate) const MAX_RATE_LIMIT: u32 = 1_000_000_000;

/// The longest time that one try of a task can be given, in milliseconds.
pub(crate) const MAX_TIMEOUT_MS: u64 = model::Patience::LONGEST_TIMEOUT.as_secs() * 1_000;

/// The longest cron expression, in characters.
const MAX_CRON_CHARS: usize = 256;

/// The longest name of a time zone, in characters.
const MAX_TIMEZONE_CHARS: usize = 64;

/// How long a caller can wait, as it is spelled: 0 to 60 s in milliseconds, seconds or minutes, without zeros before it.
const WAIT_PATTERN: &str =
    "^(?:(?:0|[1-9][0-9]{0,3}|[1-5][0-9]{4}|60000)(?:ms)?|(?:0|[1-9]|[1-5][0-9]|60)s|[01]m)$";

/// The most characters that a search has.
pub(crate) const MAX_SEARCH_CHARS: usize = 200;

macro_rules! described {
    ($($(#[$doc:meta])* $function:ident, $name:literal = $definition:expr;)*) => {
        $(
            $(#[$doc])*
            pub(crate) fn $function() -> Ref {
                Ref::from_schema_name($name)
            }
        )*

        /// The descriptions that the document's others refer to, by name.
        pub(crate) fn definitions() -> Map<String, Value> {
            let definitions = [$(($name, $definition),)*];
            definitions.into_iter().map(|(name, definition)| (name.to_owned(), definition)).collect()
        }
    };
}

described! {
    /// An e-mail address as a caller gives it.
    email, "EmailAddress" = json!({
        "type": "string",
        "description": "An e-mail address with letters of any script; spaces around it are removed",
        "minLength": 1,
        "maxLength": model::Email::MAX_CHARS,
        "pattern": model::Email::PATTERN,
        "examples": ["ada@example.org"],
    });
    /// A user name as a caller gives it.
    username, "UserName" = json!({
        "type": "string",
        "description": "Letters and digits of any script, dots, underscores and hyphens; begins with a letter or digit; \
                        spaces around it are removed",
        "minLength": 1,
        "maxLength": model::Username::MAX_CHARS,
        "pattern": model::Username::PATTERN,
        "examples": ["ada"],
    });
    /// A password that is to be set.
    password, "NewPassword" = json!({
        "type": "string",
        "format": "password",
        "description": "8 characters to 1,024 bytes in UTF-8; every byte counts",
        "minLength": 8,
        "maxLength": 1024,
        "examples": ["correct horse battery"],
    });
    /// A role.
    role, "Role" = json!({ "type": "string", "enum": model::Role::ALL.map(model::Role::as_str) });
    /// A key's name as its owner gives it.
    key_name, "KeyName" = json!({
        "type": "string",
        "description": "Without control characters; spaces around it are removed",
        "minLength": 1,
        "maxLength": model::KeyName::MAX_CHARS,
        "pattern": model::KeyName::PATTERN,
        "examples": ["my script"],
    });
    /// The scopes of a key.
    scopes, "Scopes" = json!({
        "type": "array",
        "description": "What a key is narrowed to; an empty list narrows nothing",
        "maxItems": model::Scopes::MAX,
        "items": { "type": "string", "maxLength": model::Scope::MAX_CHARS, "pattern": model::Scope::PATTERN },
        "examples": [["plugins:execute", "history:read"]],
    });
    /// A limit of requests.
    rate_limit, "RateLimit" = json!({
        "type": "integer",
        "description": "Requests per window, in place of the general limit",
        "minimum": 1,
        "maximum": MAX_RATE_LIMIT,
    });
    /// A plugin's name.
    plugin_name, "PluginName" = json!({
        "type": "string",
        "minLength": 1,
        "maxLength": model::PluginName::MAX_CHARS,
        "pattern": model::PluginName::PATTERN,
        "examples": ["sample"],
    });
    /// An action's name.
    action_name, "ActionName" = json!({
        "type": "string",
        "minLength": 1,
        "maxLength": model::ActionName::MAX_CHARS,
        "pattern": model::ActionName::PATTERN,
        "examples": ["echo"],
    });
    /// An identifier.
    id, "Id" = json!({
        "type": "string",
        "description": "An opaque identifier; sorts by time of creation",
        "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        "examples": ["0199c0de-0000-7000-8000-00000000abcd"],
    });
    /// A moment as a caller gives it.
    moment, "Moment" = json!({
        "type": "string",
        "format": "date-time",
        "description": "RFC 3339 with an offset, in the years 1970 to 9999",
        "examples": ["2026-12-31T23:59:59.000Z"],
    });
    /// A moment as this server gives it.
    timestamp, "Timestamp" = json!({
        "type": "string",
        "format": "date-time",
        "description": "In UTC with milliseconds",
        "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$",
        "examples": [model::Timestamp::from_millis(1_769_846_400_000)],
    });
    /// Moments in their order.
    timestamps, "Timestamps" = json!({
        "type": "array",
        "items": { "$ref": "#/components/schemas/Timestamp" },
    });
    /// What became of a call.
    status, "ExecutionStatus" = json!({ "type": "string", "enum": model::ExecutionStatus::ALL.map(model::ExecutionStatus::as_str) });
    /// Through which door a call came.
    source, "Source" = json!({ "type": "string", "enum": model::Source::ALL.map(model::Source::as_str) });
    /// What happened to an account.
    security_event_kind, "SecurityEventKind" = json!({
        "type": "string",
        "enum": model::SecurityEventKind::ALL.map(model::SecurityEventKind::as_str),
    });
    /// A JSON object of any content.
    any_object, "AnyObject" = json!({ "type": "object", "additionalProperties": true });
    /// What an account's owner keeps with it, in a request.
    new_metadata, "NewMetadata" = json!({
        "type": ["object", "null"],
        "description": "At most 16 KiB as JSON, 8 levels deep and 1,000 keys; null removes it",
        "additionalProperties": true,
    });
    /// The size of a page.
    page_limit, "PageSize" = json!({
        "type": "integer",
        "minimum": 1,
        "maximum": PageLimit::MAX,
        "default": PageLimit::default().get(),
    });
    /// A cursor.
    cursor, "Cursor" = json!({
        "type": "string",
        "description": "`page.nextCursor` of the page before, with the same filters and order",
    });
    /// The part of a name that a list is searched for.
    search, "Search" = json!({ "type": "string", "minLength": 1, "maxLength": MAX_SEARCH_CHARS });
    /// What a task is called.
    task_title, "TaskTitle" = json!({
        "type": "string",
        "description": "Without control characters, not only spaces; kept as it is given",
        "minLength": 1,
        "maxLength": model::TaskTitle::MAX_CHARS,
        "pattern": model::TaskTitle::PATTERN,
        "examples": ["Nightly report"],
    });
    /// More about a task.
    task_description, "TaskDescription" = json!({
        "type": "string",
        "description": "Without control characters but tabs and line ends, not only spaces; kept as it is given",
        "minLength": 1,
        "maxLength": model::TaskDescription::MAX_CHARS,
        "pattern": model::TaskDescription::PATTERN,
    });
    /// More about a task, or that it goes.
    new_task_description, "NewTaskDescription" = json!({
        "anyOf": [{ "$ref": "#/components/schemas/TaskDescription" }, { "type": "null" }],
        "description": "null removes it",
    });
    /// A word to find tasks by.
    tag, "Tag" = json!({
        "type": "string",
        "minLength": 1,
        "maxLength": model::Tag::MAX_CHARS,
        "pattern": model::Tag::PATTERN,
        "examples": ["reports"],
    });
    /// The tags of a task.
    tags, "Tags" = json!({
        "type": "array",
        "description": "Words to find tasks by; one that is given twice counts once",
        "maxItems": model::Tags::MOST,
        "items": { "$ref": "#/components/schemas/Tag" },
        "examples": [["reports"]],
    });
    /// Says that two tasks are the same work.
    unique_key, "UniqueKey" = json!({
        "type": "string",
        "description": "While a task of the same owner with this key is pending or in progress, no second one is made",
        "minLength": 1,
        "maxLength": model::UniqueKey::MAX_CHARS,
        "pattern": model::UniqueKey::PATTERN,
    });
    /// Where a task is on its way.
    task_status, "TaskStatus" = json!({ "type": "string", "enum": model::TaskStatus::ALL.map(model::TaskStatus::as_str) });
    /// How urgent a task is.
    priority, "Priority" = json!({
        "type": "string",
        "description": "Of tasks that are due, the more urgent start first; less urgent ones don't starve",
        "enum": model::Priority::ALL.map(model::Priority::as_str),
    });
    /// How often a task is tried again.
    retries, "Retries" = json!({
        "type": "integer",
        "minimum": 0,
        "maximum": model::Patience::MOST_RETRIES,
    });
    /// How long one try of a task may take.
    task_timeout, "TaskTimeout" = json!({
        "type": "integer",
        "description": "How long one try may take, in milliseconds; the action's own limit when it is left out",
        "minimum": 1,
        "maximum": MAX_TIMEOUT_MS,
    });
    /// How long one try of a task may take, or that the action says so.
    new_task_timeout, "NewTaskTimeout" = json!({
        "anyOf": [{ "$ref": "#/components/schemas/TaskTimeout" }, { "type": "null" }],
        "description": "null leaves it to the action's own limit",
    });
    /// A moment as a caller gives it, or none.
    new_moment, "NewMoment" = json!({
        "anyOf": [{ "$ref": "#/components/schemas/Moment" }, { "type": "null" }],
        "description": "null removes it",
    });
    /// The tasks that one depends on.
    dependencies, "Dependencies" = json!({
        "type": "array",
        "description": "Tasks of the same owner that must be completed before this one starts; \
                        it is cancelled when one of them fails or is cancelled",
        "maxItems": model::NewTask::MOST_DEPENDENCIES,
        "items": { "$ref": "#/components/schemas/Id" },
    });
    /// A cron expression.
    cron, "Cron" = json!({
        "type": "string",
        "description": "A cron expression: minute, hour, day of month, month, day of week, with seconds before them or without; \
                        or @hourly, @daily and the like",
        "minLength": 1,
        "maxLength": MAX_CRON_CHARS,
        "examples": ["30 6 * * MON-FRI"],
    });
    /// A time zone.
    timezone, "TimeZone" = json!({
        "type": "string",
        "description": "Its name in the IANA database",
        "minLength": 1,
        "maxLength": MAX_TIMEZONE_CHARS,
        "examples": ["Europe/Berlin"],
    });
    /// What happens to missed ticks.
    catch_up, "CatchUp" = json!({
        "type": "string",
        "description": "What happens to ticks that passed while the server was down: nothing, or one task for all of them together",
        "enum": model::CatchUp::ALL.map(model::CatchUp::as_str),
    });
    /// The questions that a task asks.
    questions, "Questions" = json!({
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "description": "A request of the Model Context Protocol that is to be answered: something is asked of a person, \
                            of a language model, or about which folders there are",
            "properties": {
                "method": { "type": "string", "enum": model::QuestionKind::ALL.map(model::QuestionKind::method) },
                "params": { "type": "object", "additionalProperties": true },
            },
            "required": ["method", "params"],
        },
    });
    /// Answers to what a task asks.
    task_answers, "TaskAnswers" = json!({
        "type": "object",
        "description": "By the questions' keys, the result that each question's method has",
        "additionalProperties": { "type": "object", "additionalProperties": true },
        "examples": [{ "name": { "action": "accept", "content": { "name": "Ada" } } }],
    });
    /// How long a caller waits.
    wait, "Wait" = json!({
        "type": "string",
        "description": "Up to a minute, as 15s, 500ms, 1m or in milliseconds",
        "pattern": WAIT_PATTERN,
        "default": "30s",
        "examples": ["15s"],
    });
    /// A text that must not show.
    secret, "Secret" = json!({ "type": "string", "format": "password" });
}

macro_rules! types {
    ($($(#[$doc:meta])* $type:ident = $function:ident;)*) => {$(
        $(#[$doc])*
        pub(crate) enum $type {}

        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                $function().into()
            }
        }

        impl ToSchema for $type {}
    )*};
}

types! {
    /// Stands for an identifier where a description takes a type.
    Id = id;
    /// Stands for a plugin's name where a description takes a type.
    PluginName = plugin_name;
    /// Stands for a JSON object of any content where a description takes a type.
    AnyObject = any_object;
}

/// Any JSON value.
pub(crate) fn anything() -> Object {
    ObjectBuilder::new().schema_type(SchemaType::AnyValue).build()
}
