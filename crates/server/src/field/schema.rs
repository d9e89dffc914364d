//! How the OpenAPI document describes the fields of requests and answers.

use model::PageLimit;
use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{Object, ObjectBuilder, Ref, RefOr, Schema, schema::SchemaType},
};

/// The most requests per window that a key can be limited to.
pub(crate) const MAX_RATE_LIMIT: u32 = 1_000_000_000;

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
