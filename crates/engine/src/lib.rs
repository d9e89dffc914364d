//! Verbs: what the product does, on the ports of `model` only.
//!
//! Every transport turns a request into one call here. A verb takes the [`model::Principal`] first and
//! asks for its permission in its first statement. Nothing here knows HTTP, SQL, files or the environment.
//! Modules stand in reading order, and each uses only what stands above it.

mod pace;
mod seal;
mod cursor;
mod password;
mod token;
mod usage;
mod accepted;
mod registry;
mod queue;
mod pulse;
mod parts;
mod principal;
mod limit;
mod throttle;
mod metadata;
mod session;
mod user;
mod setup;
mod key;
mod plugin;
mod call;
mod sealing;
mod tool;
mod prompt;
mod resource;
mod execution;
mod idempotency;
mod ownership;
mod schedule;
mod task;
mod health;
mod backlog;
mod listen;
mod janitor;

pub use backlog::Backlog;
pub use call::{CallRequest, Executed};
pub use cursor::{Listing, PageQuery};
pub use idempotency::{
    Answer, IdempotencyClaim, IdempotencyTicket, IdempotentRequest, Reservation, WhenBegun,
};
pub use key::{CreatedKey, NewKey};
pub use pace::{Duty, Pace};
pub use parts::{Client, Engine, Ports, Settings};
pub use plugin::PluginView;
pub use principal::Presented;
pub use prompt::{PromptRequest, PromptView, SuggestionRequest, SuggestionSubject};
pub use pulse::{HealthReport, PluginHealth};
pub use queue::{WorkerHealth, WorkerState};
pub use registry::ToolView;
pub use resource::{ResourceRequest, ResourceTemplateView, ResourceView};
pub use schedule::{ScheduleRequest, ScheduleUpdate};
pub use sealing::Sealing;
pub use session::{SignIn, SignedIn, TokenPair};
pub use task::{ClaimStep, TaskRequest, TaskRun, TaskUpdate, TaskWatch, Worker};
pub use user::{ProfileChange, Registration};
