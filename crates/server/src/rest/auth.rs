//! Signing in, staying signed in, signing out, and one's own account.

use axum::{extract::State, response::Response};
use engine::{Engine, ProfileChange, Registration, SignIn, SignedIn};
use model::{Email, Role, Secret, Username};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    envelope::{Envelope, Success},
    extract::Json,
    failure::Failure,
    field::{self, schema},
    idempotent::Idempotent,
    principal::{Anonymous, Optional, TokenOnly, TokenOrKey},
    request::Sender,
    rest::user::UserView,
};

/// An account to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Register {
    #[schema(schema_with = schema::email)]
    email: Email,
    #[schema(schema_with = schema::username)]
    username: Username,
    #[serde(deserialize_with = "field::secret")]
    #[schema(schema_with = schema::password)]
    password: Secret,
    /// Other than `user` only with an admin's credentials.
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::role)]
    role: Option<Role>,
}

impl From<Register> for Registration {
    fn from(body: Register) -> Self {
        let Register {
            email,
            username,
            password,
            role,
        } = body;
        Self {
            email,
            username,
            password,
            role,
        }
    }
}

/// What opens an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct LogIn {
    #[schema(example = "ada@example.org")]
    email: String,
    #[serde(deserialize_with = "field::secret")]
    #[schema(schema_with = schema::secret)]
    password: Secret,
}

/// What renews a session.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Refresh {
    #[serde(deserialize_with = "field::secret")]
    #[schema(schema_with = schema::secret)]
    refresh_token: Secret,
}

/// What changes of one's own account; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct UpdateProfile {
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::email)]
    email: Option<Email>,
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::username)]
    username: Option<Username>,
    #[serde(default, deserialize_with = "field::given")]
    #[schema(schema_with = schema::new_metadata)]
    metadata: Option<Option<Map<String, Value>>>,
}

impl From<UpdateProfile> for ProfileChange {
    fn from(body: UpdateProfile) -> Self {
        let UpdateProfile {
            email,
            username,
            metadata,
        } = body;
        Self {
            email,
            username,
            metadata,
        }
    }
}

/// A password in another's place.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ChangePassword {
    #[serde(deserialize_with = "field::secret")]
    #[schema(schema_with = schema::secret)]
    current_password: Secret,
    #[serde(deserialize_with = "field::secret")]
    #[schema(schema_with = schema::password)]
    new_password: Secret,
}

/// An account that has just signed in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignedInView {
    user: AccountView,
    /// The access token: sent with each request as `Authorization: Bearer …`.
    token: String,
    /// Sent once to `/api/v1/auth/refresh`, for the next pair.
    refresh_token: String,
}

/// Who signed in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AccountView {
    #[schema(schema_with = schema::id)]
    id: String,
    email: String,
    username: String,
    #[schema(schema_with = schema::role)]
    role: Role,
}

impl From<SignedIn> for SignedInView {
    fn from(signed_in: SignedIn) -> Self {
        let SignedIn { user, tokens } = signed_in;
        Self {
            user: AccountView {
                id: user.id.to_string(),
                email: user.email.to_string(),
                username: user.username.to_string(),
                role: user.role,
            },
            token: tokens.access.expose().to_owned(),
            refresh_token: tokens.refresh.expose().to_owned(),
        }
    }
}

/// How many sessions were ended.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndedView {
    #[schema(minimum = 0)]
    ended: u64,
}

/// That something was changed which isn't shown.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChangedView {
    changed: bool,
}

/// Make an account and sign in
///
/// A `role` other than `user` needs an admin's credentials. The e-mail and the user name must be free, whatever
/// their case and Unicode form.
#[utoipa::path(
    post, path = "/auth/register", tag = "Auth", operation_id = "register",
    security((), ("bearer" = []), ("apiKey" = [])),
    request_body(content = Register, example = json!({
        "email": "ada@example.org", "username": "ada", "password": "correct horse battery",
    })),
    responses(
        (
            status = 201, description = "The account, signed in", body = Envelope<SignedInView>,
            links(
                ("read" = (operation_id = "readUser", parameters(("id" = "$response.body#/data/user/id")))),
                ("update" = (operation_id = "updateUser", parameters(("id" = "$response.body#/data/user/id")))),
                ("delete" = (operation_id = "deleteUser", parameters(("id" = "$response.body#/data/user/id")))),
            ),
        ),
        (status = 409),
    ),
    extensions(("x-repeatable" = json!(true))),
)]
pub(crate) async fn register(
    State(engine): State<Engine>,
    Optional(principal): Optional,
    Sender(client): Sender,
    body: Idempotent<Json<Register>>,
) -> Response {
    let caller = principal.clone();
    let work = async move |Json(body): Json<Register>| {
        let signed_in = engine
            .register(principal.as_deref(), body.into(), &client)
            .await?;
        Ok(Success::created(SignedInView::from(signed_in)))
    };
    body.once("/auth/register", caller, work).await
}

/// Sign in with e-mail and password
///
/// The answer is the same, after the same work, whether the account is unknown, inactive or the password wrong.
/// After many failures on one account, further ones are refused for a while (429).
#[utoipa::path(
    post, path = "/auth/login", tag = "Auth", operation_id = "logIn",
    request_body(content = LogIn, example = json!({ "email": "ada@example.org", "password": "correct horse battery" })),
    responses((status = 200, description = "Signed in", body = Envelope<SignedInView>), (status = 401)),
)]
pub(crate) async fn log_in(
    State(engine): State<Engine>,
    _: Anonymous,
    Sender(client): Sender,
    Json(body): Json<LogIn>,
) -> Result<Success<SignedInView>, Failure> {
    let attempt = SignIn {
        email: body.email,
        password: body.password,
    };
    let signed_in = engine.sign_in(attempt, &client).await?;
    Ok(Success::ok(signed_in.into()))
}

/// Renew a session
///
/// The refresh token dies and a new pair takes its place. Using a dead one ends its whole session.
#[utoipa::path(
    post, path = "/auth/refresh", tag = "Auth", operation_id = "refresh",
    request_body = Refresh,
    responses((status = 200, description = "The next pair", body = Envelope<SignedInView>), (status = 401)),
)]
pub(crate) async fn refresh(
    State(engine): State<Engine>,
    _: Anonymous,
    Sender(client): Sender,
    Json(body): Json<Refresh>,
) -> Result<Success<SignedInView>, Failure> {
    let signed_in = engine.renew_session(body.refresh_token.expose(), &client).await?;
    Ok(Success::ok(signed_in.into()))
}

/// End this session
#[utoipa::path(
    post, path = "/auth/logout", tag = "Auth", operation_id = "logOut", security(("bearer" = [])),
    responses((status = 200, description = "The session is over", body = Envelope<EndedView>)),
)]
pub(crate) async fn log_out(
    State(engine): State<Engine>,
    TokenOnly(principal): TokenOnly,
) -> Result<Success<EndedView>, Failure> {
    engine.sign_out(&principal).await?;
    Ok(Success::ok(EndedView { ended: 1 }))
}

/// End all sessions of one's account
#[utoipa::path(
    post, path = "/auth/logout-all", tag = "Auth", operation_id = "logOutEverywhere", security(("bearer" = [])),
    responses((status = 200, description = "They are over, this one too", body = Envelope<EndedView>)),
)]
pub(crate) async fn log_out_everywhere(
    State(engine): State<Engine>,
    TokenOnly(principal): TokenOnly,
) -> Result<Success<EndedView>, Failure> {
    let ended = engine.sign_out_everywhere(&principal).await?;
    Ok(Success::ok(EndedView { ended }))
}

/// Read one's own account
#[utoipa::path(
    get, path = "/auth/profile", tag = "Auth", operation_id = "readProfile",
    security(("bearer" = []), ("apiKey" = [])),
    responses((status = 200, description = "One's own account", body = Envelope<UserView>)),
)]
pub(crate) async fn read_profile(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
) -> Result<Success<UserView>, Failure> {
    let user = engine.profile(&principal).await?;
    Ok(Success::ok(user.into()))
}

/// Change one's own account
///
/// What is left out stays as it is; `null` metadata removes it.
#[utoipa::path(
    put, path = "/auth/profile", tag = "Auth", operation_id = "updateProfile",
    security(("bearer" = []), ("apiKey" = [])),
    request_body(content = UpdateProfile, example = json!({ "metadata": { "team": "analysis" } })),
    responses((status = 200, description = "One's own account, changed", body = Envelope<UserView>), (status = 409)),
)]
pub(crate) async fn update_profile(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
    Json(body): Json<UpdateProfile>,
) -> Result<Success<UserView>, Failure> {
    let user = engine.update_profile(&principal, body.into()).await?;
    Ok(Success::ok(user.into()))
}

/// Change one's password
///
/// Ends all other sessions of the account and revokes its keys; this session goes on.
#[utoipa::path(
    put, path = "/auth/password", tag = "Auth", operation_id = "changePassword", security(("bearer" = [])),
    request_body = ChangePassword,
    responses((status = 200, description = "It is changed", body = Envelope<ChangedView>)),
)]
pub(crate) async fn change_password(
    State(engine): State<Engine>,
    TokenOnly(principal): TokenOnly,
    Sender(client): Sender,
    Json(body): Json<ChangePassword>,
) -> Result<Success<ChangedView>, Failure> {
    engine
        .change_password(&principal, body.current_password, body.new_password, &client)
        .await?;
    Ok(Success::ok(ChangedView { changed: true }))
}
