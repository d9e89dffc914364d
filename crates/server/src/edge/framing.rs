//! How HTTP/1 messages follow each other on a connection, strictly.
//!
//! A proxy and a server that disagree on where a message ends can be made to swallow each other's requests. So
//! whatever can be read in two ways is refused before it is parsed: a bare line feed, a folded header line,
//! `Content-Length` beside `Transfer-Encoding` or either of them twice (RFC 9112 §2.2, §5.2, §6.1).

/// Longest line that is followed; the parser refuses a head of this length by itself.
const MAX_LINE: usize = 64 * 1024;

/// The first line of an HTTP/2 connection (RFC 9113 §3.4).
const HTTP_2: &[u8] = b"PRI * HTTP/2.0";

/// Follows the bytes that a client sends.
#[derive(Debug, Default)]
pub(super) struct Framing {
    place: Place,
    /// The beginning of a line whose end has not arrived.
    line: Vec<u8>,
    length: Option<u64>,
    is_chunked: bool,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    RequestLine,
    Headers,
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    /// Another protocol, which looks after itself.
    Opaque,
}

/// Says that a message can be read in two ways.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ambiguous {
    /// Where the line ends that makes it so.
    pub(super) offset: usize,
}

impl Framing {
    /// Follows further bytes.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Result<(), Ambiguous> {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match self.place {
                Place::Opaque => return Ok(()),
                Place::Body(left) => {
                    let (after, left) = skip(rest, left);
                    self.place = if left == 0 {
                        Place::RequestLine
                    } else {
                        Place::Body(left)
                    };
                    after
                }
                Place::ChunkData(left) => {
                    let (after, left) = skip(rest, left);
                    self.place = if left == 0 {
                        Place::ChunkEnd
                    } else {
                        Place::ChunkData(left)
                    };
                    after
                }
                Place::RequestLine
                | Place::Headers
                | Place::ChunkSize
                | Place::ChunkEnd
                | Place::Trailers => {
                    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                        return self.keep(rest, bytes.len());
                    };
                    let (line, after) = rest.split_at(end + 1);
                    let offset = bytes.len() - after.len() - 1;
                    self.take_line(line).ok_or(Ambiguous { offset })?;
                    after
                }
            };
        }
        Ok(())
    }

    /// Tells whether a head has begun and not ended.
    pub(super) fn is_within_head(&self) -> bool {
        match self.place {
            Place::RequestLine => !self.line.is_empty(),
            Place::Headers => true,
            Place::Body(_)
            | Place::ChunkSize
            | Place::ChunkData(_)
            | Place::ChunkEnd
            | Place::Trailers
            | Place::Opaque => false,
        }
    }

    fn keep(&mut self, beginning: &[u8], offset: usize) -> Result<(), Ambiguous> {
        if self.line.len() + beginning.len() > MAX_LINE {
            return Err(Ambiguous {
                offset: offset.saturating_sub(1),
            });
        }
        self.line.extend_from_slice(beginning);
        Ok(())
    }

    fn take_line(&mut self, end: &[u8]) -> Option<()> {
        if self.line.is_empty() {
            return self.follow_line(end);
        }
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(end);
        let followed = self.follow_line(&line);
        line.clear();
        self.line = line;
        followed
    }

    /// Follows a line with its end; `None` when it is ambiguous.
    fn follow_line(&mut self, line: &[u8]) -> Option<()> {
        let line = line.strip_suffix(b"\r\n").filter(|line| !line.contains(&b'\r'))?;
        self.place = match self.place {
            // Empty lines before a request are passed over, as the parser does (RFC 9112 §2.2).
            Place::RequestLine if line.is_empty() => Place::RequestLine,
            Place::RequestLine if line == HTTP_2 => Place::Opaque,
            Place::RequestLine => {
                (self.length, self.is_chunked) = (None, false);
                Place::Headers
            }
            Place::Headers if line.is_empty() => self.after_head()?,
            Place::Headers => {
                self.follow_header(line)?;
                Place::Headers
            }
            Place::ChunkSize => match chunk_size(line)? {
                0 => Place::Trailers,
                size => Place::ChunkData(size),
            },
            Place::ChunkEnd if line.is_empty() => Place::ChunkSize,
            Place::ChunkEnd => return None,
            Place::Trailers if line.is_empty() => Place::RequestLine,
            Place::Trailers if is_folded(line) => return None,
            other @ (Place::Trailers | Place::Body(_) | Place::ChunkData(_) | Place::Opaque) => other,
        };
        Some(())
    }

    fn follow_header(&mut self, line: &[u8]) -> Option<()> {
        if is_folded(line) {
            return None;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            let is_first = self.length.replace(whole_number(value)?).is_none();
            return is_first.then_some(());
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let is_first = !std::mem::replace(&mut self.is_chunked, true);
            return (is_first && value.eq_ignore_ascii_case(b"chunked")).then_some(());
        }
        Some(())
    }

    fn after_head(&self) -> Option<Place> {
        match (self.is_chunked, self.length) {
            (true, Some(_)) => None,
            (true, None) => Some(Place::ChunkSize),
            (false, None | Some(0)) => Some(Place::RequestLine),
            (false, Some(length)) => Some(Place::Body(length)),
        }
    }
}

/// Skips up to `left` bytes; gives what follows and how many are still to be skipped.
fn skip(bytes: &[u8], left: u64) -> (&[u8], u64) {
    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    let after = bytes.get(here..).unwrap_or_default();
    (after, left.saturating_sub(here as u64))
}

fn is_folded(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

fn whole_number(value: &[u8]) -> Option<u64> {
    let is_plain = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| is_plain)?.parse().ok()
}

/// The size that a chunk's first line names; what follows a semicolon says nothing of the size.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let size = line
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii_end();
    let is_plain = !size.is_empty() && size.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(size).ok().filter(|_| is_plain)?;
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\n";

    #[rstest]
    #[case::no_body(format!("{HEAD}\r\n"))]
    #[case::two_requests(format!("{HEAD}\r\n{HEAD}\r\n"))]
    #[case::empty_lines_between(format!("{HEAD}\r\n\r\n\r\n{HEAD}\r\n"))]
    #[case::body_with_anything(format!("{HEAD}Content-Length: 9\r\n\r\n\n\n \n: \n\n\n{HEAD}\r\n"))]
    #[case::chunks(format!("{HEAD}transfer-encoding:Chunked\r\n\r\n2\r\n\n\n\r\nA;x=1\r\n0123456789\r\n0\r\nT: 1\r\n\r\n{HEAD}\r\n"))]
    #[case::http_2("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\n\n\n".to_owned())]
    fn what_can_be_read_in_one_way_passes(#[case] sent: String) {
        assert_eq!(Framing::default().follow(sent.as_bytes()), Ok(()));
    }

    #[rstest]
    #[case::both(format!("{HEAD}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"))]
    #[case::both_reversed(format!("{HEAD}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"))]
    #[case::two_lengths(format!("{HEAD}Content-Length: 5\r\nContent-Length: 6\r\n\r\n"))]
    #[case::the_same_length_twice(format!("{HEAD}Content-Length: 5\r\nContent-Length: 5\r\n\r\n"))]
    #[case::list_of_lengths(format!("{HEAD}Content-Length: 5, 5\r\n\r\n"))]
    #[case::signed_length(format!("{HEAD}Content-Length: +5\r\n\r\n"))]
    #[case::hidden_coding(format!("{HEAD}Transfer-Encoding: xchunked\r\n\r\n"))]
    #[case::coding_twice(format!("{HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"))]
    #[case::folded(format!("{HEAD}X: a\r\n Content-Length: 5\r\n\r\n"))]
    #[case::bare_line_feed("GET / HTTP/1.1\nHost: a\n\n".to_owned())]
    #[case::bare_line_feed_in_header("GET / HTTP/1.1\r\nX: a\nContent-Length: 5\r\n\r\n".to_owned())]
    #[case::bare_carriage_return("GET / HTTP/1.1\r\nX: a\rContent-Length: 5\r\n\r\n".to_owned())]
    #[case::no_colon(format!("{HEAD}Content-Length\r\n\r\n"))]
    #[case::bad_chunk_size(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n"))]
    #[case::chunk_too_long(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n"))]
    #[case::bare_line_feed_in_chunk(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n2\nab\r\n0\r\n\r\n"))]
    fn d09_what_can_be_read_in_two_ways_is_refused(#[case] sent: String) {
        assert!(Framing::default().follow(sent.as_bytes()).is_err());
    }

    #[test]
    fn d09_the_place_of_the_refusal_is_the_end_of_the_line() {
        let sent = b"GET / HTTP/1.1\r\nX: a\nY: b\r\n\r\n";
        assert_eq!(Framing::default().follow(sent), Err(Ambiguous { offset: 20 }));
    }

    #[test]
    fn a_line_without_end_is_not_kept_without_end() {
        let mut framing = Framing::default();
        let refused = (0..100).find(|_| framing.follow(&[b'a'; 1024]).is_err());
        assert_eq!(refused, Some(64));
    }

    proptest! {
        #[test]
        fn d09_where_the_network_cuts_makes_no_difference(
            lines in proptest::collection::vec("(Content-Length: [0-9]|Transfer-Encoding: chunked|X: [a-z ]{0,9})(\r\n|\n)", 0..4),
            cuts in proptest::collection::vec(1_usize..7, 1..40),
        ) {
            let sent = format!("{HEAD}{}\r\nabcdefghi", lines.concat());
            let whole = Framing::default().follow(sent.as_bytes()).is_ok();
            let mut framing = Framing::default();
            let mut rest = sent.as_bytes();
            let mut pieces = true;
            for cut in cuts.into_iter().cycle() {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces &= framing.follow(piece).is_ok();
                rest = after;
                if rest.is_empty() || !pieces {
                    break;
                }
            }
            prop_assert_eq!(whole, pieces);
        }
    }
}
