//! Reads streams of server-sent events (WHATWG HTML, section 9.2), in bounded memory.
//!
//! Names, ids and waiting times of events are passed over: the formats read here repeat in the data what
//! matters of them.

use std::{fmt, mem};

/// How large things may get.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of one line, and of one event's data.
    pub(super) event: usize,
    /// Bytes of the whole stream.
    pub(super) stream: usize,
}

/// Why a stream can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamError {
    /// A line, an event or the stream is longer than the limit.
    TooLarge,
    /// A line is not UTF-8.
    NotText,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the stream of events is larger than the limit",
            Self::NotText => "the stream of events is not UTF-8",
        })
    }
}

impl std::error::Error for StreamError {}

/// Takes a stream in pieces of any size and gives the data of each event that is complete.
#[derive(Debug)]
pub(super) struct EventParser {
    limits: Limits,
    received: usize,
    line: Vec<u8>,
    data: Option<String>,
    is_first_line: bool,
    ended_with_return: bool,
}

impl EventParser {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            received: 0,
            line: Vec::new(),
            data: None,
            is_first_line: true,
            ended_with_return: false,
        }
    }

    /// Takes the next piece; gives the data of the events that it completes, in their order.
    ///
    /// # Errors
    /// After an error the stream can't be read any further.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<Vec<String>, StreamError> {
        self.received = self.received.saturating_add(piece.len());
        if self.received > self.limits.stream {
            return Err(StreamError::TooLarge);
        }
        let mut events = Vec::new();
        for part in piece.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let (content, end) = match part {
                [content @ .., end @ (b'\n' | b'\r')] => (content, Some(*end)),
                unended => (unended, None),
            };
            // Carriage return and line feed together end one line, also when a piece ends between them.
            let is_second_half =
                end == Some(b'\n') && content.is_empty() && mem::take(&mut self.ended_with_return);
            if is_second_half {
                continue;
            }
            self.ended_with_return = end == Some(b'\r');
            if self.line.len() + content.len() > self.limits.event {
                return Err(StreamError::TooLarge);
            }
            self.line.extend_from_slice(content);
            if end.is_some() {
                events.extend(self.end_line()?);
            }
        }
        Ok(events)
    }

    /// Takes a whole line; an empty one completes an event.
    fn end_line(&mut self) -> Result<Option<String>, StreamError> {
        let line = mem::take(&mut self.line);
        let line = std::str::from_utf8(&line).map_err(|_| StreamError::NotText)?;
        let line = if mem::take(&mut self.is_first_line) {
            line.strip_prefix('\u{feff}').unwrap_or(line)
        } else {
            line
        };
        if line.is_empty() {
            return Ok(self.data.take());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field != "data" {
            return Ok(None);
        }
        let value = value.strip_prefix(' ').unwrap_or(value);
        match &mut self.data {
            None => self.data = Some(value.to_owned()),
            Some(data) if data.len() + value.len() < self.limits.event => {
                data.push('\n');
                data.push_str(value);
            }
            Some(_) => return Err(StreamError::TooLarge),
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const LIMITS: Limits = Limits {
        event: 1_000,
        stream: 10_000,
    };

    fn read(stream: &[u8]) -> Vec<String> {
        EventParser::new(LIMITS).push(stream).unwrap()
    }

    #[rstest]
    #[case("data: a\n\ndata: b\n\n", &["a", "b"])]
    #[case("data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"])]
    #[case("data: a\r\rdata: b\r\r", &["a", "b"])]
    #[case("data: a\ndata: b\n\n", &["a\nb"])]
    #[case("data:a\n\ndata:  b\n\n", &["a", " b"])]
    #[case("\u{feff}data: a\n\n", &["a"])]
    #[case(": comment\nevent: x\nid: 1\nretry: 5\nunknown\ndata: a\n\n", &["a"])]
    #[case("event: only a name\n\n\n\ndata: a\n\n", &["a"])]
    #[case("data\n\n", &[""])]
    #[case("data: incomplete\n", &[])]
    #[case("data: incomplete", &[])]
    fn stream_is_read_as_the_standard_says(#[case] stream: &str, #[case] events: &[&str]) {
        assert_eq!(read(stream.as_bytes()), events);
    }

    #[test]
    fn what_is_larger_than_the_limits_is_refused() {
        let long_line = format!("data: {}", "x".repeat(1_000));
        let long_event = format!("data: {}\n", "x".repeat(400)).repeat(3);
        let long_stream = "data: x\n\n".repeat(2_000);
        for stream in [long_line, long_event, long_stream] {
            let refused = EventParser::new(LIMITS).push(stream.as_bytes());
            assert_eq!(refused, Err(StreamError::TooLarge));
        }
    }

    #[test]
    fn what_is_not_text_is_refused() {
        let refused = EventParser::new(LIMITS).push(b"data: \xff\n\n");
        assert_eq!(refused, Err(StreamError::NotText));
    }

    proptest! {
        #[test]
        fn where_the_pieces_are_cut_makes_no_difference(
            lines in prop::collection::vec("(data: ?[a-zß€😀]{0,8}|:x|event: y|)(\n|\r\n|\r)", 0..30),
            cuts in prop::collection::vec(0..400_usize, 0..20),
        ) {
            let stream = lines.concat().into_bytes();
            let whole = read(&stream);
            let mut parser = EventParser::new(LIMITS);
            let (mut start, mut events) = (0, Vec::new());
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.sort_unstable();
            cuts.push(stream.len());
            for cut in cuts {
                events.extend(parser.push(&stream[start..cut]).unwrap());
                start = cut;
            }
            prop_assert_eq!(events, whole);
        }

        #[test]
        fn any_bytes_are_read_or_refused(stream in prop::collection::vec(any::<u8>(), 0..500)) {
            drop(EventParser::new(LIMITS).push(&stream));
        }
    }
}
