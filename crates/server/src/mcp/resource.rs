//! Resources: those of plugins, and the caller's own tasks and calls.

mod own;

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use engine::ResourceRequest;
use model::{Answers, Error, ErrorKind, ResourceBody, ResourcePart};
use protocol::{
    CacheScope, Cached, Context, ErrorCode, Listed, Page, Reply, Resource, ResourceCall, ResourceContents,
    ResourceTemplate, RpcError,
};
use serde_json::{Map, Value, json};

use super::{
    caller::Caller,
    door::Door,
    fault::request_error,
    page::page,
    question::{self, Note},
    tool::{given, private},
};
pub(super) use own::{OWN_TEMPLATES, OwnAddress};

/// `resources/list`: those of the plugins that the caller may use, by address; then the caller's latest tasks and calls.
pub(super) async fn list(
    door: &Door,
    context: &Context<Caller>,
    wanted: &Page,
) -> Result<Cached<Listed<Resource>>, RpcError> {
    let caller = &context.caller;
    let held = door.engine().resources(caller.principal()).into_iter();
    let mut all: Vec<model::Resource> = held.map(|view| view.resource).collect();
    all.sort_unstable_by(|one, other| one.uri.cmp(&other.uri));
    let mut listed = page(&all, wanted, |resource| resource.uri.as_str(), shown)?;
    if listed.next_cursor.is_none() {
        listed.entries.extend(own::latest(door, caller).await?);
    }
    let fresh_for = Duration::ZERO;
    Ok(Cached {
        fresh_for,
        ..private(listed)
    })
}

/// `resources/templates/list`.
pub(super) fn list_templates(
    door: &Door,
    context: &Context<Caller>,
    wanted: &Page,
) -> Result<Cached<Listed<ResourceTemplate>>, RpcError> {
    let caller = &context.caller;
    let held = door.engine().resource_templates(caller.principal()).into_iter();
    let held = held.map(|view| shown_template(view.template));
    let own = OWN_TEMPLATES
        .iter()
        .filter(|template| template.is_open_to(caller));
    let own = own.map(own::OwnTemplate::describe);
    let mut all: Vec<ResourceTemplate> = held.chain(own).collect();
    all.sort_unstable_by(|one, other| one.uri_template.cmp(&other.uri_template));
    let listed = page(
        &all,
        wanted,
        |template| template.uri_template.as_str(),
        Clone::clone,
    )?;
    Ok(private(listed))
}

/// `resources/read`.
pub(super) async fn read(
    door: &Door,
    context: &Context<Caller>,
    call: ResourceCall,
) -> Result<Reply<Cached<ResourceContents>>, RpcError> {
    let caller = &context.caller;
    if let Some(address) = OwnAddress::parse(&call.uri) {
        let value = address.read(door, caller, &call.uri).await?;
        let texts = [
            ("uri", call.uri),
            ("mimeType", own::JSON.to_owned()),
            ("text", value.to_string()),
        ];
        let part = object_of(texts);
        return Ok(Reply::Done(momentary(vec![part])));
    }
    let (given, note) = question::taken(call.answers);
    let state = match note {
        Note::OfPlugin(notes) => notes,
        Note::OfTask(_) => None,
    };
    let request = ResourceRequest {
        uri: call.uri.clone(),
        answers: Answers { given, state },
    };
    let read = door.engine().read_resource(caller.principal(), request).await;
    match read.map_err(|error| refusal(&error, &call.uri))? {
        model::Reply::Done(parts) => Ok(Reply::Done(momentary(parts.into_iter().map(part).collect()))),
        model::Reply::Asks(questions) => Ok(Reply::Asks(question::of_call(questions))),
    }
}

/// What is so now, and may be otherwise in a moment.
fn momentary(parts: Vec<Map<String, Value>>) -> Cached<ResourceContents> {
    Cached {
        value: ResourceContents { contents: parts },
        fresh_for: Duration::ZERO,
        scope: CacheScope::Private,
    }
}

fn part(part: ResourcePart) -> Map<String, Value> {
    let body = match part.body {
        ResourceBody::Text(text) => ("text", text),
        ResourceBody::Blob(bytes) => ("blob", STANDARD.encode(bytes)),
    };
    let mime_type = part.mime_type.map(|name| ("mimeType", name));
    object_of([("uri", part.uri)].into_iter().chain(mime_type).chain([body]))
}

fn object_of<'k>(texts: impl IntoIterator<Item = (&'k str, String)>) -> Map<String, Value> {
    let entries = texts.into_iter();
    entries
        .map(|(key, text)| (key.to_owned(), Value::String(text)))
        .collect()
}

/// What isn't there and what the caller may not see are not told apart.
fn refusal(error: &Error, uri: &str) -> RpcError {
    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Forbidden) {
        return not_found(uri);
    }
    request_error(error)
}

fn not_found(uri: &str) -> RpcError {
    RpcError::new(ErrorCode::ResourceNotFound, "Resource not found").with_data(json!({ "uri": uri }))
}

fn shown(resource: &model::Resource) -> Resource {
    Resource {
        uri: resource.uri.clone(),
        name: resource.name.clone(),
        title: given(&resource.title),
        description: given(&resource.description),
        mime_type: resource.mime_type.clone(),
    }
}

fn shown_template(template: model::ResourceTemplate) -> ResourceTemplate {
    ResourceTemplate {
        uri_template: template.uri_template,
        name: template.name,
        title: given(&template.title),
        description: given(&template.description),
        mime_type: template.mime_type,
    }
}
