//! Which tasks a list holds.

use model::{PluginName, Priority, Tag, TaskFilter, TaskId, TaskStatus, Timestamp, UserId};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    extract::ListQuery,
    field::{self, TimeOrder, schema},
};

pub(crate) type TaskListQuery = ListQuery<TimeOrder, TaskListFilter>;

/// Which tasks a list holds.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct TaskListFilter {
    /// Only tasks with this status.
    #[serde(default, deserialize_with = "field::given")]
    #[param(schema_with = schema::task_status, required = false)]
    status: Option<TaskStatus>,
    /// Only tasks with this priority.
    #[serde(default, deserialize_with = "field::given")]
    #[param(schema_with = schema::priority, required = false)]
    priority: Option<Priority>,
    /// Only tasks of this plugin.
    #[serde(default, deserialize_with = "field::given")]
    #[param(schema_with = schema::plugin_name, required = false)]
    plugin: Option<PluginName>,
    /// Only tasks with this tag.
    #[serde(default, deserialize_with = "field::given")]
    #[param(schema_with = schema::tag, required = false)]
    tag: Option<Tag>,
    /// Only those whose title or description contains this text, whatever the case of its ASCII letters.
    #[serde(default, deserialize_with = "field::search")]
    #[param(schema_with = schema::search, required = false)]
    q: Option<String>,
    /// Only tasks scheduled before this moment.
    #[serde(default, deserialize_with = "field::given")]
    #[param(schema_with = schema::moment, required = false)]
    scheduled_before: Option<Timestamp>,
    /// Only tasks scheduled at or after this moment.
    #[serde(default, deserialize_with = "field::given")]
    #[param(schema_with = schema::moment, required = false)]
    scheduled_after: Option<Timestamp>,
    /// Only recurring tasks, or only others.
    #[serde(default, deserialize_with = "field::given")]
    #[param(nullable = false)]
    recurring: Option<bool>,
    /// Only what came of this recurring task.
    #[serde(default, deserialize_with = "field::given")]
    #[param(schema_with = schema::id, required = false)]
    schedule_id: Option<TaskId>,
    /// Only this account's tasks; for admins.
    #[serde(default, deserialize_with = "field::given")]
    #[param(schema_with = schema::id, required = false)]
    user_id: Option<UserId>,
}

impl From<TaskListFilter> for TaskFilter {
    fn from(query: TaskListFilter) -> Self {
        let TaskListFilter {
            status,
            priority,
            plugin,
            tag,
            q,
            scheduled_before,
            scheduled_after,
            recurring,
            schedule_id,
            user_id,
        } = query;
        Self {
            user_id,
            status,
            priority,
            plugin,
            tag,
            q,
            scheduled_before,
            scheduled_after,
            recurring,
            schedule_id,
        }
    }
}
