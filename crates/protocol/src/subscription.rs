//! Streams of changes: `subscriptions/listen`.

use futures_util::StreamExt as _;
use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};
use tokio_util::sync::CancellationToken;

use crate::{
    context::Context,
    error::{ErrorCode, RpcError},
    handler::{Change, Changes, Handler, SubscriptionFilter},
    jsonrpc::{Id, notification_message, result_message},
    listeners::{Crowded, Permit},
    params::take_filter,
    render::{Renderer, SubscriptionMeta},
    requirement::check_takes_tasks,
    revision::Revision,
    shared::Shared,
};

/// An open stream of changes. Holds its room until it is dropped.
pub(crate) struct Subscription {
    id: Id,
    honoured: SubscriptionFilter,
    is_acknowledged: bool,
    changes: Option<Changes>,
    stop: CancellationToken,
    server_info: Box<RawValue>,
    _room: Permit,
}

/// Why a stream wasn't opened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NotOpened {
    /// What the client is told.
    pub(crate) error: RpcError,
    /// Set when there is no room.
    pub(crate) crowded: Option<Crowded>,
}

impl From<RpcError> for NotOpened {
    fn from(error: RpcError) -> Self {
        Self { error, crowded: None }
    }
}

impl From<Crowded> for NotOpened {
    fn from(crowded: Crowded) -> Self {
        let message = match crowded {
            Crowded::Process => "the server has as many subscriptions open as it can: try again later",
            Crowded::Principal => "you have as many subscriptions open as one caller may: close one first",
        };
        Self {
            error: RpcError::new(ErrorCode::Internal, message),
            crowded: Some(crowded),
        }
    }
}

impl Subscription {
    /// Opens a stream for a request with this id and these parameters.
    pub(crate) async fn open<H: Handler>(
        shared: &Shared<H>,
        context: &Context<H::Caller>,
        id: Id,
        mut params: Map<String, Value>,
    ) -> Result<Self, NotOpened> {
        let wanted = take_filter(&mut params)?;
        if !wanted.task_ids.is_empty() {
            check_takes_tasks(&context.capabilities)?;
        }
        let room = shared
            .listeners
            .admit(shared.handler.principal_of(&context.caller))?;
        let (offered, changes) = shared.handler.listen(context, wanted.clone()).await?;
        Ok(Self {
            id,
            honoured: intersection(wanted, &offered),
            is_acknowledged: false,
            changes: Some(changes),
            stop: shared.stop.clone(),
            server_info: shared.server_info.clone(),
            _room: room,
        })
    }

    /// Waits for the next message: first the acknowledgement, then changes, at last the result. `None` after that. May be
    /// dropped and called again.
    pub(crate) async fn next(&mut self) -> Option<String> {
        if !self.is_acknowledged {
            self.is_acknowledged = true;
            return Some(self.acknowledgement());
        }
        loop {
            let changes = self.changes.as_mut()?;
            let change = tokio::select! {
                biased;
                () = self.stop.cancelled() => None,
                change = changes.next() => change,
            };
            let Some(change) = change else {
                self.changes = None;
                return self.end();
            };
            if is_wanted(&self.honoured, &change) {
                return Some(self.message(&change));
            }
        }
    }

    fn renderer(&self) -> Renderer<'_> {
        Renderer {
            revision: Revision::V2026_07_28,
            server_info: &self.server_info,
        }
    }

    fn acknowledgement(&self) -> String {
        let SubscriptionFilter {
            tools,
            prompts,
            resources,
            uris,
            task_ids,
        } = &self.honoured;
        let mut honoured = Map::new();
        let flags = [
            ("toolsListChanged", tools),
            ("promptsListChanged", prompts),
            ("resourcesListChanged", resources),
        ];
        for (key, _) in flags.into_iter().filter(|(_, is_honoured)| **is_honoured) {
            honoured.insert(key.to_owned(), json!(true));
        }
        for (key, named) in [("resourceSubscriptions", uris), ("taskIds", task_ids)] {
            if !named.is_empty() {
                honoured.insert(key.to_owned(), json!(named));
            }
        }
        let params = json!({ "_meta": self.meta(), "notifications": honoured });
        notification_message("notifications/subscriptions/acknowledged", &params)
    }

    fn message(&self, change: &Change) -> String {
        if let Change::Task(state) = change {
            let params = self.renderer().task_notice(state, &self.id);
            return notification_message("notifications/tasks", &params);
        }
        change_message(change, Some(self.meta())).unwrap_or_default()
    }

    fn end(&self) -> Option<String> {
        let result = self.renderer().end_of_subscription(&self.id).ok()?;
        Some(result_message(&self.id, &result))
    }

    fn meta(&self) -> SubscriptionMeta<'_> {
        SubscriptionMeta {
            subscription: &self.id,
        }
    }
}

/// The notification of a change of a list or a resource, in any revision; `None` for tasks.
pub(crate) fn change_message(change: &Change, meta: Option<SubscriptionMeta<'_>>) -> Option<String> {
    #[derive(Serialize)]
    struct Params<'a> {
        #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
        meta: Option<SubscriptionMeta<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        uri: Option<&'a str>,
    }

    let (method, uri) = match change {
        Change::Tools => ("notifications/tools/list_changed", None),
        Change::Prompts => ("notifications/prompts/list_changed", None),
        Change::Resources => ("notifications/resources/list_changed", None),
        Change::Resource(uri) => ("notifications/resources/updated", Some(uri.as_str())),
        Change::Task(_) => return None,
    };
    Some(notification_message(method, &Params { meta, uri }))
}

/// What of a filter is wanted and offered.
pub(crate) fn intersection(wanted: SubscriptionFilter, offered: &SubscriptionFilter) -> SubscriptionFilter {
    let SubscriptionFilter {
        tools,
        prompts,
        resources,
        mut uris,
        mut task_ids,
    } = wanted;
    uris.retain(|uri| offered.uris.contains(uri));
    task_ids.retain(|id| offered.task_ids.contains(id));
    SubscriptionFilter {
        tools: tools && offered.tools,
        prompts: prompts && offered.prompts,
        resources: resources && offered.resources,
        uris,
        task_ids,
    }
}

/// Tells whether a change is one of those that are listened for.
pub(crate) fn is_wanted(honoured: &SubscriptionFilter, change: &Change) -> bool {
    match change {
        Change::Tools => honoured.tools,
        Change::Prompts => honoured.prompts,
        Change::Resources => honoured.resources,
        Change::Resource(uri) => honoured.uris.contains(uri),
        Change::Task(state) => honoured.task_ids.contains(&state.handle.id),
    }
}
