//! What a request is refused with.

use serde_json::{Map, Value, json};

use crate::revision::Revision;

/// The identifier of the extension for tasks.
pub(crate) const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// The codes of JSON-RPC 2.0 and of MCP that a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Not JSON (-32700).
    Parse,
    /// JSON, but no request (-32600).
    InvalidRequest,
    /// No such method in this revision (-32601).
    MethodNotFound,
    /// The method can't work with these parameters; unknown tools, prompts, tasks, cursors too (-32602).
    InvalidParams,
    /// The server failed (-32603).
    Internal,
    /// No such resource; before 2026-07-28 only, which answers [`Self::InvalidParams`] (-32002).
    ResourceNotFound,
    /// Headers and body disagree (-32020, from 2026-07-28 on).
    HeaderMismatch,
    /// The request needs something that its client can't do (-32021, from 2026-07-28 on).
    MissingCapability,
    /// A revision that this server doesn't speak (-32022, from 2026-07-28 on).
    UnsupportedVersion,
}

impl ErrorCode {
    /// The code's number.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Parse => -32_700,
            Self::InvalidRequest => -32_600,
            Self::MethodNotFound => -32_601,
            Self::InvalidParams => -32_602,
            Self::Internal => -32_603,
            Self::ResourceNotFound => -32_002,
            Self::HeaderMismatch => -32_020,
            Self::MissingCapability => -32_021,
            Self::UnsupportedVersion => -32_022,
        }
    }

    /// The number that says the same in a revision: some codes came, some went.
    #[must_use]
    pub fn number_in(self, revision: Revision) -> i64 {
        let said = match self {
            Self::ResourceNotFound if revision.is_stateless() => Self::InvalidParams,
            Self::HeaderMismatch | Self::UnsupportedVersion if !revision.is_stateless() => {
                Self::InvalidRequest
            }
            Self::MissingCapability if !revision.is_stateless() => Self::InvalidParams,
            Self::Parse
            | Self::InvalidRequest
            | Self::MethodNotFound
            | Self::InvalidParams
            | Self::Internal
            | Self::ResourceNotFound
            | Self::HeaderMismatch
            | Self::MissingCapability
            | Self::UnsupportedVersion => self,
        };
        said.number()
    }
}

/// Why a request has no result. The message is for the client and holds no internals.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    /// What kind.
    pub code: ErrorCode,
    /// What is wrong and what to do.
    pub message: String,
    /// More of it, for programs.
    pub data: Option<Value>,
}

impl RpcError {
    /// An error without data.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// Says that the parameters are wrong.
    #[must_use]
    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidParams, message)
    }

    /// Says that the server failed, and no more than that.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(ErrorCode::Internal, "the server failed; its log has the reason")
    }

    /// Says that the call was called off since the server stops.
    #[must_use]
    pub(crate) fn stopping() -> Self {
        let message = "the server is stopping; the call was called off before it ended";
        Self::new(ErrorCode::Internal, message)
    }

    /// Says that the request needs capabilities that its client hasn't declared, in the form in which a client declares
    /// them: `{"sampling": {}}`.
    #[must_use]
    pub fn missing_capabilities(required: Map<String, Value>) -> Self {
        let names = required
            .iter()
            .flat_map(|(name, detail)| match (name.as_str(), detail) {
                // Extensions are known by their own names.
                ("extensions", Value::Object(extensions)) => extensions.keys().map(String::as_str).collect(),
                (name, _) => vec![name],
            });
        let names: Vec<&str> = names.collect();
        let message = format!(
            "this needs a client that declares the capability: {}",
            names.join(", ")
        );
        Self::new(ErrorCode::MissingCapability, message)
            .with_data(json!({ "requiredCapabilities": required }))
    }

    /// Says that the request needs a client that takes tasks.
    #[must_use]
    pub fn tasks_not_taken() -> Self {
        let extensions = json!({ TASKS_EXTENSION: {} });
        Self::missing_capabilities(Map::from_iter([("extensions".to_owned(), extensions)]))
    }

    /// Says that there is no such method in the revision spoken.
    #[must_use]
    pub fn method_not_found(method: &str) -> Self {
        let shown: String = method.chars().take(100).collect();
        Self::new(ErrorCode::MethodNotFound, format!("Method not found: {shown}"))
    }

    /// Adds data.
    #[must_use]
    pub fn with_data(self, data: Value) -> Self {
        Self {
            data: Some(data),
            ..self
        }
    }
}
