//! Where callers reach this server.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, Uri, header, uri::Authority};

use crate::{address::client_scheme, config::Edge};

/// The address under which the caller of a request reached this server, before it is written out.
#[derive(Clone, Debug)]
pub(crate) struct Place<'e> {
    known: Option<&'e str>,
    scheme: &'static str,
    target: Option<Authority>,
    host: Option<HeaderValue>,
}

impl<'e> Place<'e> {
    /// Takes down what a request says of the way that it took.
    pub(crate) fn of(uri: &Uri, headers: &HeaderMap, peer: IpAddr, edge: &'e Edge) -> Self {
        Self {
            known: edge.public_url.as_deref(),
            scheme: client_scheme(peer, headers, &edge.trusted_proxies),
            target: uri.authority().cloned(),
            host: headers.get(header::HOST).cloned(),
        }
    }

    /// Scheme, host and port, without a slash at the end.
    ///
    /// `PUBLIC_URL` when it is set. Otherwise the host is the one that the request names, which the edge has checked, and
    /// the scheme is `https` only when a trusted proxy says so.
    pub(crate) fn url(&self) -> String {
        if let Some(known) = self.known {
            return known.to_owned();
        }
        let named = self.target.as_ref().map(Authority::as_str);
        let named = named.or_else(|| self.host.as_ref().and_then(|host| host.to_str().ok()));
        format!("{}://{}", self.scheme, named.unwrap_or("localhost"))
    }
}
