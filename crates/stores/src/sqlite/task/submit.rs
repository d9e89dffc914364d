//! Submitting tasks.

mod check;
mod row;

use model::{NewTask, Result, Standing, Submitted, Task};

use self::{check::Batch, row::without_repetition};
use super::row::RawTask;
use crate::sqlite::{SqliteStore, failure::Fault};

pub(super) use self::row::{NewRow, to_tags_text};

/// Adds a task, unless its unique key is taken.
pub(super) async fn submit(store: &SqliteStore, task: NewTask) -> Result<Submitted> {
    let row = NewRow::of(&task)?;
    let added = store
        .writer
        .count(move |connection, ledger| row.insert(connection, ledger))
        .await?;
    added.into_submitted(task)
}

/// Adds tasks, all or none.
pub(super) async fn submit_all(store: &SqliteStore, tasks: Vec<NewTask>) -> Result<Vec<Submitted>> {
    let rows: Vec<NewRow> = under_index(tasks.iter().map(NewRow::of))?;
    let added: Vec<Added> = store
        .writer
        .revise(move |connection, ledger| {
            let mut batch = Batch::default();
            // Refused before the first is added: undoing would cost a count of the whole queue.
            for (index, row) in rows.iter().enumerate() {
                batch
                    .check(connection, row.wish())
                    .map_err(|fault| at(index, fault))?;
            }
            let mut added = Vec::with_capacity(rows.len());
            for (index, row) in rows.into_iter().enumerate() {
                added.push(row.insert(connection, ledger).map_err(|fault| at(index, fault))?);
            }
            Ok(added)
        })
        .await?;
    let submitted = added.into_iter().zip(tasks);
    submitted
        .map(|(added, task)| added.into_submitted(task))
        .collect()
}

fn at(index: usize, fault: Fault) -> Fault {
    match fault {
        Fault::Refused(error) => Fault::Refused(error.under(&index.to_string())),
        // The step is isolated.
        Fault::Database(error) | Fault::Torn(error) => Fault::Database(error),
    }
}

fn under_index<T>(results: impl Iterator<Item = Result<T>>) -> Result<Vec<T>> {
    let numbered = results.enumerate();
    numbered
        .map(|(index, result)| result.map_err(|error| error.under(&index.to_string())))
        .collect()
}

/// What became of a submission.
pub(super) enum Added {
    /// It is stored, and stands so.
    New(Standing),
    /// This one is there: the task itself if it is told to be new, else one with its unique key.
    Found(Box<RawTask>, bool),
}

impl Added {
    fn into_submitted(self, task: NewTask) -> Result<Submitted> {
        Ok(match self {
            Self::Found(found, is_new) => Submitted {
                task: found.into_task()?,
                is_new,
            },
            Self::New(standing) => Submitted {
                task: Task {
                    standing,
                    depends_on: without_repetition(&task.depends_on),
                    id: task.id,
                    user_id: task.user_id,
                    title: task.title,
                    description: task.description,
                    priority: task.priority,
                    tags: task.tags,
                    job: task.job,
                    timeout: task.patience.timeout,
                    scheduled_at: task.scheduled_at,
                    unique_key: task.unique_key,
                    recurrence: task.recurrence,
                    schedule_id: task.schedule_id,
                    inquiry: None,
                    result: None,
                    error: None,
                    progress: None,
                    started_at: None,
                    finished_at: None,
                    created_at: task.created_at,
                    updated_at: task.created_at,
                },
                is_new: true,
            },
        })
    }
}
