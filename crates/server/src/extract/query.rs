//! Query strings: well encoded, each parameter once.

use model::{Error, ErrorCode, Result};

/// Most parameters of one request; no route knows nearly as many.
const MAX_PARAMETERS: usize = 64;

/// How much of a name that the caller made up is repeated, in characters.
const SHOWN_CHARS: usize = 60;

/// Takes a query string apart into names and values.
///
/// # Errors
/// `Malformed` for what is not percent-encoded UTF-8; `Invalid` for a parameter that comes twice.
pub(super) fn pairs(query: &str) -> Result<Vec<(String, String)>> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let (name, value) = (decode(name)?, decode(value)?);
        if pairs.iter().any(|(known, _)| *known == name) {
            let shown: String = name.chars().take(SHOWN_CHARS).collect();
            return Err(Error::invalid(shown, "was given more than once"));
        }
        if pairs.len() == MAX_PARAMETERS {
            return Err(Error::invalid(
                "",
                format!("there must be at most {MAX_PARAMETERS} parameters"),
            ));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

fn decode(text: &str) -> Result<String> {
    let refuse = || {
        Error::new(
            ErrorCode::MalformedRequest,
            "the query string is not percent-encoded UTF-8",
        )
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = rest.next().and_then(hexadecimal).ok_or_else(refuse)?;
                let low = rest.next().and_then(hexadecimal).ok_or_else(refuse)?;
                high << 4 | low
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| refuse())
}

fn hexadecimal(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use model::ErrorKind;
    use rstest::rstest;

    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let read = pairs("q=a+b%20c%26&empty=&flag&%C3%A9=%E2%82%AC").unwrap();
        let expected = [("q", "a b c&"), ("empty", ""), ("flag", ""), ("é", "€")];
        assert_eq!(
            read,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[rstest]
    #[case("a=%", ErrorKind::Malformed)]
    #[case("a=%4", ErrorKind::Malformed)]
    #[case("a=%zz", ErrorKind::Malformed)]
    #[case("a=%ff", ErrorKind::Malformed)]
    #[case("a=1&b=2&a=1", ErrorKind::Invalid)]
    #[case("a=1&%61=2", ErrorKind::Invalid)]
    fn c12_a_query_string_that_is_ambiguous_is_refused(#[case] query: &str, #[case] kind: ErrorKind) {
        assert_eq!(pairs(query).unwrap_err().kind(), kind);
    }

    #[test]
    fn c10_a_flood_of_parameters_is_refused() {
        let many: String = (0..1_000).map(|index| format!("p{index}=1&")).collect();
        assert_eq!(pairs(&many).unwrap_err().kind(), ErrorKind::Invalid);
    }
}
