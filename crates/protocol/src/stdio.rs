//! Standard streams: one client, one message a line, every revision.

mod lines;
mod client;

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};

use crate::{
    handler::Handler,
    shared::{Host, Shared},
};
use client::Client;
use lines::{LineReader, write_lines};

/// How many messages may wait to be written.
const MAX_UNWRITTEN: usize = 64;
/// How long requests that run may go on when the input has ended, and how long the client may take to read the rest.
const GRACE: Duration = Duration::from_secs(1);

/// Serves one client over a pair of byte streams, until the input ends or the host is about to stop.
///
/// A request that says its revision in `_meta` is served statelessly; `initialize` opens the one session, for requests that say
/// none. Lines of more than 4 MiB are refused unread. Requests run side by side, at most 256; those that run at the end of the
/// input have one more second. Nothing is written but messages of the protocol, each in one line.
///
/// # Errors
/// What reading or writing failed with.
pub async fn serve_lines<H, R, W>(host: Host<H>, caller: H::Caller, reader: R, writer: W) -> io::Result<()>
where
    H: Handler,
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin,
{
    // The end of the input stops what waits for the client, and nothing else of the host.
    let stop = host.stop.child_token();
    let shared = Arc::new(Shared::new(Host { stop, ..host }));
    let (lines, unwritten) = mpsc::channel(MAX_UNWRITTEN);
    let client = Client::new(shared, caller, lines);
    let writing = write_lines(writer, unwritten);
    tokio::pin!(writing);
    let read = tokio::select! {
        // Only a failure ends it: the client holds the other end of the queue.
        written = &mut writing => return written,
        read = client.attend(LineReader::new(reader)) => read,
    };
    let rest = tokio::time::timeout(GRACE, writing).await;
    let late = || {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not read",
        ))
    };
    read.and(rest.unwrap_or_else(|_| late()))
}
