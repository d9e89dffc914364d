//! What the server's own tools say of themselves.

use protocol::{Tool, ToolAnnotations};
use serde_json::{Value, json};

use super::{LONGEST_WAIT, OwnTool, USUAL_WAIT};

impl OwnTool {
    /// The tool as it is listed.
    pub(in crate::mcp::tool) fn describe(self) -> Tool {
        let (title, description, input) = match self {
            Self::Submit => (
                "Hand in work",
                "Calls another tool as a task: at once it gives the task's id, and the work goes on by itself until it is \
                 done, even if the server restarts. Use it for whatever may take longer than you can wait.",
                submission(),
            ),
            Self::Status => (
                "Look at a task",
                "Shows how far a task has come, and its result or error once it has ended.",
                named(),
            ),
            Self::Wait => (
                "Wait for a task",
                "Waits until a task has ended or asks something, for 50 seconds at most, and shows it. Call it again \
                 while isFinal is false.",
                waiting(),
            ),
            Self::Cancel => (
                "Call a task off",
                "Stops a task that has not ended; what it has done already stays done.",
                named(),
            ),
        };
        Tool {
            name: self.name().to_owned(),
            title: Some(title.to_owned()),
            description: Some(description.to_owned()),
            input_schema: input,
            output_schema: Some(task()),
            annotations: Some(self.hints()),
        }
    }

    fn hints(self) -> ToolAnnotations {
        let reads = matches!(self, Self::Status | Self::Wait);
        ToolAnnotations {
            read_only: reads,
            destructive: self == Self::Cancel,
            idempotent: self != Self::Submit,
            open_world: self == Self::Submit,
        }
    }
}

fn submission() -> Value {
    json!({
        "type": "object",
        "properties": {
            "tool": { "type": "string", "description": "The name of the tool, as tools/list shows it." },
            "arguments": { "type": "object", "description": "What the tool works on, as its input schema says." },
            "title": { "type": "string", "description": "What people see the task called.", "maxLength": 200 },
        },
        "required": ["tool"],
        "additionalProperties": false,
    })
}

fn named() -> Value {
    json!({
        "type": "object",
        "properties": { "taskId": task_id() },
        "required": ["taskId"],
        "additionalProperties": false,
    })
}

fn waiting() -> Value {
    json!({
        "type": "object",
        "properties": {
            "taskId": task_id(),
            "seconds": { "type": "integer", "minimum": 1, "maximum": LONGEST_WAIT, "default": USUAL_WAIT },
        },
        "required": ["taskId"],
        "additionalProperties": false,
    })
}

fn task_id() -> Value {
    json!({ "type": "string", "format": "uuid", "description": "What tasks__submit gave." })
}

fn task() -> Value {
    let text = || json!({ "type": "string" });
    json!({
        "type": "object",
        "properties": {
            "taskId": text(),
            "title": text(),
            "tool": text(),
            "status": { "enum": ["pending", "in-progress", "completed", "failed", "cancelled"] },
            "isFinal": { "type": "boolean" },
            "progress": {
                "type": "object",
                "properties": { "fraction": { "type": "number" }, "message": text() },
                "required": ["fraction"],
            },
            "asks": { "type": "array", "items": text() },
            "result": {},
            "error": {
                "type": "object",
                "properties": { "code": text(), "message": text() },
                "required": ["code", "message"],
            },
            "createdAt": text(),
            "updatedAt": text(),
        },
        "required": ["taskId", "title", "status", "isFinal", "createdAt", "updatedAt"],
    })
}
