//! The OpenAPI document, and a page that shows it; both are served from the binary.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use axum::{
    Extension,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;
use utoipa_swagger_ui::Config;

use crate::{
    extract::Path,
    failure::{Failure, JSON},
    field::schema,
};

/// How long the parts of the page may be kept; they change with the server's version only.
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// What the page may do: run its own scripts and styles, call this server, and nothing else. It sets styles from
/// its scripts, and draws icons from data URLs.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The document, drawn when somebody first asks for it, and the page's settings.
#[derive(Clone)]
pub(crate) struct Docs {
    draw: fn() -> Value,
    drawn: Arc<OnceLock<Bytes>>,
    config: Arc<Config<'static>>,
}

impl Docs {
    /// Takes what draws the document that is to be shown.
    pub(crate) fn new(draw: fn() -> Value) -> Self {
        let config = Config::from("/openapi.json")
            .use_base_layout()
            .try_it_out_enabled(true)
            .persist_authorization(false)
            .validator_url("none");
        Self {
            draw,
            drawn: Arc::default(),
            config: Arc::new(config),
        }
    }

    fn document(&self) -> Bytes {
        let drawn = self.drawn.get_or_init(|| (self.draw)().to_string().into());
        drawn.clone()
    }
}

/// Read this document
#[utoipa::path(
    get, path = "/openapi.json", tag = "Pages", operation_id = "readDocument",
    responses((status = 200, description = "An OpenAPI 3.1 document", content_type = "application/json",
        body = schema::AnyObject)),
)]
pub(crate) async fn document(Extension(docs): Extension<Docs>) -> Response {
    ([(header::CONTENT_TYPE, JSON)], docs.document()).into_response()
}

/// Go to the page that shows this document
#[utoipa::path(
    get, path = "/docs", tag = "Pages", operation_id = "goToDocs",
    responses((status = 308, description = "To `/docs/`")),
)]
pub(crate) async fn redirect() -> Response {
    (
        StatusCode::PERMANENT_REDIRECT,
        [(header::LOCATION, HeaderValue::from_static("/docs/"))],
    )
        .into_response()
}

/// Show this document
#[utoipa::path(
    get, path = "/docs/", tag = "Pages", operation_id = "showDocs",
    responses((status = 200, description = "A page", content_type = "text/html", body = String)),
)]
pub(crate) async fn page(Extension(docs): Extension<Docs>) -> Result<Response, Failure> {
    serve("index.html", docs)
}

/// Read a part of the page that shows this document
#[utoipa::path(
    get, path = "/docs/{file}", tag = "Pages", operation_id = "readDocsFile",
    params(("file" = String, Path, description = "A style sheet, script or image of the page")),
    responses((status = 200, description = "The part", content(
        (String = "text/css"), (String = "text/javascript"), (String = "text/html"), (Vec<u8> = "image/png"),
    )), (status = 404)),
)]
pub(crate) async fn file(
    Extension(docs): Extension<Docs>,
    Path(file): Path<String>,
) -> Result<Response, Failure> {
    let mut part = serve(&file, docs)?;
    part.headers_mut().insert(header::CACHE_CONTROL, KEPT);
    Ok(part)
}

fn serve(file: &str, docs: Docs) -> Result<Response, Failure> {
    let found =
        utoipa_swagger_ui::serve(file, docs.config).map_err(|error| model::Error::bug(error.to_string()))?;
    let found = found.ok_or_else(|| model::Error::not_found("page"))?;
    let kind = HeaderValue::from_str(&found.content_type).map_err(model::Error::bug)?;
    let bytes = match found.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    let mut response = (
        [
            (header::CONTENT_TYPE, kind),
            (header::CONTENT_SECURITY_POLICY, POLICY),
        ],
        bytes,
    )
        .into_response();
    if found.gzpipped {
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}
