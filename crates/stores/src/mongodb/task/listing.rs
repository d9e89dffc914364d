//! Lists of tasks.

use model::{
    Direction, Page, PageRequest, Position, Result, SortValue, Task, TaskFilter, TaskSort, TaskStatus,
};
use mongodb::bson::{Document, Uuid, doc};

use super::row::{TaskRow, kind_number, priority_number, status_number};
use crate::mongodb::collection::TASKS;
use crate::{
    mongodb::{
        MongoStore,
        column::{id, moment},
    },
    paging::{Filling, foreign_position},
};

impl MongoStore {
    /// Lists tasks by id, which is the order of creation.
    pub(super) async fn list(
        &self,
        filter: &TaskFilter,
        request: &PageRequest<TaskSort>,
    ) -> Result<Page<Task>> {
        let TaskSort::CreatedAt = request.sort.field;
        let position = |last: &Task| Position {
            value: SortValue::Id,
            id: last.id.as_uuid(),
        };
        let selection = selection(filter);
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        let (comparison, order) = match request.sort.direction {
            Direction::Ascending => ("$gt", 1),
            Direction::Descending => ("$lt", -1),
        };
        let mut listed = selection.clone();
        if let Some(after) = &request.after {
            if after.value != SortValue::Id {
                return Err(foreign_position());
            }
            let mut beyond = Document::new();
            beyond.insert(comparison, id(after.id));
            listed.insert("_id", beyond);
        }
        let total = self.connection.run(tasks.count_documents(selection)).await?;
        let mut filling = Filling::new();
        let wanted = i64::from(request.limit.get()).saturating_add(1);
        // On the first page it is known whether there are any.
        if total > 0 {
            let find = tasks.find(listed).sort(doc! { "_id": order }).limit(wanted);
            let mut cursor = self.connection.run(find).await?;
            while self.connection.run(cursor.advance()).await? {
                let row: TaskRow = cursor.deserialize_current().map_err(model::Error::bug)?;
                if !filling.add(row.text_bytes(), || row.into_task())? {
                    break;
                }
            }
        }
        Ok(filling.into_page(request.limit, total, position))
    }
}

/// All that a filter asks of a task. What callers give stands in it as a value, or behind `$literal`.
fn selection(filter: &TaskFilter) -> Document {
    let mut selection = Document::new();
    if let Some(user) = filter.user_id {
        selection.insert("u", id(user.as_uuid()));
    }
    match filter.status {
        Some(status) => selection.insert("s", status_number(status)),
        None => selection.insert("s", doc! { "$in": TaskStatus::ALL.map(status_number).to_vec() }),
    };
    if let Some(priority) = filter.priority {
        selection.insert("p", priority_number(priority));
    }
    if let Some(plugin) = &filter.plugin {
        selection.insert("l", plugin.as_str());
    }
    if let Some(tag) = &filter.tag {
        selection.insert("g", doc! { "$eq": tag.as_str() });
    }
    if let Some(schedule) = filter.schedule_id {
        let schedule: Uuid = id(schedule.as_uuid());
        selection.insert("sch", schedule);
    }
    let mut times = Document::new();
    if let Some(before) = filter.scheduled_before {
        times.insert("$lt", moment(before));
    }
    if let Some(after) = filter.scheduled_after {
        times.insert("$gte", moment(after));
    }
    if !times.is_empty() {
        selection.insert("at", times);
    }
    if let Some(recurring) = filter.recurring {
        let number = kind_number(model::TaskKind::Recurring);
        let comparison = if recurring { "$eq" } else { "$ne" };
        let mut kind = Document::new();
        kind.insert(comparison, number);
        selection.insert("k", kind);
    }
    if let Some(text) = &filter.q {
        let text = text.to_ascii_lowercase();
        // Which turns ASCII letters alone to small ones.
        let found_in = |field: &str| {
            let place = doc! { "$indexOfBytes": [{ "$toLower": field }, { "$literal": &text }] };
            doc! { "$gte": [place, 0] }
        };
        selection.insert("$expr", doc! { "$or": [found_in("$t"), found_in("$d")] });
    }
    selection
}
