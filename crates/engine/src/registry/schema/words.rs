//! What a schema finds wrong, in words for people.

use jsonschema::{
    JsonType, ValidationError,
    error::{TypeKind, ValidationErrorKind as Kind},
};
use model::{Detail, Error};
use serde_json::Value;

/// The most characters of a path, and of a text that a schema brings into a message.
const MAX_CHARS: usize = 200;

/// How many of an enumeration's values are named.
const MAX_CHOICES: usize = 20;

/// Adds what there is to say about one mistake.
pub(super) fn describe(mistake: &ValidationError<'_>, details: &mut Vec<Detail>) {
    let path = dotted(mistake.instance_path().as_str());
    let kind = mistake.kind();
    if let Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } = kind {
        let room = Error::MAX_DETAILS.saturating_sub(details.len());
        let names = unexpected.iter().take(room);
        details.extend(names.map(|name| detail(below(&path, name), "is not a known field")));
    } else if let Kind::Required { property } = kind {
        let name = property.as_str().unwrap_or_default();
        details.push(detail(below(&path, name), "is required"));
    } else if let Kind::AnyOf { context } | Kind::OneOfNotValid { context } = kind {
        match likely_meant(context) {
            Some(mistakes) => mistakes.iter().for_each(|inner| describe(inner, details)),
            None => details.push(detail(path, "must fit one of the forms that the schema allows")),
        }
    } else if matches!(kind, Kind::FalseSchema) && at_additional_properties(mistake) {
        // An object without any known field: the validator doesn't say which of its fields it met.
        details.push(detail(path, "must have no fields"));
    } else {
        details.push(detail(path, &complaint(kind)));
    }
}

fn at_additional_properties(mistake: &ValidationError<'_>) -> bool {
    mistake.schema_path().as_str().ends_with("/additionalProperties")
}

/// Of several allowed forms, the one that fits but for its details: all others fail at a fixed value.
fn likely_meant<'a>(forms: &'a [Vec<ValidationError<'static>>]) -> Option<&'a Vec<ValidationError<'static>>> {
    let is_other = |mistake: &ValidationError<'_>| {
        matches!(
            mistake.kind(),
            Kind::Constant { .. } | Kind::Enum { .. } | Kind::Type { .. } | Kind::FalseSchema
        )
    };
    let mut meant = forms.iter().filter(|mistakes| !mistakes.iter().any(is_other));
    let only = meant.next()?;
    meant.next().is_none().then_some(only)
}

fn complaint(kind: &Kind) -> String {
    match kind {
        Kind::Type { kind } => expected_type(kind),
        Kind::Enum { options } => one_of(options),
        Kind::Constant { expected_value } => format!("must be {}", short(expected_value)),
        Kind::Minimum { limit } => format!("must be at least {}", short(limit)),
        Kind::Maximum { limit } => format!("must be at most {}", short(limit)),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {}", short(limit)),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {}", short(limit)),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!(
            "must have at least {}",
            counted(*limit, "character", "characters")
        ),
        Kind::MaxLength { limit } => {
            format!("must have at most {}", counted(*limit, "character", "characters"))
        }
        Kind::MinItems { limit } => format!("must have at least {}", counted(*limit, "entry", "entries")),
        Kind::MaxItems { limit } => format!("must have at most {}", counted(*limit, "entry", "entries")),
        Kind::MinProperties { limit } => format!("must have at least {}", counted(*limit, "field", "fields")),
        Kind::MaxProperties { limit } => format!("must have at most {}", counted(*limit, "field", "fields")),
        Kind::Pattern { pattern } => format!("must match the pattern {}", cut(pattern)),
        Kind::Format { format } => format!("must be of the format {}", cut(format)),
        Kind::AdditionalItems { limit } => {
            format!("must have at most {}", counted(*limit as u64, "entry", "entries"))
        }
        Kind::UnevaluatedItems { .. } => "has entries that the schema doesn't know".to_owned(),
        Kind::UniqueItems => "must not hold the same entry twice".to_owned(),
        Kind::Contains => "lacks an entry that the schema asks for".to_owned(),
        Kind::PropertyNames { .. } => "has a field whose name is not accepted".to_owned(),
        Kind::OneOfMultipleValid { .. } => {
            "must fit one of the forms that the schema allows, not several".to_owned()
        }
        Kind::Not { .. } => "has a form that the schema excludes".to_owned(),
        Kind::FalseSchema => "is not accepted here".to_owned(),
        Kind::ContentEncoding { .. } | Kind::ContentMediaType { .. } | Kind::FromUtf8 { .. } => {
            "is not encoded as the schema asks".to_owned()
        }
        Kind::AdditionalProperties { .. }
        | Kind::UnevaluatedProperties { .. }
        | Kind::Required { .. }
        | Kind::AnyOf { .. }
        | Kind::OneOfNotValid { .. }
        | Kind::BacktrackLimitExceeded { .. }
        | Kind::RegexEngineFailure { .. }
        | Kind::Custom { .. }
        | Kind::Referencing(_) => "does not fit the schema".to_owned(),
    }
}

fn expected_type(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(kind) => format!("must be {}", with_article(*kind)),
        TypeKind::Multiple(kinds) => {
            let kinds: Vec<_> = kinds.iter().map(with_article).collect();
            format!("must be {}", kinds.join(" or "))
        }
    }
}

fn with_article(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "an array",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Null => "null",
        JsonType::Number => "a number",
        JsonType::Object => "an object",
        JsonType::String => "a string",
    }
}

fn one_of(options: &Value) -> String {
    let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut choices: Vec<_> = options.iter().take(MAX_CHOICES).map(short).collect();
    if options.len() > MAX_CHOICES {
        choices.push(format!("{} others", options.len() - MAX_CHOICES));
    }
    format!("must be one of {}", choices.join(", "))
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn short(value: &Value) -> String {
    value.as_str().map_or_else(|| cut(&value.to_string()), cut)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// Turns a JSON Pointer (RFC 6901) into names joined by dots.
fn dotted(pointer: &str) -> String {
    let names = pointer.split('/').skip(1);
    let names: Vec<_> = names
        .map(|name| name.replace("~1", "/").replace("~0", "~"))
        .collect();
    cut(&names.join("."))
}

fn below(path: &str, name: &str) -> String {
    let name = cut(name);
    if path.is_empty() {
        name
    } else {
        cut(&format!("{path}.{name}"))
    }
}

fn detail(path: String, message: &str) -> Detail {
    Detail {
        path,
        message: message.to_owned(),
    }
}
