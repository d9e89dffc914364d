//! The Model Context Protocol, server side: every revision from 2025-03-26 on, behind one small trait.
//!
//! A host implements [`Handler`] and serves it over Streamable HTTP or over a pair of byte streams.
//! The crate knows JSON-RPC and MCP, and nothing of what the tools are. Modules stand in reading order.

mod revision;
mod error;
mod seal;
mod catalogue;
mod content;
mod question;
mod context;
mod handler;
mod sessions;
mod methods;
mod jsonrpc;
mod params;
mod requirement;
mod listeners;
mod shared;
mod render;
mod dispatch;
mod notice;
mod subscription;
mod state;
mod stateless;
mod body;
mod accepted;
mod answer;
mod event;
mod legacy;
mod http;
mod stdio;

pub use body::Body;
pub use catalogue::{
    CacheScope, Cached, Completion, CompletionRequest, HeaderParameter, Implementation, Listed, Prompt,
    PromptArgument, Resource, ResourceTemplate, ServerDescription, Tool, ToolAnnotations,
};
pub use content::{Content, PromptMessage, PromptResult, ResourceContents, ToolResult};
pub use context::{Capabilities, Context, LogLevel, Outbox, OutboxNotice};
pub use error::{ErrorCode, RpcError};
pub use handler::{
    Change, Changes, Handler, Page, PromptCall, Reply, ResourceCall, SubscriptionFilter, TaskHandle,
    TaskState, TaskStatus, ToolCall, ToolReply,
};
pub use http::McpService;
pub use methods::{METHODS, Method, MethodRow};
pub use question::{Answers, Question, QuestionKind, Questions};
pub use revision::Revision;
pub use seal::Seal;
pub use sessions::{
    Batch, ClientAnswer, Full, Interests, LocalSessions, MAX_SUBSCRIPTIONS, SessionKey, Sessions, Standing,
    StreamKey, UnderWay, Weight,
};
pub use shared::{Clock, Host, Limits, Random};
pub use stdio::serve_lines;
