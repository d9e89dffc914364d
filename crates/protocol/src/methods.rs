//! Which methods there are, and in which revisions.

use crate::revision::Revision;

/// A method that a client can call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `server/discover`.
    Discover,
    /// `initialize`.
    Initialize,
    /// `ping`.
    Ping,
    /// `tools/list`.
    ListTools,
    /// `tools/call`.
    CallTool,
    /// `prompts/list`.
    ListPrompts,
    /// `prompts/get`.
    GetPrompt,
    /// `resources/list`.
    ListResources,
    /// `resources/templates/list`.
    ListResourceTemplates,
    /// `resources/read`.
    ReadResource,
    /// `resources/subscribe`.
    SubscribeResource,
    /// `resources/unsubscribe`.
    UnsubscribeResource,
    /// `logging/setLevel`.
    SetLogLevel,
    /// `completion/complete`.
    Complete,
    /// `subscriptions/listen`.
    Listen,
    /// `tasks/get`, of the extension.
    GetTask,
    /// `tasks/update`, of the extension.
    AnswerTask,
    /// `tasks/cancel`, of the extension.
    CancelTask,
}

/// What there is to know of a method before it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodRow {
    /// The method.
    pub method: Method,
    /// Its name on the wire.
    pub name: &'static str,
    /// The first revision that has it.
    pub since: Revision,
    /// The last revision that has it.
    pub until: Revision,
    /// Parameters that must be there, beside `_meta`.
    pub required: &'static [&'static str],
    /// The parameter that the header `Mcp-Name` repeats.
    pub named_by: Option<&'static str>,
}

const FIRST: Revision = Revision::V2025_03_26;
const LAST_OLD: Revision = Revision::V2025_11_25;
const NEW: Revision = Revision::V2026_07_28;

const fn row(method: Method, name: &'static str, since: Revision, until: Revision) -> MethodRow {
    MethodRow {
        method,
        name,
        since,
        until,
        required: &[],
        named_by: None,
    }
}

const fn needing(row: MethodRow, required: &'static [&'static str]) -> MethodRow {
    MethodRow { required, ..row }
}

const fn named(row: MethodRow, by: &'static str) -> MethodRow {
    MethodRow {
        named_by: Some(by),
        ..row
    }
}

/// Every method that this crate serves, in any revision.
pub const METHODS: [MethodRow; 18] = [
    row(Method::Discover, "server/discover", NEW, NEW),
    needing(
        row(Method::Initialize, "initialize", FIRST, LAST_OLD),
        &["protocolVersion", "capabilities", "clientInfo"],
    ),
    row(Method::Ping, "ping", FIRST, LAST_OLD),
    row(Method::ListTools, "tools/list", FIRST, NEW),
    named(
        needing(row(Method::CallTool, "tools/call", FIRST, NEW), &["name"]),
        "name",
    ),
    row(Method::ListPrompts, "prompts/list", FIRST, NEW),
    named(
        needing(row(Method::GetPrompt, "prompts/get", FIRST, NEW), &["name"]),
        "name",
    ),
    row(Method::ListResources, "resources/list", FIRST, NEW),
    row(
        Method::ListResourceTemplates,
        "resources/templates/list",
        FIRST,
        NEW,
    ),
    named(
        needing(row(Method::ReadResource, "resources/read", FIRST, NEW), &["uri"]),
        "uri",
    ),
    needing(
        row(Method::SubscribeResource, "resources/subscribe", FIRST, LAST_OLD),
        &["uri"],
    ),
    needing(
        row(
            Method::UnsubscribeResource,
            "resources/unsubscribe",
            FIRST,
            LAST_OLD,
        ),
        &["uri"],
    ),
    needing(
        row(Method::SetLogLevel, "logging/setLevel", FIRST, LAST_OLD),
        &["level"],
    ),
    needing(
        row(Method::Complete, "completion/complete", FIRST, NEW),
        &["ref", "argument"],
    ),
    needing(
        row(Method::Listen, "subscriptions/listen", NEW, NEW),
        &["notifications"],
    ),
    named(
        needing(row(Method::GetTask, "tasks/get", NEW, NEW), &["taskId"]),
        "taskId",
    ),
    named(
        needing(
            row(Method::AnswerTask, "tasks/update", NEW, NEW),
            &["taskId", "inputResponses"],
        ),
        "taskId",
    ),
    named(
        needing(row(Method::CancelTask, "tasks/cancel", NEW, NEW), &["taskId"]),
        "taskId",
    ),
];

impl MethodRow {
    /// Looks a method up by its name; `None` when the revision hasn't got it.
    #[must_use]
    pub fn find(name: &str, revision: Revision) -> Option<&'static Self> {
        METHODS.iter().find(|row| row.name == name && row.is_in(revision))
    }

    /// Tells whether the revision has the method.
    #[must_use]
    pub fn is_in(&self, revision: Revision) -> bool {
        self.since <= revision && revision <= self.until
    }
}
