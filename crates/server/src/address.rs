//! From which address a request came, and by which scheme, when proxies stand between.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How many hops are followed at most; a longer chain counts as the last hop that was followed.
const MAX_HOPS: usize = 32;

/// The address that a request is counted against.
///
/// Forwarding headers are believed only from a trusted peer, and only back to the right-most hop that is not
/// trusted: everything left of it could be made up. `X-Forwarded-For` and `Forwarded` must agree when both are
/// there, since a proxy commonly writes one and lets the other pass.
#[must_use]
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted) {
        return peer;
    }
    let has_listed = headers.contains_key(X_FORWARDED_FOR);
    let has_standard = headers.contains_key(header::FORWARDED);
    let listed = || walk_back(peer, entries(headers, &X_FORWARDED_FOR).map(str::trim), trusted);
    let standard = || {
        walk_back(
            peer,
            entries(headers, &header::FORWARDED).map(|element| parameter(element, "for")),
            trusted,
        )
    };
    match (has_listed, has_standard) {
        (false, false) => peer,
        (true, false) => listed(),
        (false, true) => standard(),
        (true, true) => {
            let address = listed();
            if address == standard() { address } else { peer }
        }
    }
}

/// The scheme by which the caller reached the outermost trusted proxy: `https` when the peer is trusted and says so,
/// `http`, which this server itself speaks, otherwise.
#[must_use]
pub fn client_scheme(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> &'static str {
    if !is_trusted(peer.to_canonical(), trusted) {
        return "http";
    }
    let listed = entries(headers, &X_FORWARDED_PROTO).next().map(str::trim);
    let standard = || {
        entries(headers, &header::FORWARDED)
            .next()
            .map(|element| parameter(element, "proto"))
    };
    match listed.or_else(standard) {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
        _ => "http",
    }
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// Goes from hop to hop, the nearest first, until one is not trusted or can't be read.
fn walk_back<'h>(peer: IpAddr, hops: impl Iterator<Item = &'h str>, trusted: &[IpNet]) -> IpAddr {
    let mut nearest = peer;
    for hop in hops.take(MAX_HOPS) {
        let Some(address) = parse_hop(hop) else { break };
        nearest = address;
        if !is_trusted(address, trusted) {
            break;
        }
    }
    nearest
}

/// The entries of a list header from right to left, over all its lines.
fn entries<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers
        .get_all(name)
        .into_iter()
        .rev()
        .flat_map(|line| line.to_str().unwrap_or("").rsplit(','))
}

/// The value of a parameter in one element of `Forwarded` (RFC 7239 §4); empty when there is none.
fn parameter<'h>(element: &'h str, wanted: &str) -> &'h str {
    element
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
        .map_or("", |(_, value)| value.trim().trim_matches('"'))
}

/// Reads an address with or without port, brackets and zone.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let without_port = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => text,
    };
    let without_zone = without_port
        .split_once('%')
        .map_or(without_port, |(address, _)| address);
    without_zone
        .parse()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()
        .map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    fn seen(peer: &str, lines: &[(&'static str, &str)]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn d02_an_untrusted_peer_is_itself_whatever_it_says() {
        assert_eq!(
            seen("192.0.2.9", &[("x-forwarded-for", "198.51.100.1")]),
            "192.0.2.9"
        );
        assert_eq!(
            seen("192.0.2.9", &[("forwarded", "for=198.51.100.1")]),
            "192.0.2.9"
        );
    }

    #[rstest]
    #[case::only_one("198.51.100.1", "198.51.100.1")]
    #[case::made_up_on_the_left("1.1.1.1, 198.51.100.1", "198.51.100.1")]
    #[case::through_two_proxies("1.1.1.1, 198.51.100.1, 10.0.0.7", "198.51.100.1")]
    #[case::all_trusted("10.0.0.6, 10.0.0.7", "10.0.0.6")]
    #[case::with_port("198.51.100.1:4711", "198.51.100.1")]
    #[case::ipv6("2001:db8::1", "2001:db8::1")]
    #[case::ipv6_with_port("[2001:db8::1]:4711", "2001:db8::1")]
    #[case::ipv6_with_zone("fe80::1%eth0", "fe80::1")]
    #[case::ipv4_in_ipv6("::ffff:198.51.100.1", "198.51.100.1")]
    #[case::unreadable("198.51.100.1, unknown", "10.0.0.1")]
    #[case::empty("", "10.0.0.1")]
    fn d02_from_a_trusted_peer_the_right_most_untrusted_hop_counts(
        #[case] line: &str,
        #[case] expected: &str,
    ) {
        assert_eq!(seen("10.0.0.1", &[("x-forwarded-for", line)]), expected);
    }

    #[test]
    fn d02_several_lines_are_one_list() {
        let lines = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "198.51.100.1, 10.0.0.2"),
        ];
        assert_eq!(seen("10.0.0.1", &lines), "198.51.100.1");
    }

    #[rstest]
    #[case("for=198.51.100.1;proto=https", "198.51.100.1")]
    #[case("For=\"[2001:db8::1]:80\"", "2001:db8::1")]
    #[case("for=1.1.1.1, by=x;for=198.51.100.1, for=10.1.1.1", "198.51.100.1")]
    #[case("for=_hidden", "10.0.0.1")]
    fn d02_the_standard_header_is_read_alike(#[case] line: &str, #[case] expected: &str) {
        assert_eq!(seen("10.0.0.1", &[("forwarded", line)]), expected);
    }

    #[rstest]
    #[case::trusted("10.0.0.1", "x-forwarded-proto", "https", "https")]
    #[case::nearest_hop("10.0.0.1", "x-forwarded-proto", "http, https", "https")]
    #[case::standard("10.0.0.1", "forwarded", "for=198.51.100.1;proto=https", "https")]
    #[case::plain("10.0.0.1", "x-forwarded-proto", "http", "http")]
    #[case::odd("10.0.0.1", "x-forwarded-proto", "javascript", "http")]
    #[case::untrusted("192.0.2.9", "x-forwarded-proto", "https", "http")]
    fn d02_only_a_trusted_peer_says_by_which_scheme_it_was_reached(
        #[case] peer: &str,
        #[case] name: &'static str,
        #[case] value: &str,
        #[case] expected: &str,
    ) {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        );
        assert_eq!(client_scheme(peer.parse().unwrap(), &headers, &trusted), expected);
    }

    #[test]
    fn d02_headers_that_disagree_are_not_believed() {
        let lines = [
            ("x-forwarded-for", "198.51.100.1"),
            ("forwarded", "for=198.51.100.2"),
        ];
        assert_eq!(seen("10.0.0.1", &lines), "10.0.0.1");
    }

    #[test]
    fn d02_a_chain_without_end_is_followed_only_so_far() {
        let line = vec!["10.0.0.2"; 5_000].join(",");
        assert_eq!(seen("10.0.0.1", &[("x-forwarded-for", &line)]), "10.0.0.2");
    }
}
