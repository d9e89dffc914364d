//! What the server has acknowledged, as its clients know it.

use std::time::{Duration, Instant};

use std::sync::{Mutex, PoisonError};

use crate::chaos::plan::Batch;

/// What became of the submission of a task, as far as its client knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing was sent.
    #[default]
    Unsent,
    /// It was sent, and no answer came.
    Unknown,
    /// A status of 2xx came, with the task's id unless the answer was cut off after it.
    Acknowledged(Option<String>),
    /// It was refused for what it says.
    Refused(String),
}

/// What became of the wish to call a task off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Cancel {
    /// There was none.
    #[default]
    None,
    /// It was sent, and no answer came.
    Unknown,
    /// It was granted, and the answer was there at this moment (milliseconds since 1970).
    Granted(i64),
    /// It was refused: the task had ended.
    Refused,
}

/// One task, as its client knows it.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    pub(super) fate: Fate,
    /// When it was asked to start at the earliest; milliseconds since 1970.
    pub(super) scheduled_at: Option<i64>,
    /// The ids of the tasks that it was said to depend on.
    pub(super) parents: Vec<String>,
    pub(super) cancel: Cancel,
    /// A final status that was shown, and whether another was shown later.
    pub(super) seen: Option<String>,
    pub(super) changed_its_end: bool,
}

/// Every task that is to be submitted. Shared by the threads that drive the server.
pub(super) struct Ledger {
    entries: Mutex<Vec<Entry>>,
    to_cancel: Mutex<Vec<(Instant, usize)>>,
}

impl Ledger {
    /// A page without entries yet.
    pub(super) fn new(batches: &[Batch]) -> Self {
        let total = batches.iter().map(|batch| batch.plans.len()).sum();
        Self {
            entries: Mutex::new(vec![Entry::default(); total]),
            to_cancel: Mutex::default(),
        }
    }

    /// Reads what is known of a task.
    pub(super) fn read(&self, number: usize) -> Entry {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(number).cloned().unwrap_or_default()
    }

    /// Writes down what has become known of a task.
    pub(super) fn note(&self, number: usize, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(number) {
            change(entry);
        }
    }

    /// The id of a task that was acknowledged.
    pub(super) fn id(&self, number: usize) -> Option<String> {
        match self.read(number).fate {
            Fate::Acknowledged(id) => id,
            Fate::Unsent | Fate::Unknown | Fate::Refused(_) => None,
        }
    }

    /// Lets a task be called off after a while.
    pub(super) fn cancel_later(&self, number: usize, after: Duration) {
        let mut list = self.to_cancel.lock().unwrap_or_else(PoisonError::into_inner);
        list.push((Instant::now() + after, number));
    }

    /// Takes a task out that is to be called off by now; none when it isn't time yet. Tells, too, whether any are left.
    pub(super) fn next_to_cancel(&self) -> (Option<usize>, bool) {
        let mut list = self.to_cancel.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = list.iter().position(|(moment, _)| *moment <= now);
        let found = due.map(|position| list.swap_remove(position).1);
        (found, found.is_some() || !list.is_empty())
    }

    /// All entries, when nobody writes any more.
    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
