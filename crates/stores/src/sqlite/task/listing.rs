//! Lists of tasks.

use model::{
    Direction, Page, PageRequest, Position, SortValue, Task, TaskFilter, TaskId, TaskSort, TaskStatus,
};
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};

use super::row::find;
use crate::{
    paging::{Filling, foreign_position, to_page},
    sqlite::{
        column::{Id, Status, Urgency, to_count},
        failure::Outcome,
        paging::Selection,
    },
};

/// How many tasks that are scheduled for a time are sorted at most; of more, those that fit are looked for by id.
const MOST_SORTED: u64 = 10_000;

/// Lists tasks by id, which is the order of creation.
///
/// A list reads the index that fits its filter best, and looks at the rows for the rest. Totals are sums of
/// counters where the counters know what the filter asks for; else the rows are counted.
pub(super) fn list(
    connection: &Connection,
    filter: &TaskFilter,
    request: &PageRequest<TaskSort>,
) -> Outcome<Page<Task>> {
    let TaskSort::CreatedAt = request.sort.field;
    let position = |last: &Task| Position {
        value: SortValue::Id,
        id: last.id.as_uuid(),
    };
    if request
        .after
        .as_ref()
        .is_some_and(|after| after.value != SortValue::Id)
    {
        return Err(foreign_position().into());
    }
    let Some(query) = Query::of(connection, filter)? else {
        return Ok(to_page(Vec::new(), request.limit, 0, position));
    };
    let total = query.count()?;
    let wanted = u64::from(request.limit.get()).saturating_add(1);
    // On the first page it is known how many there are, and so when to stop looking.
    let wanted = if request.after.is_none() {
        wanted.min(total)
    } else {
        wanted
    };
    let tasks = query.select(request, wanted)?;
    Ok(tasks.into_page(request.limit, total, position))
}

struct Query<'a> {
    connection: &'a Connection,
    filter: &'a TaskFilter,
    /// The number of the plugin that the filter names.
    lane: Option<i64>,
}

impl<'a> Query<'a> {
    /// Gives none when there can't be such a task, since its plugin never had one.
    fn of(connection: &'a Connection, filter: &'a TaskFilter) -> rusqlite::Result<Option<Self>> {
        let mut query = Self {
            connection,
            filter,
            lane: None,
        };
        if let Some(plugin) = &filter.plugin {
            query.lane = connection
                .prepare_cached("SELECT id FROM task_lane WHERE plugin = ?1")?
                .query_row([plugin.as_str()], |row| row.get(0))
                .optional()?;
            if query.lane.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(query))
    }

    /// All that the filter asks of a task `t`.
    fn selection(&self) -> Selection {
        let filter = self.filter;
        let text = filter.q.as_ref().map(|text| text.to_ascii_lowercase());
        let tag = filter.tag.as_ref().map(|tag| tag.as_str().to_owned());
        let tag_text = tag.as_ref().and_then(|tag| serde_json::to_string(tag).ok());
        Selection::all()
            .with_some("t.user_id = ?", self.user())
            .with_some(
                "t.status = ?",
                filter.status.map(|status| Status(status).number()),
            )
            .with_some("t.stage = ?", filter.status.map(|status| Status(status).stage()))
            .with_some(
                "t.priority = ?",
                filter.priority.map(|priority| Urgency(priority).number()),
            )
            .with_some("t.lane = ?", self.lane)
            .with_some(
                "t.schedule_id = ?",
                filter.schedule_id.map(|id| id.as_uuid().as_bytes().to_vec()),
            )
            .with_some(
                "t.scheduled_at < ?",
                filter.scheduled_before.map(|at| at.as_millis()),
            )
            .with_some(
                "t.scheduled_at >= ?",
                filter.scheduled_after.map(|at| at.as_millis()),
            )
            .with_some("(t.kind = 2) = ?", filter.recurring)
            // Quick to tell of most tasks, and not enough: a tag can look like what stands between two others.
            .with_some("instr(t.tags, ?) > 0", tag_text)
            .with_some(
                "EXISTS (SELECT 1 FROM json_each(t.tags) j WHERE j.value = ?)",
                tag,
            )
            .with_some(
                "(instr(lower(t.title), ?) > 0 OR instr(lower(coalesce(t.description, '')), ?) > 0)",
                text,
            )
    }

    fn user(&self) -> Option<Vec<u8>> {
        self.filter.user_id.map(|id| id.as_uuid().as_bytes().to_vec())
    }

    /// Whether the filter asks for nothing but what tasks are counted by.
    fn is_counted(&self) -> bool {
        let filter = self.filter;
        filter.tag.is_none()
            && filter.q.is_none()
            && filter.scheduled_before.is_none()
            && filter.scheduled_after.is_none()
            && filter.schedule_id.is_none()
            && filter.recurring.is_none()
    }

    fn count(&self) -> rusqlite::Result<u64> {
        let (sql, selection) = if self.is_counted() {
            let sorts = Selection::all()
                .with_some("user_id = ?", self.user())
                .with_some(
                    "status = ?",
                    self.filter.status.map(|status| Status(status).number()),
                )
                .with_some(
                    "priority = ?",
                    self.filter.priority.map(|priority| Urgency(priority).number()),
                )
                .with_some("lane = ?", self.lane);
            let sql = format!("SELECT coalesce(sum(count), 0) FROM task_count{}", sorts.clause());
            (sql, sorts)
        } else {
            let selection = self.selection();
            let source = self.source(self.is_timed()).for_counting();
            (
                format!("SELECT count(*) FROM {source}{}", selection.clause()),
                selection,
            )
        };
        self.connection
            .prepare_cached(&sql)?
            .query_row(params_from_iter(selection.values()), |row| row.get(0))
            .map(to_count)
    }

    fn is_timed(&self) -> bool {
        self.filter.scheduled_before.is_some() || self.filter.scheduled_after.is_some()
    }

    /// Where to look for the tasks.
    fn source(&self, is_by_time: bool) -> Source {
        let filter = self.filter;
        if filter.schedule_id.is_some() {
            return Source::Schedule;
        }
        if filter.recurring == Some(true) {
            return Source::Recurrences;
        }
        match (filter.user_id, filter.status) {
            (_, Some(TaskStatus::InProgress)) => Source::InProgress,
            (Some(_), Some(_)) => Source::UserAndStatus,
            (Some(_), None) => Source::User,
            (None, _) if is_by_time => Source::Time,
            // Most tasks are completed; their index would be large and save little.
            (None, Some(TaskStatus::Completed) | None) => Source::Ids,
            (None, Some(_)) => Source::Status,
        }
    }

    /// Whether few enough tasks are scheduled for the time that is asked for to be sorted.
    fn is_time_short(&self) -> rusqlite::Result<bool> {
        if !self.is_timed() {
            return Ok(false);
        }
        let times = Selection::all()
            .with("scheduled_at IS NOT NULL AND ? > 0", true)
            .with_some(
                "scheduled_at < ?",
                self.filter.scheduled_before.map(|at| at.as_millis()),
            )
            .with_some(
                "scheduled_at >= ?",
                self.filter.scheduled_after.map(|at| at.as_millis()),
            );
        let most = MOST_SORTED.saturating_add(1);
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM task INDEXED BY task_by_time{} LIMIT {most})",
            times.clause()
        );
        let count: i64 = self
            .connection
            .prepare_cached(&sql)?
            .query_row(params_from_iter(times.values()), |row| row.get(0))?;
        Ok(to_count(count) <= MOST_SORTED)
    }

    fn select(&self, request: &PageRequest<TaskSort>, wanted: u64) -> Outcome<Filling<Task>> {
        let mut tasks = Filling::new();
        if wanted == 0 {
            return Ok(tasks);
        }
        let (comparison, order) = match request.sort.direction {
            Direction::Ascending => (">", "ASC"),
            Direction::Descending => ("<", "DESC"),
        };
        let after = request.after.as_ref().map(|after| after.id.as_bytes().to_vec());
        let selection = self.selection().with_some(&format!("t.id {comparison} ?"), after);
        let clause = selection.clause();
        let select = |(table, condition): &(&str, String)| {
            let joint = if clause.is_empty() { " WHERE" } else { " AND" };
            format!("SELECT t.id AS id FROM {table}{clause}{joint} {condition}")
        };
        let parts = self.source(self.is_time_short()?).parts();
        let parts: Vec<String> = parts.iter().map(select).collect();
        let sql = format!("{} ORDER BY id {order} LIMIT {wanted}", parts.join(" UNION ALL "));
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(selection.values()))?;
        while let Some(row) = rows.next()? {
            let id = TaskId::from_uuid(row.get::<_, Id>(0)?.0);
            let Some(raw) = find(self.connection, id)? else {
                continue;
            };
            if !tasks.add(raw.text_bytes(), || raw.into_task())? {
                break;
            }
        }
        Ok(tasks)
    }
}

/// Where the tasks of a list are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// All of them, by id.
    Ids,
    /// One owner's, with one status.
    UserAndStatus,
    /// One owner's.
    User,
    /// Those with one status.
    Status,
    /// Those that are in progress.
    InProgress,
    /// What came of one recurring task.
    Schedule,
    /// What is scheduled for some time; not in the order of ids.
    Time,
    /// Those that recur.
    Recurrences,
}

impl Source {
    /// The tables with the conditions, whose rows together are the source; each in the order of ids.
    fn parts(self) -> Vec<(&'static str, String)> {
        let plain = |table| vec![(table, "1".to_owned())];
        match self {
            Self::Ids => plain("task t INDEXED BY task_by_id"),
            Self::UserAndStatus => plain("task t INDEXED BY task_by_user"),
            // The index has the stage before the id: so the database merges one range for each stage.
            Self::User => (1..=4)
                .map(|stage| ("task t INDEXED BY task_by_user", format!("t.stage = {stage}")))
                .collect(),
            Self::Status => vec![("task t INDEXED BY task_by_stage", "t.stage <> 2".to_owned())],
            Self::InProgress => vec![
                ("task t INDEXED BY task_held", "t.queue = 0".to_owned()),
                (
                    "task t INDEXED BY task_begun_by_hand",
                    "t.kind = 0 AND t.status = 1".to_owned(),
                ),
            ],
            Self::Schedule => plain("task t INDEXED BY task_by_schedule"),
            Self::Time => plain("task t INDEXED BY task_by_time"),
            Self::Recurrences => plain("recurrence r CROSS JOIN task t ON t.id = r.task_id"),
        }
    }

    /// The table to count in, where the order doesn't matter.
    fn for_counting(self) -> &'static str {
        match self {
            Self::Ids | Self::Status | Self::InProgress => "task t",
            Self::UserAndStatus | Self::User => "task t INDEXED BY task_by_user",
            Self::Schedule => "task t INDEXED BY task_by_schedule",
            Self::Time => "task t INDEXED BY task_by_time",
            Self::Recurrences => "recurrence r CROSS JOIN task t ON t.id = r.task_id",
        }
    }
}
