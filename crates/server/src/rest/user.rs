//! Accounts, for their owners and for admins.
#![expect(unused_qualifications, reason = "utoipa qualifies the types of parameters")]

use axum::extract::State;
use engine::Engine;
use model::{
    Direction, Email, FoldedText, Role, Sort, Timestamp, User, UserChange, UserFilter, UserId, UserOverview,
    UserSort, Username,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::{
    envelope::{Envelope, List, ListEnvelope, Success},
    extract::{Json, ListQuery, Path},
    failure::Failure,
    field::{self, schema},
    principal::TokenOrKey,
};

/// An account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserView {
    #[schema(schema_with = schema::id)]
    id: UserId,
    #[schema(value_type = String)]
    email: Email,
    #[schema(value_type = String)]
    username: Username,
    #[schema(schema_with = schema::role)]
    role: Role,
    /// An inactive account can do nothing.
    is_active: bool,
    /// Whether its owner has shown that the address is theirs.
    is_email_verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::timestamp)]
    last_login: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::any_object)]
    metadata: Option<Map<String, Value>>,
    #[schema(schema_with = schema::timestamp)]
    created_at: Timestamp,
    #[schema(schema_with = schema::timestamp)]
    updated_at: Timestamp,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            email: user.email,
            username: user.username,
            role: user.role,
            is_active: user.is_active,
            is_email_verified: user.is_email_verified,
            last_login: user.last_login,
            metadata: user.metadata,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

/// What changes of an account; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct UpdateUser {
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::email)]
    email: Option<Email>,
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::username)]
    username: Option<Username>,
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::new_metadata)]
    metadata: Option<Option<Map<String, Value>>>,
    /// Only an admin changes it.
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::role)]
    role: Option<Role>,
    /// Only an admin changes it.
    #[serde(default, deserialize_with = "field::given")]
    #[schema(nullable = false)]
    is_active: Option<bool>,
}

impl From<UpdateUser> for UserChange {
    fn from(body: UpdateUser) -> Self {
        let UpdateUser {
            email,
            username,
            metadata,
            role,
            is_active,
        } = body;
        Self {
            email,
            username,
            metadata,
            role,
            is_active,
        }
    }
}

type UserListQuery = ListQuery<UserOrder, UserListFilter>;

/// Which accounts a list holds.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct UserListFilter {
    /// Only accounts with this role.
    #[serde(default, deserialize_with = "field::given")]
    #[param(schema_with = schema::role, required = false)]
    role: Option<Role>,
    /// Only active or only inactive ones.
    #[serde(default, deserialize_with = "field::given")]
    #[param(nullable = false)]
    is_active: Option<bool>,
    /// Only those whose e-mail or user name contains this text, whatever its case.
    #[serde(default, deserialize_with = "field::search")]
    #[param(schema_with = schema::search, required = false)]
    q: Option<String>,
}

impl From<UserListFilter> for UserFilter {
    fn from(query: UserListFilter) -> Self {
        Self {
            role: query.role,
            is_active: query.is_active,
            contains: query.q.as_deref().map(FoldedText::of),
        }
    }
}

/// By what a list of accounts is sorted; a hyphen turns it around.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[schema(default = json!("-createdAt"))]
pub(crate) enum UserOrder {
    #[serde(rename = "createdAt")]
    OldestFirst,
    #[default]
    #[serde(rename = "-createdAt")]
    NewestFirst,
    #[serde(rename = "email")]
    Email,
    #[serde(rename = "-email")]
    EmailBackwards,
    #[serde(rename = "username")]
    Username,
    #[serde(rename = "-username")]
    UsernameBackwards,
}

impl From<UserOrder> for Sort<UserSort> {
    fn from(order: UserOrder) -> Self {
        let (field, direction) = match order {
            UserOrder::OldestFirst => (UserSort::CreatedAt, Direction::Ascending),
            UserOrder::NewestFirst => (UserSort::CreatedAt, Direction::Descending),
            UserOrder::Email => (UserSort::Email, Direction::Ascending),
            UserOrder::EmailBackwards => (UserSort::Email, Direction::Descending),
            UserOrder::Username => (UserSort::Username, Direction::Ascending),
            UserOrder::UsernameBackwards => (UserSort::Username, Direction::Descending),
        };
        Self { field, direction }
    }
}

/// How many accounts there are, and what they did.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserOverviewView {
    #[schema(minimum = 0)]
    total: u64,
    #[schema(minimum = 0)]
    active: u64,
    #[schema(minimum = 0)]
    inactive: u64,
    by_role: RoleCounts,
    /// The last 30 days in UTC, oldest first.
    days: Vec<DayView>,
}

/// How many accounts have each role.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RoleCounts {
    #[schema(minimum = 0)]
    user: u64,
    #[schema(minimum = 0)]
    developer: u64,
    #[schema(minimum = 0)]
    admin: u64,
}

/// One day's new and active accounts.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DayView {
    #[schema(format = Date, example = "2026-01-31")]
    date: String,
    /// Accounts made on that day.
    #[schema(minimum = 0)]
    new: u64,
    /// Accounts that signed in, renewed a session or used a key on that day.
    #[schema(minimum = 0)]
    active: u64,
}

impl From<UserOverview> for UserOverviewView {
    fn from(overview: UserOverview) -> Self {
        let [user, developer, admin] = overview.by_role;
        let days = overview.days.into_iter();
        Self {
            total: overview.total,
            active: overview.active,
            inactive: overview.total.saturating_sub(overview.active),
            by_role: RoleCounts {
                user,
                developer,
                admin,
            },
            days: days
                .map(|day| DayView {
                    date: day.day.to_date(),
                    new: day.new,
                    active: day.active,
                })
                .collect(),
        }
    }
}

/// List all accounts
///
/// For admins only.
#[utoipa::path(
    get, path = "/users", tag = "Users", operation_id = "listUsers",
    security(("bearer" = []), ("apiKey" = [])),
    params(UserListQuery),
    responses((status = 200, description = "A page of accounts", body = ListEnvelope<UserView>)),
)]
pub(crate) async fn list(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
    query: UserListQuery,
) -> Result<List<UserView>, Failure> {
    let (filter, page) = query.split();
    let users = engine.list_users(&principal, filter.into(), page).await?;
    Ok(List::of(users, UserView::from))
}

/// Read an account
///
/// One's own, or any for an admin.
#[utoipa::path(
    get, path = "/users/{id}", tag = "Users", operation_id = "readUser",
    security(("bearer" = []), ("apiKey" = [])),
    params(("id" = schema::Id, Path)),
    responses((status = 200, description = "The account", body = Envelope<UserView>), (status = 404)),
)]
pub(crate) async fn read(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
    Path(id): Path<UserId>,
) -> Result<Success<UserView>, Failure> {
    let user = engine.user(&principal, id).await?;
    Ok(Success::ok(user.into()))
}

/// Change an account
///
/// One's own, or any for an admin. What is left out stays as it is; `null` metadata removes it. Role and
/// activity are changed by admins only, and the last active admin stays one (409).
#[utoipa::path(
    put, path = "/users/{id}", tag = "Users", operation_id = "updateUser",
    security(("bearer" = []), ("apiKey" = [])),
    params(("id" = schema::Id, Path)),
    request_body(content = UpdateUser, example = json!({ "username": "ada.lovelace" })),
    responses(
        (status = 200, description = "The account, changed", body = Envelope<UserView>),
        (status = 404), (status = 409),
    ),
)]
pub(crate) async fn update(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
    Path(id): Path<UserId>,
    Json(body): Json<UpdateUser>,
) -> Result<Success<UserView>, Failure> {
    let user = engine.update_user(&principal, id, body.into()).await?;
    Ok(Success::ok(user.into()))
}

/// Delete an account
///
/// For admins only. Its sessions and keys go with it; the history of its calls stays. The last active admin
/// can't be deleted (409).
#[utoipa::path(
    delete, path = "/users/{id}", tag = "Users", operation_id = "deleteUser",
    security(("bearer" = []), ("apiKey" = [])),
    params(("id" = schema::Id, Path)),
    responses(
        (status = 200, description = "The account as it was", body = Envelope<UserView>),
        (status = 404), (status = 409),
    ),
)]
pub(crate) async fn delete(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
    Path(id): Path<UserId>,
) -> Result<Success<UserView>, Failure> {
    let user = engine.delete_user(&principal, id).await?;
    Ok(Success::ok(user.into()))
}

/// Count accounts
///
/// By role and activity, and new and active ones by day. For admins only.
#[utoipa::path(
    get, path = "/users/stats/overview", tag = "Users", operation_id = "countUsers",
    security(("bearer" = []), ("apiKey" = [])),
    responses((status = 200, description = "The counts", body = Envelope<UserOverviewView>)),
)]
pub(crate) async fn overview(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
) -> Result<Success<UserOverviewView>, Failure> {
    let overview = engine.user_overview(&principal).await?;
    Ok(Success::ok(overview.into()))
}
