//! A bounded queue of lines in front of one slow destination.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError, TrySendError};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// Most lines that wait: two seconds of 2,000 requests a second.
const MAX_WAITING_LINES: usize = 4096;

/// Bytes that are written at one time.
const BATCH_BYTES: usize = 64 * 1024;

/// How long the end of the process waits for the lines that are left.
const END_PATIENCE: Duration = Duration::from_secs(1);

enum Message {
    Line(Vec<u8>),
    End,
}

/// Takes lines without ever waiting.
#[derive(Clone, Debug)]
pub(super) struct LineQueue {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

/// Owns the writing thread; dropping it lets the thread write what is left.
#[derive(Debug)]
pub(super) struct QueueEnd {
    sender: SyncSender<Message>,
    ended: Receiver<()>,
}

impl LineQueue {
    /// Starts a thread that gives batches of whole lines to `write`.
    pub(super) fn start(
        name: &str,
        write: impl FnMut(&[u8]) + Send + 'static,
    ) -> io::Result<(Self, QueueEnd)> {
        let (sender, receiver) = mpsc::sync_channel(MAX_WAITING_LINES);
        let (ending, ended) = mpsc::sync_channel(1);
        let dropped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&dropped);
        let body = move || {
            run(&receiver, &count, write);
            // Nobody listens when the process did not wait.
            let _: Result<(), TrySendError<()>> = ending.try_send(());
        };
        drop(thread::Builder::new().name(name.to_owned()).spawn(body)?);
        Ok((
            Self {
                sender: sender.clone(),
                dropped,
            },
            QueueEnd { sender, ended },
        ))
    }
}

impl Write for LineQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.sender.try_send(Message::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LineQueue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Drop for QueueEnd {
    fn drop(&mut self) {
        let started = Instant::now();
        while let Err(TrySendError::Full(_)) = self.sender.try_send(Message::End) {
            if started.elapsed() >= END_PATIENCE {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        // Too late or gone: either way there is nothing more to wait for.
        let _: Result<(), mpsc::RecvTimeoutError> = self.ended.recv_timeout(END_PATIENCE);
    }
}

fn run(receiver: &Receiver<Message>, dropped: &AtomicU64, mut write: impl FnMut(&[u8])) {
    let mut batch = Vec::new();
    while let Ok(Message::Line(line)) = receiver.recv() {
        batch.extend_from_slice(&line);
        let next = fill(receiver, &mut batch);
        write(&batch);
        batch.clear();
        match next {
            Next::More => {}
            Next::Nothing => report(dropped.swap(0, Ordering::Relaxed)),
            Next::End => return,
        }
    }
}

enum Next {
    More,
    Nothing,
    End,
}

fn fill(receiver: &Receiver<Message>, batch: &mut Vec<u8>) -> Next {
    while batch.len() < BATCH_BYTES {
        match receiver.try_recv() {
            Ok(Message::Line(line)) => batch.extend_from_slice(&line),
            Ok(Message::End) | Err(TryRecvError::Disconnected) => return Next::End,
            Err(TryRecvError::Empty) => return Next::Nothing,
        }
    }
    Next::More
}

fn report(dropped: u64) {
    if dropped > 0 {
        tracing::warn!(
            dropped,
            "log lines were dropped because their destination was too slow"
        );
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn the_end_waits_until_every_line_is_written() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let target = Arc::clone(&written);
        let (mut lines, end) =
            LineQueue::start("test", move |lines| target.lock().extend_from_slice(lines)).unwrap();
        for _ in 0..1_000 {
            lines.write_all(b"a line\n").unwrap();
        }
        drop(end);
        assert_eq!(written.lock().len(), 7_000);
    }

    #[test]
    fn g11_a_destination_that_stands_still_costs_lines_and_no_time() {
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.lock();
        let target = Arc::clone(&gate);
        let (mut lines, end) = LineQueue::start("test", move |_| drop(target.lock())).unwrap();
        for _ in 0..10 * MAX_WAITING_LINES {
            lines.write_all(&[b'x'; 100]).unwrap();
        }
        assert!(lines.dropped.load(Ordering::Relaxed) >= 8 * MAX_WAITING_LINES as u64);
        drop(closed);
        drop(end);
    }
}
