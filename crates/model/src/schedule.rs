//! Schedules: when jobs come of recurring tasks.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What happens to ticks that passed while nobody could act on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// Nothing: the next tick is the next one ahead.
    Skip,
    /// One job for all of them together.
    #[default]
    Once,
}

impl CatchUp {
    /// Every way.
    pub const ALL: [Self; 2] = [Self::Skip, Self::Once];

    /// The way's name in stores and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Once => "once",
        }
    }
}

/// When jobs come of a recurring task. The verb reads the texts; the store keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recurrence {
    /// A cron expression, as it was given and accepted; at most 256 characters.
    pub cron: String,
    /// The name of its time zone in the IANA database.
    pub timezone: String,
    /// What happens to missed ticks.
    pub catch_up: CatchUp,
    /// Whether no jobs come of it for the time being.
    pub is_paused: bool,
    /// The next tick; `None` when paused, and when there is none ever again.
    pub next_at: Option<Timestamp>,
    /// The last tick of which a job came.
    pub last_at: Option<Timestamp>,
}

/// A change to a recurrence. What is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecurrenceChange {
    /// Another cron expression.
    pub cron: Option<String>,
    /// Another time zone.
    pub timezone: Option<String>,
    /// Another way to catch up.
    pub catch_up: Option<CatchUp>,
    /// Paused, or resumed.
    pub is_paused: Option<bool>,
    /// The next tick that follows from all this.
    pub next_at: Option<Timestamp>,
}
