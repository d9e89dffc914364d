//! Messages as lines.

use std::io;

use bytes::Bytes;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, BufWriter},
    sync::mpsc,
};

use crate::legacy::Said;

/// How long a line may be.
const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end.
    Text(Bytes),
    /// A line that is longer than it may be; it is passed over.
    TooLong,
    /// There is no more. An unfinished line counts as none.
    End,
}

/// Reads lines of bounded length.
pub(super) struct LineReader<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    is_too_long: bool,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader: BufReader::new(reader),
            line: Vec::new(),
            is_too_long: false,
        }
    }

    /// Reads the next line. May be dropped and called again.
    pub(super) async fn next(&mut self) -> io::Result<Line> {
        loop {
            let read = self.reader.fill_buf().await?;
            if read.is_empty() {
                return Ok(Line::End);
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let part = read.get(..end.unwrap_or(read.len())).unwrap_or_default();
            self.is_too_long = self.is_too_long || self.line.len() + part.len() > MAX_LINE_BYTES;
            if self.is_too_long {
                self.line = Vec::new();
            } else {
                self.line.extend_from_slice(part);
            }
            let consumed = part.len() + usize::from(end.is_some());
            self.reader.consume(consumed);
            if end.is_some() {
                if std::mem::take(&mut self.is_too_long) {
                    return Ok(Line::TooLong);
                }
                return Ok(Line::Text(std::mem::take(&mut self.line).into()));
            }
        }
    }
}

/// Writes messages as they come, and flushes when none waits; ends, and closes the stream, with the queue.
pub(super) async fn write_lines<W: AsyncWrite + Unpin>(
    writer: W,
    mut unwritten: mpsc::Receiver<Said>,
) -> io::Result<()> {
    let mut writer = BufWriter::new(writer);
    while let Some(said) = unwritten.recv().await {
        let mut next = Some(said);
        while let Some(Said { message, .. }) = next {
            writer.write_all(&message).await?;
            writer.write_all(b"\n").await?;
            next = unwritten.try_recv().ok();
        }
        writer.flush().await?;
    }
    writer.shutdown().await
}
