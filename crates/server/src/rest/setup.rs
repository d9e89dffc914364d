//! The page on which the first admin is made: plain HTML and a style sheet, without scripts.
#![expect(unused_qualifications, reason = "utoipa qualifies the types of parameters")]

use std::collections::HashMap;

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use engine::{Engine, Registration};
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use model::{Detail, Email, Error, ErrorCode, ErrorKind, Secret, Username};
use utoipa::IntoParams;

use crate::{
    extract::Query,
    failure::Failure,
    field::schema,
    principal::Anonymous,
    request::Sender,
    rest::setup::page::{Entries, form, no_such_link, welcome},
};

mod page;

/// The page may load its style sheet, send its form to this server, and nothing else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);
/// With `no-referrer`, browsers would send the form with `Origin: null` (Fetch, "append a request Origin header").
const REFERRER: HeaderValue = HeaderValue::from_static("same-origin");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const CSS: HeaderValue = HeaderValue::from_static("text/css; charset=utf-8");
const STYLE: &str = include_str!("setup/style.css");
const FORM: &str = "application/x-www-form-urlencoded";

/// The largest form, in bytes: the largest password, each byte escaped, and the other entries.
const MAX_FORM_BYTES: usize = 16 * 1024;

/// Which link was followed.
#[derive(serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Link {
    /// The one-time token of the link.
    token: String,
}

/// What was entered into the form.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the form; the handler reads it by name")]
pub(crate) struct SetupForm {
    token: String,
    email: String,
    username: String,
    #[schema(schema_with = schema::password)]
    password: String,
    /// The password once more.
    repeated: String,
}

/// Show the page on which the first admin is made
///
/// Only with a valid link, which the server prints when it starts without an admin.
#[utoipa::path(
    get, path = "/setup", tag = "Pages", operation_id = "showSetup",
    params(Link),
    responses(
        (status = 200, description = "A form", content_type = "text/html", body = String),
        (status = 404, description = "The link is not valid (any more)", content_type = "text/html", body = String),
    ),
)]
pub(crate) async fn show(
    State(engine): State<Engine>,
    _: Anonymous,
    Query(link): Query<Link>,
) -> Result<Response, Failure> {
    match engine.check_setup_token(&link.token).await {
        Ok(()) => Ok(html(StatusCode::OK, form(&link.token, &Entries::default(), &[]))),
        Err(error) => refuse(error, &link.token, &Entries::default()),
    }
}

/// Make the first admin
#[utoipa::path(
    post, path = "/setup", tag = "Pages", operation_id = "setUp",
    request_body(content = SetupForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 201, description = "The first admin was made", content_type = "text/html", body = String),
        (status = 404, description = "The link is not valid (any more)", content_type = "text/html", body = String),
        (status = 409, description = "The address or name is taken", content_type = "text/html", body = String),
        (status = 422, description = "The form, with what to correct", content_type = "text/html", body = String),
    ),
)]
pub(crate) async fn submit(
    State(engine): State<Engine>,
    _: Anonymous,
    Sender(client): Sender,
    request: Request,
) -> Result<Response, Failure> {
    let fields = read_form(request).await?;
    let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let entries = Entries {
        email: field("email"),
        username: field("username"),
    };
    let token = field("token");
    // Without a valid link, nothing is said about what was entered.
    if let Err(error) = engine.check_setup_token(&token).await {
        return refuse(error, &token, &entries);
    }
    let made = match registration(&entries, field("password"), &field("repeated")) {
        Ok(registration) => engine.create_first_admin(&token, registration, &client).await,
        Err(error) => Err(error),
    };
    match made {
        Ok(signed_in) => Ok(html(StatusCode::CREATED, welcome(&signed_in.user))),
        Err(error) => refuse(error, &token, &entries),
    }
}

/// Read the page's style sheet
#[utoipa::path(
    get, path = "/setup/style.css", tag = "Pages", operation_id = "readSetupStyle",
    responses((status = 200, description = "A style sheet", content_type = "text/css", body = String)),
)]
pub(crate) async fn style() -> Response {
    ([(header::CONTENT_TYPE, CSS)], STYLE).into_response()
}

async fn read_form(request: Request<Body>) -> Result<HashMap<String, String>, Failure> {
    let kind = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    if !kind.eq_ignore_ascii_case(FORM) {
        let message = format!("this takes {FORM}");
        return Err(Error::new(ErrorCode::UnsupportedMediaType, message).into());
    }
    let body = Limited::new(request.into_body(), MAX_FORM_BYTES).collect().await;
    let body = body.map_err(|_| Error::new(ErrorCode::PayloadTooLarge, "the form is larger than 16 KiB"))?;
    serde_urlencoded::from_bytes(&body.to_bytes())
        .map_err(|_| Error::new(ErrorCode::MalformedRequest, "the form can't be read").into())
}

fn registration(entries: &Entries, password: String, repeated: &str) -> model::Result<Registration> {
    let email = Email::parse(&entries.email).map_err(|error| error.under("email"));
    let username = Username::parse(&entries.username).map_err(|error| error.under("username"));
    let (email, username) = match (email, username) {
        (Ok(email), Ok(username)) => (email, username),
        (email, username) => {
            let refusals = [email.err(), username.err()].into_iter().flatten();
            return Err(Error::invalid_fields(
                refusals.flat_map(|error| error.details().to_vec()).collect(),
            ));
        }
    };
    if password != repeated {
        return Err(Error::invalid("repeated", "must be the same password"));
    }
    Ok(Registration {
        email,
        username,
        password: Secret::new(password),
        role: None,
    })
}

/// Shows what can be put right on the page itself; everything else fails as it does everywhere.
fn refuse(error: Error, token: &str, entries: &Entries) -> Result<Response, Failure> {
    let kind = error.kind();
    if kind == ErrorKind::NotFound {
        return Ok(html(StatusCode::NOT_FOUND, no_such_link()));
    }
    if ![ErrorKind::Invalid, ErrorKind::Conflict].contains(&kind) {
        return Err(error.into());
    }
    let whole = [Detail {
        path: String::new(),
        message: error.message().to_owned(),
    }];
    let details = if error.details().is_empty() {
        &whole
    } else {
        error.details()
    };
    let page = form(token, entries, details);
    Ok(html(Failure::from(error).status(), page))
}

fn html(status: StatusCode, page: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HTML),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, REFERRER),
    ];
    (status, headers, page).into_response()
}
