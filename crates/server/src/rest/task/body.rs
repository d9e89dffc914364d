//! What callers send about tasks.

use std::{collections::BTreeMap, time::Duration};

use engine::{ScheduleRequest, ScheduleUpdate, TaskRequest, TaskUpdate};
use model::{
    ActionName, CatchUp, NewTask, PluginName, Priority, Tags, TaskDescription, TaskId, TaskStatus, TaskTitle,
    Timestamp, UniqueKey,
};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::field::{self, schema};

/// A task to be made: with a plugin and an action a worker does it, without them people do.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct CreateTask {
    #[schema(schema_with = schema::task_title)]
    title: TaskTitle,
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::task_description)]
    description: Option<TaskDescription>,
    #[serde(default)]
    #[schema(schema_with = schema::priority, required = false)]
    priority: Priority,
    #[serde(default)]
    #[schema(schema_with = schema::tags, required = false)]
    tags: Tags,
    /// Comes with an action.
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::plugin_name)]
    plugin: Option<PluginName>,
    /// Comes with a plugin.
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::action_name)]
    action: Option<ActionName>,
    /// What the action works on, as its input schema says; an empty object when left out. Anywhere in it,
    /// `{"$fromTask": "<id>", "pointer": "/a/0"}` stands for a value in the result of a task that this one depends
    /// on; without a pointer, for the whole result.
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::any_object)]
    payload: Option<Map<String, Value>>,
    /// When it may start at the earliest, up to 100 years ahead; a moment that has passed means now.
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::moment)]
    scheduled_at: Option<Timestamp>,
    /// How often it is tried again after a failure; 3 when left out.
    #[serde(default, deserialize_with = "field::retries")]
    #[schema(schema_with = schema::retries)]
    max_retries: Option<u16>,
    /// How often it may take the process down that works at it; 3 when left out.
    #[serde(default, deserialize_with = "field::retries")]
    #[schema(schema_with = schema::retries)]
    max_stalls: Option<u16>,
    #[serde(default, rename = "timeoutMs", deserialize_with = "field::timeout")]
    #[schema(schema_with = schema::task_timeout)]
    timeout: Option<Duration>,
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::unique_key)]
    unique_key: Option<UniqueKey>,
    #[serde(default, deserialize_with = "field::dependencies")]
    #[schema(schema_with = schema::dependencies, required = false)]
    depends_on: Vec<TaskId>,
    /// Makes it a recurring one: at each tick, a task with its plugin, action and payload comes of it.
    #[serde(default, deserialize_with = "field::given")]
    #[schema(nullable = false)]
    schedule: Option<NewSchedule>,
}

/// When tasks come of a recurring one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewSchedule {
    #[schema(schema_with = schema::cron)]
    cron: String,
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::timezone)]
    timezone: Option<String>,
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::catch_up)]
    catch_up: Option<CatchUp>,
}

/// Tasks to be made together: all of them or, when one can't be made, none.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateTasks {
    #[serde(deserialize_with = "some_tasks")]
    #[schema(min_items = 1, max_items = 1_000)]
    tasks: Vec<CreateTask>,
}

/// What changes of a task; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct UpdateTask {
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::task_title)]
    title: Option<TaskTitle>,
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::new_task_description)]
    description: Option<Option<TaskDescription>>,
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::priority)]
    priority: Option<Priority>,
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::tags)]
    tags: Option<Tags>,
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::any_object)]
    payload: Option<Map<String, Value>>,
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::new_moment)]
    scheduled_at: Option<Option<Timestamp>>,
    #[serde(default, deserialize_with = "field::retries")]
    #[schema(schema_with = schema::retries)]
    max_retries: Option<u16>,
    #[serde(default, deserialize_with = "field::retries")]
    #[schema(schema_with = schema::retries)]
    max_stalls: Option<u16>,
    #[serde(default, rename = "timeoutMs", deserialize_with = "field::new_timeout")]
    #[schema(schema_with = schema::new_task_timeout)]
    timeout: Option<Option<Duration>>,
    /// How far a to-do is; a worker alone moves what has a plugin.
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::task_status)]
    status: Option<TaskStatus>,
    /// Of a recurring task.
    #[serde(default, deserialize_with = "field::given")]
    #[schema(nullable = false)]
    schedule: Option<NewTimes>,
}

/// When tasks come of a recurring one from now on; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewTimes {
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::cron)]
    cron: Option<String>,
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::timezone)]
    timezone: Option<String>,
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::catch_up)]
    catch_up: Option<CatchUp>,
}

/// Answers to what a task asks.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerTask {
    #[schema(schema_with = schema::task_answers)]
    answers: BTreeMap<String, Map<String, Value>>,
}

impl AnswerTask {
    /// The answers by the questions' keys.
    pub(crate) fn into_answers(self) -> Map<String, Value> {
        let answers = self.answers.into_iter();
        answers
            .map(|(key, answer)| (key, Value::Object(answer)))
            .collect()
    }
}

impl From<CreateTask> for TaskRequest {
    fn from(body: CreateTask) -> Self {
        Self {
            title: body.title,
            description: body.description,
            priority: body.priority,
            tags: body.tags,
            plugin: body.plugin,
            action: body.action,
            payload: body.payload.map(Value::Object),
            scheduled_at: body.scheduled_at,
            max_retries: body.max_retries,
            max_stalls: body.max_stalls,
            timeout: body.timeout,
            unique_key: body.unique_key,
            depends_on: body.depends_on,
            schedule: body.schedule.map(ScheduleRequest::from),
        }
    }
}

impl From<NewSchedule> for ScheduleRequest {
    fn from(body: NewSchedule) -> Self {
        Self {
            cron: body.cron,
            timezone: body.timezone,
            catch_up: body.catch_up,
        }
    }
}

impl From<CreateTasks> for Vec<TaskRequest> {
    fn from(body: CreateTasks) -> Self {
        body.tasks.into_iter().map(TaskRequest::from).collect()
    }
}

impl From<UpdateTask> for TaskUpdate {
    fn from(body: UpdateTask) -> Self {
        Self {
            title: body.title,
            description: body.description,
            priority: body.priority,
            tags: body.tags,
            payload: body.payload.map(Value::Object),
            scheduled_at: body.scheduled_at,
            max_retries: body.max_retries,
            max_stalls: body.max_stalls,
            timeout: body.timeout,
            status: body.status,
            schedule: body.schedule.map(ScheduleUpdate::from),
        }
    }
}

impl From<NewTimes> for ScheduleUpdate {
    fn from(body: NewTimes) -> Self {
        Self {
            cron: body.cron,
            timezone: body.timezone,
            catch_up: body.catch_up,
        }
    }
}

fn some_tasks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<CreateTask>, D::Error> {
    field::so_many(deserializer, 1..=NewTask::MOST_AT_ONCE)
}
