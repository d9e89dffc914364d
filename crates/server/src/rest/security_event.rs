//! What happened to an account that its owner should know about.

use axum::extract::State;
use engine::Engine;
use model::{SecurityEvent, SecurityEventId, SecurityEventKind, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    envelope::{List, ListEnvelope},
    extract::{ListQuery, NoFilter},
    failure::Failure,
    field::{TimeOrder, schema},
    principal::TokenOnly,
};

/// Something that happened to an account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecurityEventView {
    #[schema(schema_with = schema::id)]
    id: SecurityEventId,
    #[schema(schema_with = schema::security_event_kind)]
    kind: SecurityEventKind,
    /// The network address that it came from, when known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ip_address: Option<String>,
    #[schema(schema_with = schema::timestamp)]
    created_at: Timestamp,
}

impl From<SecurityEvent> for SecurityEventView {
    fn from(event: SecurityEvent) -> Self {
        let SecurityEvent {
            id,
            kind,
            ip_address,
            created_at,
            ..
        } = event;
        Self {
            id,
            kind,
            ip_address,
            created_at,
        }
    }
}

type SecurityEventListQuery = ListQuery<TimeOrder>;

/// List what happened to one's own account
///
/// A dead refresh token was used, the password was changed, sign-ins are refused for a while.
#[utoipa::path(
    get, path = "/auth/security-events", tag = "Auth", operation_id = "listSecurityEvents",
    security(("bearer" = [])),
    params(SecurityEventListQuery),
    responses((status = 200, description = "A page of events", body = ListEnvelope<SecurityEventView>)),
)]
pub(crate) async fn list(
    State(engine): State<Engine>,
    TokenOnly(principal): TokenOnly,
    query: SecurityEventListQuery,
) -> Result<List<SecurityEventView>, Failure> {
    let (NoFilter {}, page) = query.split();
    let events = engine.list_security_events(&principal, page).await?;
    Ok(List::of(events, SecurityEventView::from))
}
