//! What is carried: everything that a store holds and that doesn't follow from the rest. JSON is carried as the text
//! that it stands as, so that nothing of it changes.

use model::{
    ApiKey, KeyHash, PasswordHash, Priority, SecurityEvent, Session, TaskId, TaskKind, TaskStatus, Timestamp,
    UserId, WorkerId,
};
use uuid::Uuid;

use super::cursor::Cursor;

/// How many records a page holds at most.
pub(crate) const MAX_PAGE_RECORDS: u16 = 1_000;

/// From how many bytes of text on a page takes no further record.
pub(crate) const MAX_PAGE_BYTES: usize = 8 * 1024 * 1024;

/// One thing that is carried as a whole.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// An account with all that belongs to it.
    Account(Box<AccountRecord>),
    /// How often the password was wrong under an address.
    SignInFailure(SignInFailureRecord),
    /// A call.
    Execution(Box<ExecutionRecord>),
    /// A task.
    Task(Box<TaskRecord>),
    /// An idempotency key.
    Claim(ClaimRecord),
}

/// Records that follow each other.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordPage {
    /// The records; there may be none although more follow.
    pub records: Vec<Record>,
    /// Where the next page begins; `None` when nothing follows.
    pub next: Option<Cursor>,
}

/// An account, with its sessions, keys, security events and the days on which it did something.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountRecord {
    /// Its name.
    pub id: UserId,
    /// Its address, as it was typed.
    pub email: String,
    /// What it is called, as it was typed.
    pub username: String,
    /// The name of its role.
    pub role: String,
    /// Whether it may sign in.
    pub is_active: bool,
    /// Whether the address is its owner's.
    pub is_email_verified: bool,
    /// When it signed in last.
    pub last_login: Option<Timestamp>,
    /// What its owner keeps, as JSON.
    pub metadata: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// What its password is checked against.
    pub password_hash: PasswordHash,
    /// Its sessions, by id.
    pub sessions: Vec<Session>,
    /// Its keys, by id.
    pub keys: Vec<KeyRecord>,
    /// Its security events, by id.
    pub events: Vec<SecurityEvent>,
    /// The days on which it did something, in days since the epoch, the first first.
    pub days: Vec<i64>,
}

/// An API key with what it is checked against.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyRecord {
    /// The key.
    pub key: ApiKey,
    /// The hash of its secret part.
    pub hash: KeyHash,
}

/// How often the password was wrong under an address.
#[derive(Clone, Debug, PartialEq)]
pub struct SignInFailureRecord {
    /// The folded address.
    pub email: String,
    /// How often.
    pub count: u32,
    /// When it was the last time.
    pub last_at: Timestamp,
}

/// A call.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutionRecord {
    /// Its name.
    pub id: Uuid,
    /// The plugin.
    pub plugin: String,
    /// The action.
    pub action: String,
    /// The name of the door through which it came.
    pub source: String,
    /// The name of its status.
    pub status: String,
    /// Whose it was.
    pub user_id: Option<UserId>,
    /// The task that it was made for.
    pub task_id: Option<TaskId>,
    /// Which try of it.
    pub attempt: Option<u32>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// How many microseconds it took.
    pub duration_micros: i64,
    /// Where it came from.
    pub ip_address: Option<String>,
    /// What the caller's program calls itself.
    pub user_agent: Option<String>,
    /// The code of its failure.
    pub error_code: Option<String>,
    /// The message of its failure.
    pub error_message: Option<String>,
    /// What it worked on, as JSON.
    pub payload: String,
    /// What it gave, as JSON.
    pub result: Option<String>,
}

/// Where a job stands that hasn't ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueuePlace {
    /// A worker holds it.
    Held,
    /// It is ready for one.
    Ready {
        /// Its turn among those of its priority.
        turn: i64,
    },
    /// It waits for its time.
    Scheduled,
    /// It waits for other tasks.
    Blocked,
    /// It waits for answers.
    Asking,
}

impl QueuePlace {
    /// The number under which stores keep it.
    pub(crate) const fn number(self) -> i32 {
        match self {
            Self::Held => 0,
            Self::Ready { .. } => 1,
            Self::Scheduled => 2,
            Self::Blocked => 3,
            Self::Asking => 4,
        }
    }

    /// Reads such a number.
    pub(crate) const fn of(number: i64, turn: i64) -> Option<Self> {
        Some(match number {
            0 => Self::Held,
            1 => Self::Ready { turn },
            2 => Self::Scheduled,
            3 => Self::Blocked,
            4 => Self::Asking,
            _ => return None,
        })
    }

    /// The turn of one that is ready.
    pub(crate) const fn turn(self) -> Option<i64> {
        match self {
            Self::Ready { turn } => Some(turn),
            Self::Held | Self::Scheduled | Self::Blocked | Self::Asking => None,
        }
    }
}

/// A task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRecord {
    /// Its name.
    pub id: TaskId,
    /// Whose it is.
    pub user_id: Option<UserId>,
    /// What moves it.
    pub kind: TaskKind,
    /// Its status.
    pub status: TaskStatus,
    /// How urgent it is.
    pub priority: Priority,
    /// Where it stands in the queue.
    pub place: Option<QueuePlace>,
    /// When it may start.
    pub due_at: Timestamp,
    /// When it became ready last.
    pub ready_at: Option<Timestamp>,
    /// The number of its last attempt.
    pub attempt: u32,
    /// How often it was tried again.
    pub retry_count: u16,
    /// How often it may be.
    pub max_retries: u16,
    /// How often it took its worker with it.
    pub stall_count: u16,
    /// How often it may.
    pub max_stalls: u16,
    /// How many tasks it waits for.
    pub unmet: u32,
    /// Who holds it, and until when.
    pub lease: Option<(WorkerId, Timestamp)>,
    /// When its last attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// When it was to start at the earliest.
    pub scheduled_at: Option<Timestamp>,
    /// How many milliseconds one try may take.
    pub timeout_ms: Option<i64>,
    /// The recurring task that it came of.
    pub schedule_id: Option<TaskId>,
    /// Keeps a second one from coming to be.
    pub unique_key: Option<String>,
    /// What it is called.
    pub title: String,
    /// More about it.
    pub description: Option<String>,
    /// For finding it.
    pub tags: Vec<String>,
    /// The plugin.
    pub plugin: Option<String>,
    /// The action.
    pub action: Option<String>,
    /// What it works on, as JSON.
    pub payload: Option<String>,
    /// What it depends on.
    pub dependencies: Vec<DependencyRecord>,
    /// When jobs come of it.
    pub recurrence: Option<RecurrenceRecord>,
    /// What it gave, as JSON.
    pub result: Option<String>,
    /// Code and message of its failure.
    pub error: Option<(String, String)>,
    /// How far it has come, as JSON.
    pub progress: Option<String>,
    /// What it asked last, with the answers so far, as JSON.
    pub inquiry: Option<String>,
}

/// Something that a task depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DependencyRecord {
    /// The other task.
    pub id: TaskId,
    /// Whether the task waits for it no more; always so for one that has ended.
    pub is_told: bool,
}

/// When jobs come of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct RecurrenceRecord {
    /// The pattern.
    pub cron: String,
    /// The zone that it is read in.
    pub timezone: String,
    /// The name of what becomes of missed ticks.
    pub catch_up: String,
    /// Whether it rests.
    pub is_paused: bool,
    /// The next tick.
    pub next_at: Option<Timestamp>,
    /// The last tick that a job came of.
    pub last_at: Option<Timestamp>,
}

/// An idempotency key.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimRecord {
    /// The digest of the key.
    pub key: [u8; 32],
    /// The digest of the request.
    pub request: [u8; 32],
    /// The sealed answer.
    pub answer: Option<Vec<u8>>,
    /// Until when it counts.
    pub expires_at: Timestamp,
}
