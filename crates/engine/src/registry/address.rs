//! Addresses of resources, and patterns of them.

use model::{Error, OWN_SCHEME, Result};

/// The most bytes of an address or a pattern.
pub(crate) const MAX_ADDRESS_BYTES: usize = 2_048;

/// A pattern of addresses (RFC 6570), to be compared with.
///
/// An expression without an operator stands for one or more characters other than `/`, `?` and `#`; one with an
/// operator for any characters, also none. Its plugin has the last word on what is there.
pub(crate) struct Pattern {
    prefix: String,
    rest: Vec<Part>,
}

enum Part {
    Literal(String),
    /// Characters within one segment, at least one.
    Segment,
    /// Any characters.
    Anything,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// `Invalid`, without a path, for one that isn't closed or empty, or doesn't begin as an address.
    pub(crate) fn parse(template: &str) -> Result<Self> {
        let wrong = |message: &str| Err(Error::invalid("", message));
        let (prefix, mut left) = match template.find('{') {
            Some(at) => template.split_at(at),
            None => return wrong("must hold an expression; without one it is a resource"),
        };
        require_address(prefix)?;
        let mut rest = Vec::new();
        while !left.is_empty() {
            if let Some(expression) = left.strip_prefix('{') {
                let Some((inside, after)) = expression.split_once('}') else {
                    return wrong("has an expression that isn't closed");
                };
                rest.push(match inside.bytes().next() {
                    None | Some(b'{') => return wrong("has an expression without a name"),
                    Some(first) if first.is_ascii_alphanumeric() || first == b'_' => Part::Segment,
                    Some(_) => Part::Anything,
                });
                left = after;
            } else {
                let (literal, after) = left.split_at(left.find('{').unwrap_or(left.len()));
                rest.push(Part::Literal(literal.to_owned()));
                left = after;
            }
        }
        Ok(Self {
            prefix: prefix.to_owned(),
            rest,
        })
    }

    /// Tells whether an address follows the pattern. Takes time in proportion to the product of both lengths at most.
    pub(crate) fn matches(&self, uri: &str) -> bool {
        let Some(rest) = uri.strip_prefix(self.prefix.as_str()) else {
            return false;
        };
        // The places in `rest` up to which the parts so far can reach.
        let mut reached = vec![false; rest.len() + 1];
        if let Some(start) = reached.first_mut() {
            *start = true;
        }
        for part in &self.rest {
            reached = part.step(rest, &reached);
        }
        reached.last().copied().unwrap_or_default()
    }

    /// Tells whether addresses may follow both patterns, as far as what stands before their first expressions tells.
    pub(crate) fn may_overlap(&self, other: &Self) -> bool {
        self.prefix.starts_with(&other.prefix) || other.prefix.starts_with(&self.prefix)
    }
}

impl Part {
    fn step(&self, text: &str, reached: &[bool]) -> Vec<bool> {
        let mut next = vec![false; reached.len()];
        match self {
            Self::Literal(literal) => {
                for (at, _) in reached.iter().enumerate().filter(|(_, is_reached)| **is_reached) {
                    let continues = text
                        .get(at..)
                        .is_some_and(|rest| rest.starts_with(literal.as_str()));
                    if let Some(place) = next.get_mut(at + literal.len())
                        && continues
                    {
                        *place = true;
                    }
                }
            }
            Self::Segment => {
                let mut is_open = false;
                let places = next.iter_mut().skip(1);
                for ((byte, is_reached), place) in text.bytes().zip(reached).zip(places) {
                    is_open = (is_open || *is_reached) && !matches!(byte, b'/' | b'?' | b'#');
                    *place = is_open;
                }
            }
            Self::Anything => {
                let mut is_open = false;
                for (is_reached, place) in reached.iter().zip(&mut next) {
                    is_open = is_open || *is_reached;
                    *place = is_open;
                }
            }
        }
        next
    }
}

/// Refuses what can't be the address of a plugin's resource: it must begin with a scheme in small letters, other than
/// the server's own, and hold no spaces or control characters.
///
/// # Errors
/// `Invalid`, without a path.
pub(crate) fn require_address(uri: &str) -> Result<()> {
    let scheme = uri.split_once(':').map(|(scheme, _)| scheme);
    let is_scheme = |scheme: &str| {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
        scheme.starts_with(|first: char| first.is_ascii_lowercase()) && scheme.bytes().all(fits)
    };
    let is_plain =
        uri.len() <= MAX_ADDRESS_BYTES && !uri.contains(|c: char| c.is_control() || c.is_whitespace());
    match scheme {
        Some(OWN_SCHEME) => Err(Error::invalid("", "has a scheme that is the server's own")),
        Some(scheme) if is_scheme(scheme) && is_plain => Ok(()),
        Some(_) | None => Err(Error::invalid(
            "",
            "must begin with a scheme in small letters and a colon, without spaces, with at most 2048 bytes",
        )),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("files://{name}", "files://a.txt", true)]
    #[case("files://{name}", "files://", false)]
    #[case("files://{name}", "files://a/b", false)]
    #[case("files://{name}", "files://a?b", false)]
    #[case("files://{name}", "other://a", false)]
    #[case("files://{+path}", "files://a/b?c#d", true)]
    #[case("files://{+path}", "files://", true)]
    #[case("db://{table}/rows/{row}", "db://users/rows/7", true)]
    #[case("db://{table}/rows/{row}", "db://users/rows/7/8", false)]
    #[case("db://{table}/rows/{row}", "db://users/cols/7", false)]
    #[case("db://{a}-{b}", "db://x-y-z", true)]
    #[case("db://{a}{?page}", "db://x?page=2", true)]
    #[case("db://{a}.json", "db://x.json", true)]
    #[case("db://{a}.json", "db://x.json.txt", false)]
    #[case("db://{a}.json", "db://é.json", true)]
    fn a_pattern_fits_the_addresses_that_follow_it(
        #[case] template: &str,
        #[case] uri: &str,
        #[case] is_fit: bool,
    ) {
        assert_eq!(Pattern::parse(template).unwrap().matches(uri), is_fit);
    }

    #[rstest]
    #[case("files://a")]
    #[case("files://{a")]
    #[case("files://{}")]
    #[case("{scheme}://a")]
    #[case("{+uri}")]
    #[case("files")]
    #[case("mcp-server://tasks/{id}")]
    #[case("Files://{a}")]
    fn a_pattern_that_cannot_be_told_apart_is_refused(#[case] template: &str) {
        assert!(Pattern::parse(template).is_err());
    }

    #[test]
    fn many_expressions_and_a_long_address_take_no_time_that_explodes() {
        let pattern = Pattern::parse(&format!("a:{}!", "{+x}a".repeat(300))).unwrap();
        assert!(!pattern.matches(&format!("a:{}", "a".repeat(MAX_ADDRESS_BYTES - 2))));
    }

    #[rstest]
    #[case("a://x", true)]
    #[case("urn:x:y", true)]
    #[case("a b://x", false)]
    #[case("a://x y", false)]
    #[case("a://x\n", false)]
    #[case("://x", false)]
    #[case("x", false)]
    #[case("", false)]
    #[case("mcp-server://executions/1", false)]
    fn an_address_has_a_scheme_that_is_not_the_server_s(#[case] uri: &str, #[case] is_accepted: bool) {
        assert_eq!(require_address(uri).is_ok(), is_accepted);
    }
}
