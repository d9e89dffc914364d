//! What happened to an account that its owner should know about.
#![expect(unused_qualifications, reason = "utoipa qualifies the types of parameters")]

use axum::extract::State;
use engine::{Engine, PageQuery};
use model::{SecurityEvent, SecurityEventId, SecurityEventKind, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    envelope::{List, ListEnvelope},
    extract::{Limit, Query},
    failure::Failure,
    field::{self, TimeOrder, schema},
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

/// Which page of the events, and in what order.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct SecurityEventListQuery {
    #[serde(default)]
    #[param(schema_with = schema::page_limit, required = false)]
    limit: Limit,
    #[serde(default, deserialize_with = "field::given")]
    #[param(schema_with = schema::cursor, required = false)]
    cursor: Option<String>,
    #[serde(default)]
    #[param(inline, required = false)]
    sort: TimeOrder,
}

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
    Query(query): Query<SecurityEventListQuery>,
) -> Result<List<SecurityEventView>, Failure> {
    let page = PageQuery {
        limit: query.limit.0,
        sort: query.sort.into(),
        cursor: query.cursor,
    };
    let events = engine.list_security_events(&principal, page).await?;
    Ok(List::of(events, SecurityEventView::from))
}
