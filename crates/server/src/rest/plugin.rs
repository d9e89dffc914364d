//! Plugins, and calling them.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use engine::{CallRequest, Engine, Executed, PluginView as Held};
use model::{
    Action, ActionName, Annotations, Answers, CallStatistics, ExecutionId, Health, LogReporter, PluginName,
    ProgressReporter, Source, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    envelope::{Envelope, List, ListEnvelope, Success},
    extract::{Json, Path},
    failure::Failure,
    field::{self, schema},
    idempotent::Idempotent,
    principal::TokenOrKey,
    request::Sender,
    rest::execution::milliseconds,
};

/// A call to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Execute {
    #[schema(schema_with = schema::plugin_name)]
    plugin: PluginName,
    #[schema(schema_with = schema::action_name)]
    action: ActionName,
    /// What the action works on, as its input schema says; an empty object when left out.
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::any_object)]
    payload: Option<Map<String, Value>>,
}

impl From<Execute> for CallRequest {
    fn from(body: Execute) -> Self {
        let Execute {
            plugin,
            action,
            payload,
        } = body;
        Self {
            plugin,
            action,
            payload: payload.map(Value::Object),
            answers: Answers::default(),
            progress: ProgressReporter::default(),
            log: LogReporter::default(),
            source: Source::Rest,
        }
    }
}

/// A call that gave a result.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExecutedView {
    /// The call's name in the history.
    #[schema(schema_with = schema::id)]
    execution_id: ExecutionId,
    #[schema(schema_with = schema::plugin_name)]
    plugin: PluginName,
    #[schema(schema_with = schema::action_name)]
    action: ActionName,
    /// What the action gave, as its output schema says.
    #[schema(schema_with = schema::anything)]
    result: Value,
    /// From its acceptance to its result: in milliseconds, to the microsecond.
    #[schema(minimum = 0.0)]
    duration: f64,
}

impl From<Executed> for ExecutedView {
    fn from(executed: Executed) -> Self {
        Self {
            execution_id: executed.id,
            plugin: executed.plugin,
            action: executed.action,
            result: executed.result,
            duration: milliseconds(executed.duration),
        }
    }
}

/// A tool that this server holds.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PluginView {
    #[schema(schema_with = schema::plugin_name)]
    name: String,
    /// Its name for people.
    title: String,
    description: String,
    version: String,
    /// What kind of plugin it is.
    #[schema(example = "builtin")]
    kind: &'static str,
    health: PluginHealthView,
    /// Whether this caller may call it.
    is_callable: bool,
    /// How many of its calls may run at once on one process.
    #[schema(minimum = 1)]
    max_concurrency: u16,
    statistics: StatisticsView,
    actions: Vec<ActionView>,
}

/// Whether a plugin can be called.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PluginHealthView {
    status: PluginHealthStatus,
    /// Why it can't be called.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
}

/// Whether a plugin can be called, in a word.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum PluginHealthStatus {
    Healthy,
    Unavailable,
}

/// One thing that a plugin can do.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ActionView {
    #[schema(schema_with = schema::action_name)]
    name: String,
    /// Its name for people.
    title: String,
    description: String,
    /// What its payload must be: JSON Schema 2020-12.
    #[schema(schema_with = schema::any_object)]
    input_schema: Value,
    /// What its result is: JSON Schema 2020-12; absent when it can be anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::any_object)]
    output_schema: Option<Value>,
    annotations: AnnotationsView,
    /// How long a call may take, in milliseconds.
    #[schema(minimum = 0.0)]
    timeout: f64,
    statistics: StatisticsView,
}

/// What an action does to the world.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AnnotationsView {
    read_only: bool,
    destructive: bool,
    idempotent: bool,
    open_world: bool,
}

/// How often something was called since the store began: by this caller, or by everyone for an admin.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StatisticsView {
    #[schema(minimum = 0)]
    calls: u64,
    #[schema(minimum = 0)]
    successes: u64,
    #[schema(minimum = 0)]
    failures: u64,
    /// In milliseconds; zero when there were no calls.
    #[schema(minimum = 0.0)]
    average_duration: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::timestamp)]
    last_called_at: Option<Timestamp>,
}

impl<'a> FromIterator<&'a CallStatistics> for StatisticsView {
    fn from_iter<I: IntoIterator<Item = &'a CallStatistics>>(all: I) -> Self {
        let mut sum = Self::default();
        let mut total = std::time::Duration::ZERO;
        for one in all {
            sum.successes += one.successes;
            sum.failures += one.failures;
            sum.last_called_at = sum.last_called_at.max(one.last_called_at);
            total = total.saturating_add(one.total_duration);
        }
        sum.calls = sum.successes + sum.failures;
        let calls = u32::try_from(sum.calls).unwrap_or(u32::MAX).max(1);
        sum.average_duration = milliseconds(total / calls);
        sum
    }
}

impl From<Held> for PluginView {
    fn from(held: Held) -> Self {
        let Held {
            plugin,
            kind,
            health,
            is_callable,
            statistics,
        } = held;
        let of = |action: &ActionName| {
            statistics
                .iter()
                .filter(move |one| one.action == *action)
                .collect()
        };
        Self {
            name: plugin.name.to_string(),
            title: plugin.title.clone(),
            description: plugin.description.clone(),
            version: plugin.version.clone(),
            kind,
            health: health.into(),
            is_callable,
            max_concurrency: plugin.max_concurrency,
            statistics: statistics.iter().collect(),
            actions: plugin
                .actions
                .iter()
                .map(|action| ActionView::new(action, of(&action.name)))
                .collect(),
        }
    }
}

impl From<Health> for PluginHealthView {
    fn from(health: Health) -> Self {
        match health {
            Health::Healthy => Self {
                status: PluginHealthStatus::Healthy,
                reason: None,
            },
            Health::Unavailable(reason) => Self {
                status: PluginHealthStatus::Unavailable,
                reason: Some(reason),
            },
        }
    }
}

impl ActionView {
    fn new(action: &Action, statistics: StatisticsView) -> Self {
        let Annotations {
            read_only,
            destructive,
            idempotent,
            open_world,
        } = action.annotations;
        Self {
            name: action.name.to_string(),
            title: action.title.clone(),
            description: action.description.clone(),
            input_schema: action.input_schema.clone(),
            output_schema: action.output_schema.clone(),
            annotations: AnnotationsView {
                read_only,
                destructive,
                idempotent,
                open_world,
            },
            timeout: milliseconds(action.timeout),
            statistics,
        }
    }
}

/// Call a plugin's action
///
/// Every call is in the history, failed and refused ones too. The payload is checked against the action's input
/// schema (422), the result against its output schema. An action that has to ask something first ends with the code
/// `input_required` and a detail for each question (409): it can be answered over MCP, or when the action is called by a
/// task.
#[utoipa::path(
    post, path = "/mcp/execute", tag = "Plugins", operation_id = "execute",
    security(("bearer" = []), ("apiKey" = [])),
    request_body(content = Execute, example = json!({
        "plugin": "sample", "action": "echo", "payload": { "message": "hello" },
    })),
    responses(
        (
            status = 200, description = "The result", body = Envelope<ExecutedView>,
            links(
                ("record" = (operation_id = "readHistory", parameters(("id" = "$response.body#/data/executionId")))),
            ),
        ),
        (status = 404), (status = 502),
    ),
    extensions(("x-repeatable" = json!(true))),
)]
pub(crate) async fn execute(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
    Sender(client): Sender,
    body: Idempotent<Json<Execute>>,
) -> Response {
    let caller = Arc::clone(&principal);
    let work = async move |Json(body): Json<Execute>| {
        let executed = engine.execute(&principal, body.into(), &client).await?;
        Ok(Success::ok(ExecutedView::from(executed)))
    };
    body.once("/mcp/execute", Some(caller), work).await
}

/// List plugins
///
/// All of them in one page, by name.
#[utoipa::path(
    get, path = "/mcp/plugins", tag = "Plugins", operation_id = "listPlugins",
    security(("bearer" = []), ("apiKey" = [])),
    responses((status = 200, description = "The plugins", body = ListEnvelope<PluginView>)),
)]
pub(crate) async fn list(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
) -> Result<List<PluginView>, Failure> {
    let plugins = engine.list_plugins(&principal).await?;
    Ok(List::whole(plugins, PluginView::from))
}

/// Read a plugin
#[utoipa::path(
    get, path = "/mcp/plugins/{name}", tag = "Plugins", operation_id = "readPlugin",
    security(("bearer" = []), ("apiKey" = [])),
    params(("name" = schema::PluginName, Path)),
    responses((status = 200, description = "The plugin", body = Envelope<PluginView>), (status = 404)),
)]
pub(crate) async fn read(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
    Path(name): Path<PluginName>,
) -> Result<Success<PluginView>, Failure> {
    let plugin = engine.plugin(&principal, &name).await?;
    Ok(Success::ok(plugin.into()))
}
