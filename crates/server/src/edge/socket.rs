//! A client's socket: strict in what it reads, patient in how it closes.

use std::{
    future::Future as _,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use super::framing::Framing;
use crate::request::Link;

/// How long a closing connection still reads, so that the last answer isn't lost to a reset.
const LINGER: Duration = Duration::from_secs(2);

/// How much a closing connection still reads, in bytes.
const LINGER_BYTES: usize = 8 * 1024 * 1024;

/// A client's socket.
pub(super) struct Socket {
    stream: TcpStream,
    framing: Framing,
    /// What the parser still gets of a request that is refused: the end of its head, then nothing.
    refused_end: Option<&'static [u8]>,
    link: Arc<Link>,
    lingering: Option<Lingering>,
}

/// A connection whose writing half is closed.
struct Lingering {
    until: Pin<Box<Sleep>>,
    bytes_left: usize,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, link: Arc<Link>) -> Self {
        Self {
            stream,
            framing: Framing::default(),
            refused_end: None,
            link,
            lingering: None,
        }
    }

    fn note_written(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = written {
            self.link.note_written(count);
        }
        written
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(end) = self.refused_end.as_mut() {
            let count = end.len().min(buf.remaining());
            let (now, later) = end.split_at(count);
            buf.put_slice(now);
            *end = later;
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let refused = self
            .framing
            .follow(buf.filled().get(before..).unwrap_or_default());
        if let Err(ambiguous) = refused {
            // The parser meets a byte that it must refuse in place of the line's end, and answers 400. It waits
            // for the end of the head before it looks, and then for no more.
            let end = before + ambiguous.offset;
            if let Some(byte) = buf.filled_mut().get_mut(end) {
                *byte = 0;
            }
            buf.set_filled(end + 1);
            self.refused_end = Some(b"\r\n\r\n");
        }
        self.link.note_head(self.framing.is_within_head());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note_written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Closes the writing half, then reads on until the client closes too: a socket that is closed with unread bytes
    /// resets the connection, and the client may lose the answer that it was sent (RFC 9112 §9.6).
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let lingering = match &mut this.lingering {
            Some(lingering) => lingering,
            empty @ None => {
                ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
                let until = Box::pin(sleep_until(Instant::now() + LINGER));
                empty.insert(Lingering {
                    until,
                    bytes_left: LINGER_BYTES,
                })
            }
        };
        let mut scratch = [0; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut this.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if buf.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {
                    lingering.bytes_left = lingering.bytes_left.saturating_sub(buf.filled().len());
                    if lingering.bytes_left == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(())),
                Poll::Pending => return lingering.until.as_mut().poll(cx).map(Ok),
            }
        }
    }
}
