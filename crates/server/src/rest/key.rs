//! API keys, for their owners.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use engine::{CreatedKey, Engine, NewKey};
use model::{
    ApiKey, Direction, KeyChange, KeyId, KeyName, KeyPrefix, KeySort, Scopes, Sort, Timestamp, UserId,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    envelope::{Envelope, List, ListEnvelope, Success},
    extract::{Json, ListQuery, NoFilter, OptionalJson, Path},
    failure::Failure,
    field::{self, schema},
    idempotent::Idempotent,
    principal::{KeyOnly, TokenOnly},
};

/// A key to be made. Everything may be left out, the body too.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct GenerateKey {
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::key_name)]
    name: Option<KeyName>,
    #[serde(default, deserialize_with = "field::scopes")]
    #[schema(schema_with = schema::scopes)]
    scopes: Option<Scopes>,
    /// When it stops being accepted; must be ahead.
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::moment)]
    expires_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "field::rate_limit")]
    #[schema(schema_with = schema::rate_limit)]
    rate_limit: Option<u32>,
}

impl From<GenerateKey> for NewKey {
    fn from(body: GenerateKey) -> Self {
        let GenerateKey {
            name,
            scopes,
            expires_at,
            rate_limit,
        } = body;
        Self {
            name,
            scopes: scopes.unwrap_or_default(),
            expires_at,
            rate_limit,
        }
    }
}

/// What changes of a key; what is left out stays. A key never gets wider and never lives longer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct UpdateKey {
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::key_name)]
    name: Option<KeyName>,
    #[serde(default, deserialize_with = "field::scopes")]
    #[schema(schema_with = schema::scopes)]
    scopes: Option<Scopes>,
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::moment)]
    expires_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "field::rate_limit")]
    #[schema(schema_with = schema::rate_limit)]
    rate_limit: Option<u32>,
}

impl From<UpdateKey> for KeyChange {
    fn from(body: UpdateKey) -> Self {
        let UpdateKey {
            name,
            scopes,
            expires_at,
            rate_limit,
        } = body;
        Self {
            name,
            scopes,
            expires_at,
            rate_limit,
        }
    }
}

/// An API key, without the key itself.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyView {
    #[schema(schema_with = schema::id)]
    id: KeyId,
    #[schema(value_type = String)]
    name: KeyName,
    /// The public beginning of the key, by which a person recognises it.
    #[schema(value_type = String, pattern = "^mcp_[a-z0-9]{12}$")]
    prefix: KeyPrefix,
    /// Whose it is, and as whom it acts.
    #[schema(schema_with = schema::id)]
    user_id: UserId,
    #[schema(schema_with = schema::scopes)]
    scopes: Scopes,
    /// False once revoked.
    is_active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::timestamp)]
    expires_at: Option<Timestamp>,
    /// Up to a few seconds late.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::timestamp)]
    last_used_at: Option<Timestamp>,
    /// Up to a few seconds late.
    #[schema(minimum = 0)]
    usage_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::rate_limit)]
    rate_limit: Option<u32>,
    #[schema(schema_with = schema::timestamp)]
    created_at: Timestamp,
}

impl From<ApiKey> for KeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            prefix: key.prefix,
            user_id: key.user_id,
            scopes: key.scopes,
            is_active: key.is_active,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            usage_count: key.usage_count,
            rate_limit: key.rate_limit,
            created_at: key.created_at,
        }
    }
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreatedKeyView {
    /// The key itself: shown here, and never again.
    key: String,
    #[serde(flatten)]
    view: KeyView,
}

impl From<CreatedKey> for CreatedKeyView {
    fn from(created: CreatedKey) -> Self {
        Self {
            key: created.secret.expose().to_owned(),
            view: created.key.into(),
        }
    }
}

type KeyListQuery = ListQuery<KeyOrder>;

/// By what a list of keys is sorted; a hyphen turns it around.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[schema(default = json!("-createdAt"))]
pub(crate) enum KeyOrder {
    #[serde(rename = "createdAt")]
    OldestFirst,
    #[default]
    #[serde(rename = "-createdAt")]
    NewestFirst,
    #[serde(rename = "name")]
    Name,
    #[serde(rename = "-name")]
    NameBackwards,
}

impl From<KeyOrder> for Sort<KeySort> {
    fn from(order: KeyOrder) -> Self {
        let (field, direction) = match order {
            KeyOrder::OldestFirst => (KeySort::CreatedAt, Direction::Ascending),
            KeyOrder::NewestFirst => (KeySort::CreatedAt, Direction::Descending),
            KeyOrder::Name => (KeySort::Name, Direction::Ascending),
            KeyOrder::NameBackwards => (KeySort::Name, Direction::Descending),
        };
        Self { field, direction }
    }
}

/// Make an API key
///
/// It acts as its maker, narrowed by its scopes; none means all that its maker may. The body may be left out.
#[utoipa::path(
    post, path = "/auth/api-key/generate", tag = "API keys", operation_id = "generateKey",
    security(("bearer" = [])),
    request_body(content = Option<GenerateKey>, example = json!({ "name": "my script", "scopes": ["plugins:execute"] })),
    responses(
        (
            status = 201, description = "The key, shown this once", body = Envelope<CreatedKeyView>,
            links(
                ("update" = (operation_id = "updateKey", parameters(("id" = "$response.body#/data/id")))),
                ("revoke" = (operation_id = "revokeKey", parameters(("id" = "$response.body#/data/id")))),
            ),
        ),
        (status = 409),
    ),
    extensions(("x-repeatable" = json!(true))),
)]
pub(crate) async fn generate(
    State(engine): State<Engine>,
    TokenOnly(principal): TokenOnly,
    body: Idempotent<OptionalJson<GenerateKey>>,
) -> Response {
    let caller = Arc::clone(&principal);
    let work = async move |OptionalJson(body): OptionalJson<GenerateKey>| {
        let created = engine
            .create_key(&principal, body.unwrap_or_default().into())
            .await?;
        Ok(Success::created(CreatedKeyView::from(created)))
    };
    body.once("/auth/api-key/generate", Some(caller), work).await
}

/// Tell which key was presented
///
/// For an API key that wants to know what it is.
#[utoipa::path(
    get, path = "/auth/api-key", tag = "API keys", operation_id = "readPresentedKey",
    security(("apiKey" = []), ("bearer" = [])),
    responses((status = 200, description = "The presented key", body = Envelope<KeyView>)),
)]
pub(crate) async fn read_presented(
    State(engine): State<Engine>,
    KeyOnly(principal): KeyOnly,
) -> Result<Success<KeyView>, Failure> {
    let key = engine.presented_key(&principal).await?;
    Ok(Success::ok(key.into()))
}

/// List one's own API keys
///
/// Revoked ones too.
#[utoipa::path(
    get, path = "/auth/api-keys", tag = "API keys", operation_id = "listKeys", security(("bearer" = [])),
    params(KeyListQuery),
    responses((status = 200, description = "A page of keys", body = ListEnvelope<KeyView>)),
)]
pub(crate) async fn list(
    State(engine): State<Engine>,
    TokenOnly(principal): TokenOnly,
    query: KeyListQuery,
) -> Result<List<KeyView>, Failure> {
    let (NoFilter {}, page) = query.split();
    let keys = engine.list_keys(&principal, page).await?;
    Ok(List::of(keys, KeyView::from))
}

/// Rename or narrow an API key
#[utoipa::path(
    patch, path = "/auth/api-keys/{id}", tag = "API keys", operation_id = "updateKey", security(("bearer" = [])),
    params(("id" = schema::Id, Path)),
    request_body(content = UpdateKey, example = json!({ "name": "my other script" })),
    responses(
        (status = 200, description = "The key, changed", body = Envelope<KeyView>),
        (status = 404), (status = 409),
    ),
)]
pub(crate) async fn update(
    State(engine): State<Engine>,
    TokenOnly(principal): TokenOnly,
    Path(id): Path<KeyId>,
    Json(body): Json<UpdateKey>,
) -> Result<Success<KeyView>, Failure> {
    let key = engine.update_key(&principal, id, body.into()).await?;
    Ok(Success::ok(key.into()))
}

/// Revoke an API key
///
/// For good: it is refused from the next request on.
#[utoipa::path(
    delete, path = "/auth/api-keys/{id}", tag = "API keys", operation_id = "revokeKey", security(("bearer" = [])),
    params(("id" = schema::Id, Path)),
    responses((status = 200, description = "The revoked key", body = Envelope<KeyView>), (status = 404)),
)]
pub(crate) async fn revoke(
    State(engine): State<Engine>,
    TokenOnly(principal): TokenOnly,
    Path(id): Path<KeyId>,
) -> Result<Success<KeyView>, Failure> {
    let key = engine.revoke_key(&principal, id).await?;
    Ok(Success::ok(key.into()))
}
