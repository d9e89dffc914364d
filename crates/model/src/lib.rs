//! Nouns and ports: what the product is about, and the traits that adapters implement.
//!
//! Nothing here does input or output, and nothing here knows an asynchronous runtime, a database, a
//! transport or a kind of plugin. Modules stand in reading order, and each uses only what stands
//! above it.

mod time;
mod id;
mod error;
mod page;
mod role;
mod scope;
mod secret;
mod name;
mod question;
mod report;
mod prompt;
mod resource;
mod plugin;
mod security;
mod user;
mod session;
mod key;
mod principal;
mod permission;
mod execution;
mod schedule;
mod task;
mod idempotency;
mod limit;
mod observe;
mod access;
mod bus;
mod store;

pub use access::{AccessChanges, AccessLog, AccessMark};
pub use bus::{Bus, BusListener, Heard, LogBounds, Notice, SharedMemory};
pub use error::{Detail, Error, ErrorCode, ErrorKind, Result};
pub use execution::{
    CallStatistics, Execution, ExecutionFilter, ExecutionOutcome, ExecutionStatus, ExecutionStore, Failure,
    Source,
};
pub use id::{
    Entropy, ExecutionId, Ids, KeyId, RequestId, SecurityEventId, SessionId, TaskId, UserId, WorkerId,
};
pub use idempotency::{Claim, IdempotencyKey, IdempotencyStore, RequestDigest};
pub use key::{ApiKey, KeyChange, KeyHash, KeyName, KeyOwner, KeyPrefix, KeySort, KeyStore, KeyUsage};
pub use limit::{Decision, LimitKey, Quota, RateLimiter};
pub use name::{ActionName, PluginName, PromptName, TOOL_NAME_SEPARATOR, ToolName};
pub use observe::{NoObserver, Observation, Observer};
pub use page::{Direction, Page, PageLimit, PageRequest, Position, Sort, SortValue};
pub use permission::{CredentialRule, Permission, Rule};
pub use plugin::{
    Action, Annotations, Call, CallTry, CompletionCall, CompletionSubject, Health, Plugin, PromptCall,
    ResourceCall, ResultForm, Runtime, Span, Suggestions,
};
pub use principal::{Credential, Principal, Subject};
pub use prompt::{FilledPrompt, Prompt, PromptArgument, PromptMessage, Speaker};
pub use question::{Answers, Question, QuestionKind, Questions, Reply};
pub use report::{LogLevel, LogMessage, LogReporter, Progress, ProgressReporter};
pub use resource::{OWN_SCHEME, Resource, ResourceBody, ResourcePart, ResourceTemplate};
pub use role::Role;
pub use schedule::{CatchUp, Recurrence, RecurrenceChange};
pub use scope::{Scope, Scopes};
pub use secret::{PasswordHash, Secret};
pub use security::{SecurityEvent, SecurityEventKind};
pub use session::{CheckedPassword, Renewal, Rotation, Session, SessionStore, SignInFailures, TokenDigest};
pub use store::Store;
pub use task::{
    AttemptEnd, Cancelled, ClaimRequest, Claimed, ClaimedTask, Hold, Inquiry, Job, Lease, NewTask, Patience,
    Priority, QueueDepth, Released, ScheduleStore, Settled, Standing, Submitted, Tag, Tags, Task, TaskChange,
    TaskCount, TaskDescription, TaskEnding, TaskEvent, TaskFilter, TaskKind, TaskOverview, TaskQueue,
    TaskSort, TaskStatus, TaskStore, TaskTitle, Timing, UniqueKey,
};
pub use time::{Clock, Timestamp};
pub use user::{
    Account, DailyUsers, Email, FoldedText, NewAccount, PasswordReplacement, User, UserChange, UserFilter,
    UserOverview, UserSort, UserStore, Username,
};
