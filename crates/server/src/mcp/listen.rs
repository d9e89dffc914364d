//! Changes as they happen: of tasks, and of the resources that show them.

use std::{future, time::Duration};

use engine::TaskWatch;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use model::{ErrorKind, TaskId};
use protocol::{Change, Changes, Context, RpcError, SubscriptionFilter};
use tokio::time::timeout;

use super::{caller::Caller, door::Door, fault::request_error, resource::OwnAddress, task::TaskGlass};

/// The most things that one request can listen to; each costs a look at the store every second. As many as a session of
/// the older revisions can be subscribed to: with more it couldn't listen at all.
const MAX_WATCHED: usize = protocol::MAX_SUBSCRIPTIONS;

/// How long is listened at most. Whoever listens on shows a credential again, which may have been revoked meanwhile.
const LONGEST: Duration = Duration::from_secs(30 * 60);

type Watched = BoxStream<'static, Change>;

/// Begins to listen to what of the filter the caller may see. Lists never change while the server runs, and resources of
/// plugins don't tell when they do: both are listened to in vain.
pub(super) async fn listen(
    door: &Door,
    context: &Context<Caller>,
    filter: SubscriptionFilter,
) -> Result<(SubscriptionFilter, Changes), RpcError> {
    let caller = &context.caller;
    if filter.uris.len() + filter.task_ids.len() > MAX_WATCHED {
        let message = format!("at most {MAX_WATCHED} resources and tasks can be listened to at once");
        return Err(RpcError::invalid_params(message));
    }
    let mut watched: Vec<Watched> = Vec::new();
    let mut task_ids = Vec::new();
    for id in filter.task_ids {
        let Ok(known) = id.parse::<TaskId>() else { continue };
        if let Some(watch) = watch(door, caller, known).await? {
            watched.push(states(watch, door.glass()));
            task_ids.push(id);
        }
    }
    let mut uris = Vec::new();
    for uri in filter.uris {
        let is_there = match OwnAddress::parse(&uri) {
            Some(OwnAddress::Task { id: Some(id), .. }) => match watch(door, caller, id).await? {
                Some(watch) => {
                    watched.push(updates(watch, uri.clone()));
                    true
                }
                None => false,
            },
            Some(_) => false,
            None => is_of_plugin(door, caller, &uri),
        };
        if is_there {
            uris.push(uri);
        }
    }
    let honoured = SubscriptionFilter {
        tools: false,
        prompts: false,
        resources: false,
        uris,
        task_ids,
    };
    // Nothing more may come, but that isn't the end.
    watched.push(stream::pending().boxed());
    let changes = stream::select_all(watched).take_until(timeout(LONGEST, future::pending::<()>()));
    Ok((honoured, Box::pin(changes)))
}

/// Begins to watch a task; `None` when the caller sees no such task.
async fn watch(door: &Door, caller: &Caller, id: TaskId) -> Result<Option<TaskWatch>, RpcError> {
    match door.engine().watch_task(caller.principal(), id).await {
        Ok(watch) => Ok(Some(watch)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Forbidden) => Ok(None),
        Err(error) => Err(request_error(&error)),
    }
}

/// The task as it is, so that nothing is missed that happened before, and after each change.
fn states(watch: TaskWatch, glass: TaskGlass) -> Watched {
    let now = glass.state_of(watch.task().clone());
    let later = stream::unfold((watch, glass), |(mut watch, glass)| async move {
        let state = glass.state_of(watch.changed().await?)?;
        Some((state, (watch, glass)))
    });
    stream::iter(now)
        .chain(later)
        .map(|state| Change::Task(Box::new(state)))
        .boxed()
}

/// That the resource changed, with each change of the task that it shows.
fn updates(watch: TaskWatch, uri: String) -> Watched {
    stream::unfold((watch, uri), |(mut watch, uri)| async move {
        watch.changed().await?;
        Some((Change::Resource(uri.clone()), (watch, uri)))
    })
    .boxed()
}

/// Tells whether an address is listed by a plugin that the caller may use, or may follow one of its patterns.
fn is_of_plugin(door: &Door, caller: &Caller, uri: &str) -> bool {
    let (engine, principal) = (door.engine(), caller.principal());
    let mut listed = engine.resources(principal).into_iter();
    if listed.any(|view| view.resource.uri == uri) {
        return true;
    }
    let mut patterns = engine.resource_templates(principal).into_iter();
    patterns.any(|view| {
        let fixed = view
            .template
            .uri_template
            .split('{')
            .next()
            .unwrap_or_default()
            .to_owned();
        uri.starts_with(&fixed)
    })
}
