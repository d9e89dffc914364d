//! Tasks with what belongs to them.

use model::{Error, ExecutionId, Result, TaskId, TaskStatus, UserId, WorkerId};
use rusqlite::{Connection, OptionalExtension as _, Row, params, types::FromSqlError};
use serde_json::from_str;
use uuid::Uuid;

use super::{Filled, behind};
use crate::{
    sqlite::{
        column::{Id, Json, Kind, Moment, Status, Urgency},
        failure::Outcome,
        lanes::Sort,
        ledger::Ledger,
    },
    transfer::{DependencyRecord, MAX_PAGE_RECORDS, QueuePlace, Record, RecurrenceRecord, TaskRecord},
};

/// How many bytes a task takes without its longer texts.
const BYTES_EACH: usize = 512;

const COLUMNS: &str = "t.id, t.user_id, t.kind, t.status, t.priority, t.queue, t.turn, t.due_at, t.ready_at, t.attempt, \
    t.retry_count, t.max_retries, t.stall_count, t.max_stalls, t.unmet, t.worker, t.lease_until, t.started_at, \
    t.finished_at, t.created_at, t.updated_at, t.scheduled_at, t.timeout_ms, t.schedule_id, t.unique_key, t.title, \
    t.description, t.tags, l.plugin, t.action, t.payload, (SELECT json_group_array(json_array(d.position, \
    hex(d.depends_on), d.is_told)) FROM task_dependency d WHERE d.task_id = t.id), r.cron, r.timezone, r.catch_up, \
    r.is_paused, r.next_at, r.last_at, CASE t.status WHEN 2 THEN \
    coalesce((SELECT e.result FROM execution e WHERE e.id = t.execution_id), t.result) END, t.error_code, \
    t.error_message, t.progress, t.inquiry";

/// Reads tasks that follow one.
pub(super) fn read(connection: &Connection, after: Option<Uuid>, page: &mut Filled) -> Outcome<()> {
    let sql = format!(
        "SELECT {COLUMNS} FROM task t INDEXED BY task_by_id LEFT JOIN task_lane l ON l.id = t.lane \
         LEFT JOIN recurrence r ON r.task_id = t.id WHERE t.id > ?1 ORDER BY t.id LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![behind(after), MAX_PAGE_RECORDS])?;
    while let Some(row) = rows.next()? {
        let task = read_row(row)?;
        let texts = [
            &task.payload,
            &task.result,
            &task.description,
            &task.progress,
            &task.inquiry,
        ];
        let bytes = texts.into_iter().flatten().map(String::len);
        let bytes = bytes.fold(BYTES_EACH, usize::saturating_add);
        let id = task.id.to_string();
        if !page.add(Record::Task(Box::new(task)), (id, bytes)) {
            break;
        }
    }
    Ok(())
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<TaskRecord> {
    let moment = |column: usize| -> rusqlite::Result<_> {
        Ok(row.get::<_, Option<Moment>>(column)?.map(|moment| moment.0))
    };
    let task_id = |column: usize| -> rusqlite::Result<_> {
        Ok(row
            .get::<_, Option<Id>>(column)?
            .map(|id| TaskId::from_uuid(id.0)))
    };
    let status = row.get::<_, Status>(3)?.0;
    let worker = row.get::<_, Option<Id>>(15)?.map(|id| WorkerId::from_uuid(id.0));
    let code: Option<String> = row.get(39)?;
    let message: Option<String> = row.get(40)?;
    Ok(TaskRecord {
        id: TaskId::from_uuid(row.get::<_, Id>(0)?.0),
        user_id: row.get::<_, Option<Id>>(1)?.map(|id| UserId::from_uuid(id.0)),
        kind: row.get::<_, Kind>(2)?.0,
        status,
        priority: row.get::<_, Urgency>(4)?.0,
        place: read_place(row)?,
        due_at: row.get::<_, Moment>(7)?.0,
        ready_at: moment(8)?,
        attempt: row.get(9)?,
        retry_count: row.get(10)?,
        max_retries: row.get(11)?,
        stall_count: row.get(12)?,
        max_stalls: row.get(13)?,
        unmet: row.get(14)?,
        lease: worker.zip(moment(16)?),
        started_at: moment(17)?,
        finished_at: moment(18)?,
        created_at: row.get::<_, Moment>(19)?.0,
        updated_at: row.get::<_, Moment>(20)?.0,
        scheduled_at: moment(21)?,
        timeout_ms: row.get(22)?,
        schedule_id: task_id(23)?,
        unique_key: row.get(24)?,
        title: row.get(25)?,
        description: row.get(26)?,
        tags: row
            .get::<_, Option<Json<Vec<String>>>>(27)?
            .map(|tags| tags.0)
            .unwrap_or_default(),
        plugin: row.get(28)?,
        action: row.get(29)?,
        payload: row.get(30)?,
        dependencies: read_dependencies(&row.get::<_, String>(31)?, status)
            .map_err(|error| FromSqlError::Other(error.into()))?,
        recurrence: read_recurrence(row)?,
        result: row.get(38)?,
        error: code.map(|code| (code, message.unwrap_or_default())),
        progress: row.get(41)?,
        inquiry: row.get(42)?,
    })
}

fn read_place(row: &Row<'_>) -> rusqlite::Result<Option<QueuePlace>> {
    let Some(number) = row.get::<_, Option<i64>>(5)? else {
        return Ok(None);
    };
    let turn = row.get::<_, Option<i64>>(6)?.unwrap_or(0);
    let place = QueuePlace::of(number, turn);
    Ok(Some(place.ok_or(FromSqlError::OutOfRange(number))?))
}

/// Reads `[position, id, is_told]` entries, which come in any order.
fn read_dependencies(text: &str, status: TaskStatus) -> Result<Vec<DependencyRecord>> {
    let mut entries: Vec<(u32, String, u8)> = from_str(text).map_err(Error::bug)?;
    entries.sort_unstable();
    let read = |(_, id, is_told): (u32, String, u8)| {
        Ok(DependencyRecord {
            id: TaskId::from_uuid(Uuid::try_parse(&id).map_err(Error::bug)?),
            is_told: is_told != 0 || status.is_final(),
        })
    };
    entries.into_iter().map(read).collect()
}

fn read_recurrence(row: &Row<'_>) -> rusqlite::Result<Option<RecurrenceRecord>> {
    let Some(cron) = row.get::<_, Option<String>>(32)? else {
        return Ok(None);
    };
    Ok(Some(RecurrenceRecord {
        cron,
        timezone: row.get(33)?,
        catch_up: row.get(34)?,
        is_paused: row.get(35)?,
        next_at: row.get::<_, Option<Moment>>(36)?.map(|moment| moment.0),
        last_at: row.get::<_, Option<Moment>>(37)?.map(|moment| moment.0),
    }))
}

/// Adds a task with what belongs to it, and counts it. Who waits in the queue is counted anew when all are there.
pub(super) fn write(connection: &Connection, ledger: &mut Ledger, task: &TaskRecord) -> Outcome<()> {
    let lane = match &task.plugin {
        Some(plugin) => {
            let plugin = plugin.parse().map_err(Error::bug)?;
            Some(ledger.tasks.lanes(connection)?.lane(connection, &plugin)?)
        }
        None => None,
    };
    let call = find_call(connection, task)?;
    insert(connection, task, (lane, call))?;
    ledger.tasks.add(Sort {
        owner: task.user_id,
        status: task.status,
        priority: task.priority,
        lane: lane.unwrap_or(0),
    });
    for (position, dependency) in (0_i64..).zip(&task.dependencies) {
        connection
            .prepare_cached(
                "INSERT INTO task_dependency (task_id, position, depends_on, is_told) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                Id(task.id.as_uuid()),
                position,
                Id(dependency.id.as_uuid()),
                dependency.is_told
            ])?;
    }
    if let Some(recurrence) = &task.recurrence {
        insert_recurrence(connection, task.id, recurrence)?;
    }
    Ok(())
}

/// The call that gave the task's result, if the history has it.
fn find_call(connection: &Connection, task: &TaskRecord) -> rusqlite::Result<Option<ExecutionId>> {
    let Some(result) = &task.result else {
        return Ok(None);
    };
    let found = connection
        .prepare_cached(
            "SELECT id FROM execution INDEXED BY execution_by_task WHERE task_id = ?1 AND result = ?2 \
             ORDER BY attempt = ?3 DESC, id DESC LIMIT 1",
        )?
        .query_row(params![Id(task.id.as_uuid()), result, task.attempt], |row| {
            row.get::<_, Id>(0)
        })
        .optional()?;
    Ok(found.map(|id| ExecutionId::from_uuid(id.0)))
}

fn insert(
    connection: &Connection,
    task: &TaskRecord,
    (lane, call): (Option<i64>, Option<ExecutionId>),
) -> Outcome<()> {
    let tags = match task.tags.as_slice() {
        [] => None,
        tags => Some(serde_json::to_string(tags).map_err(Error::bug)?),
    };
    let (worker, lease_until) = task.lease.unzip();
    let (code, message) = task.error.clone().unzip();
    let own_result = task.result.as_ref().filter(|_| call.is_none());
    connection
        .prepare_cached(
            "INSERT INTO task (id, user_id, kind, status, stage, priority, queue, lane, turn, due_at, ready_at, attempt, \
             retry_count, max_retries, stall_count, max_stalls, unmet, worker, lease_until, started_at, finished_at, \
             created_at, updated_at, scheduled_at, timeout_ms, schedule_id, execution_id, error_code, error_message, \
             progress, unique_key, title, description, tags, action, payload, inquiry, result) VALUES (?1, ?2, ?3, ?4, ?5, \
             ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, \
             ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37, ?38)",
        )?
        .execute(params![
            Id(task.id.as_uuid()),
            task.user_id.map(|id| Id(id.as_uuid())),
            Kind(task.kind),
            Status(task.status),
            Status(task.status).stage(),
            Urgency(task.priority),
            task.place.map(QueuePlace::number),
            lane,
            task.place.and_then(QueuePlace::turn),
            Moment(task.due_at),
            task.ready_at.map(Moment),
            task.attempt,
            task.retry_count,
            task.max_retries,
            task.stall_count,
            task.max_stalls,
            task.unmet,
            worker.map(|id| Id(id.as_uuid())),
            lease_until.map(Moment),
            task.started_at.map(Moment),
            task.finished_at.map(Moment),
            Moment(task.created_at),
            Moment(task.updated_at),
            task.scheduled_at.map(Moment),
            task.timeout_ms,
            task.schedule_id.map(|id| Id(id.as_uuid())),
            call.map(|id| Id(id.as_uuid())),
            code,
            message,
            task.progress,
            task.unique_key,
            task.title,
            task.description,
            tags,
            task.action,
            task.payload,
            task.inquiry,
            own_result,
        ])?;
    Ok(())
}

fn insert_recurrence(
    connection: &Connection,
    task: TaskId,
    recurrence: &RecurrenceRecord,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO recurrence (task_id, cron, timezone, catch_up, is_paused, next_at, last_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            Id(task.as_uuid()),
            recurrence.cron,
            recurrence.timezone,
            recurrence.catch_up,
            recurrence.is_paused,
            recurrence.next_at.map(Moment),
            recurrence.last_at.map(Moment),
        ])
        .map(|_| ())
}

/// Keeps of all tasks that ended that those are to be told that still wait for them.
pub(super) fn keep_ends(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT OR IGNORE INTO task_settlement (task_id) SELECT DISTINCT d.depends_on FROM task_dependency d \
             CROSS JOIN task t ON t.id = d.depends_on WHERE d.is_told = 0 AND t.status IN (2, 3, 4)",
            (),
        )
        .map(|_| ())
}
