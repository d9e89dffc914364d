//! Whose pages may ask, and under which names: hosts, origins, CORS.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header, uri::Authority};
use model::{Error, ErrorCode, Result};

use crate::config::{AllowedHosts, CorsOrigins, Edge};

/// What a page of another origin may read of an answer, besides what every page may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "X-Request-Id, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, Idempotency-Replayed, \
     WWW-Authenticate, Mcp-Session-Id",
);
const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
const ALLOWED_HEADERS: &str = "Authorization, X-API-Key, Content-Type, Idempotency-Key, X-Request-Id, \
     MCP-Protocol-Version, Mcp-Session-Id, Mcp-Method, Mcp-Name, Last-Event-ID";
/// What begins the names of headers that repeat arguments of a tool; there is one for each such argument.
const PARAMETER_HEADER: &str = "mcp-param-";
/// The most such headers that a page is allowed at once.
const MAX_PARAMETER_HEADERS: usize = 32;
/// How long a browser may remember what it was allowed, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
const ANY: HeaderValue = HeaderValue::from_static("*");
const NULL: &[u8] = b"null";

/// A request's origin, when a browser sent it: where answers may be read.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    /// What is answered as `Access-Control-Allow-Origin`.
    allowed: HeaderValue,
}

/// Passes when the request names one host, and that is one of this server.
pub(super) fn check_host(uri: &Uri, version: Version, headers: &HeaderMap, edge: &Edge) -> Result<()> {
    let mut hosts = headers.get_all(header::HOST).into_iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(malformed("the header Host was sent more than once"));
    }
    if uri.authority().is_none()
        && let Some(name) = first.and_then(plain_name)
        && edge.allowed_hosts.contains(name)
    {
        return Ok(());
    }
    let header = first.map(parse_authority).transpose()?;
    let named = match (uri.authority(), header.as_ref()) {
        (Some(target), Some(header)) if target.as_str() != header.as_str() => {
            return Err(malformed(
                "the header Host names another host than the request's target",
            ));
        }
        (Some(target), _) => target,
        (None, Some(header)) => header,
        // What asks so old-fashioned is a load balancer that looks whether the server lives.
        (None, None) if version == Version::HTTP_10 && edge.allowed_hosts == AllowedHosts::Any => {
            return Ok(());
        }
        (None, None) => return Err(malformed("the header Host is missing")),
    };
    if edge.allowed_hosts.contains(named.host()) {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::HostNotAllowed,
        "this server does not answer to that host name",
    ))
}

/// Passes when no page of a foreign origin makes the request change something; gives the origin that may read the answer.
pub(super) fn check_origin(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    edge: &Edge,
) -> Result<Option<Reader>> {
    let mut origins = headers.get_all(header::ORIGIN).into_iter();
    let Some(origin) = origins.next() else {
        return Ok(None);
    };
    let reader = allowed_reader(origin, &edge.cors_origins).filter(|_| origins.next().is_none());
    let is_safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if reader.is_some() || is_safe || is_own(origin, uri, headers) {
        return Ok(reader);
    }
    Err(Error::new(
        ErrorCode::OriginNotAllowed,
        "pages of that origin may not change anything here",
    ))
}

/// Passes when no page of a foreign origin makes the request, whatever its method; gives the origin that may read the
/// answer.
///
/// Where every origin may call (`CORS_ORIGIN` is `*`), this still takes the pages of this server's own host names only:
/// the protocol behind it wants foreign ones refused always (DNS rebinding).
pub(super) fn check_client_origin(uri: &Uri, headers: &HeaderMap, edge: &Edge) -> Result<Option<Reader>> {
    let mut origins = headers.get_all(header::ORIGIN).into_iter();
    let Some(origin) = origins.next() else {
        return Ok(None);
    };
    let reader = match &edge.cors_origins {
        CorsOrigins::Any => {
            let is_known = is_of_own_name(origin, &edge.allowed_hosts);
            is_known.then(|| Reader {
                allowed: origin.clone(),
            })
        }
        CorsOrigins::Listed(_) => allowed_reader(origin, &edge.cors_origins),
    };
    let is_only = origins.next().is_none();
    if is_only && (reader.is_some() || is_own(origin, uri, headers)) {
        return Ok(reader);
    }
    Err(Error::new(
        ErrorCode::OriginNotAllowed,
        "pages of that origin may not call this; CORS_ORIGIN lists those that may",
    ))
}

/// Tells whether the page came from one of the names that this server answers to, from whatever port.
fn is_of_own_name(origin: &HeaderValue, hosts: &AllowedHosts) -> bool {
    let authority = origin.to_str().ok().and_then(|text| text.split_once("://"));
    match (authority, hosts) {
        (Some(("http" | "https", authority)), AllowedHosts::Listed(_)) => authority
            .parse::<Authority>()
            .is_ok_and(|authority| hosts.contains(authority.host())),
        _ => false,
    }
}

/// Tells whether a browser asks what a page of another origin may do (Fetch, CORS-preflight request).
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Answers what a page may do; an origin that may do nothing is told nothing.
pub(super) fn answer_preflight(reader: Option<&Reader>, asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if reader.is_some() {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers(asked));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    }
    response
}

/// The headers that a page may send: those that are known, and those that it asks for and that repeat arguments.
fn allowed_headers(asked: &HeaderMap) -> HeaderValue {
    let asked = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let names = asked.and_then(|names| names.to_str().ok()).unwrap_or_default();
    let is_parameter = |name: &&str| {
        name.get(..PARAMETER_HEADER.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(PARAMETER_HEADER))
            && name.parse::<HeaderName>().is_ok()
    };
    let parameters = names.split(',').map(str::trim).filter(is_parameter);
    let mut allowed = ALLOWED_HEADERS.to_owned();
    for name in parameters.take(MAX_PARAMETER_HEADERS) {
        allowed.push_str(", ");
        allowed.push_str(name);
    }
    HeaderValue::from_str(&allowed).unwrap_or(HeaderValue::from_static(ALLOWED_HEADERS))
}

impl Reader {
    /// Lets the page read the answer.
    pub(super) fn admit(self, headers: &mut HeaderMap) {
        if self.allowed != ANY {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.allowed);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

fn allowed_reader(origin: &HeaderValue, allowed: &CorsOrigins) -> Option<Reader> {
    if origin.as_bytes() == NULL {
        return None;
    }
    let allowed = match allowed {
        CorsOrigins::Any => ANY,
        CorsOrigins::Listed(listed) => {
            let is_listed = listed
                .iter()
                .any(|known| known.as_bytes().eq_ignore_ascii_case(origin.as_bytes()));
            is_listed.then(|| origin.clone())?
        }
    };
    Some(Reader { allowed })
}

/// Tells whether the page came from this server: its origin has the host and port that the request names.
fn is_own(origin: &HeaderValue, uri: &Uri, headers: &HeaderMap) -> bool {
    let named = uri.authority().map(Authority::as_str);
    let named = named.or_else(|| headers.get(header::HOST).and_then(|host| host.to_str().ok()));
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    matches!((origin, named), (Some(("http" | "https", host)), Some(named)) if host.eq_ignore_ascii_case(named))
}

/// The name in a host of the usual form, found at little cost: a name of letters and digits, with or without a port.
fn plain_name(host: &HeaderValue) -> Option<&str> {
    let text = host.to_str().ok()?;
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let has_form =
        !name.is_empty() && name.bytes().all(is_plain) && port.bytes().all(|byte| byte.is_ascii_digit());
    has_form.then_some(name)
}

fn parse_authority(value: &HeaderValue) -> Result<Authority> {
    let parsed = Authority::try_from(value.as_bytes()).ok();
    let is_plain = |authority: &Authority| !authority.as_str().contains('@') && !authority.host().is_empty();
    parsed
        .filter(is_plain)
        .ok_or_else(|| malformed("the header Host is not a host name"))
}

fn malformed(message: &'static str) -> Error {
    Error::new(ErrorCode::MalformedRequest, message)
}
