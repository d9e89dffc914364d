//! Streams that can be resumed on another process: each event is in a shared log beside the stream of its own process.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use model::{LogBounds, Result};
use parking_lot::Mutex;
use protocol::{Batch, SessionKey, Sessions as _, StreamKey};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use super::{
    LOOK, SharedSessions,
    word::{Entry, EntryKind, Keys, Name, Word},
};

/// How many entries a log keeps, as a stream keeps events.
const MAX_ENTRIES: usize = 256;

/// How many bytes a log keeps, unless one event is larger.
const MAX_LOG_BYTES: usize = 1024 * 1024;

/// How many bytes the logs of this process hold together; what comes beyond can be resumed in this process only.
const MAX_ALL_BYTES: usize = 64 * 1024 * 1024;

/// How large an event in a log may be; bytes.
const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024 - 256;

/// How long the log of a call that says nothing is kept.
const UNFINISHED_FOR: Duration = Duration::from_secs(30 * 60);

/// After how long something is written into such a log, so that it is kept.
const REFRESH_AFTER: Duration = Duration::from_secs(10 * 60);

/// How long the log of a finished call is kept.
const FINISHED_FOR: Duration = Duration::from_secs(120);

/// For how long a process counts as living after it last said so.
const ALIVE_FOR: Duration = Duration::from_secs(6);

/// How often a process says that it lives, at least.
const ALIVE_AGAIN: Duration = Duration::from_secs(2);

/// How many events are read at once.
const READ_AT_ONCE: u32 = 64;

/// How many streams of other processes are read here at a time.
const MOST_REMOTE: usize = 4096;

/// After how long without being read the reader of another process's stream counts as gone.
const GONE_AFTER: Duration = Duration::from_secs(60);

/// How many logs that lag behind one look catches up with.
const MOST_BEHIND: usize = 256;

/// The streams that others may read, and those of others that are read here.
#[derive(Debug, Default)]
pub(super) struct Streams {
    own: Mutex<HashMap<StreamKey, Arc<OwnStream>>>,
    remote: Mutex<HashMap<StreamKey, Arc<RemoteStream>>>,
    readers: AtomicU64,
    bytes: Arc<AtomicUsize>,
    said_alive_at: Mutex<Option<Instant>>,
}

/// A stream of this process.
#[derive(Debug)]
struct OwnStream {
    log: tokio::sync::Mutex<Log>,
    /// Something isn't in the log yet.
    is_behind: AtomicBool,
    /// Who reads it.
    reading: Mutex<Reading>,
}

/// Who reads a stream of this process.
#[derive(Debug, Default)]
struct Reading {
    /// The first reader is the one that the call was made by, and has no name.
    has_begun: bool,
    name: Option<String>,
    is_elsewhere: bool,
}

/// What is in a stream's log.
#[derive(Debug)]
struct Log {
    has_begun: bool,
    is_done: bool,
    /// The number of the last event in it.
    last: u64,
    sizes: VecDeque<usize>,
    bytes: usize,
    written_at: Instant,
    all_bytes: Arc<AtomicUsize>,
}

impl Drop for Log {
    fn drop(&mut self) {
        self.all_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Log {
    /// Makes room for an entry; gives how many the log keeps with it.
    fn add(&mut self, bytes: usize) -> u32 {
        self.sizes.push_back(bytes);
        self.bytes += bytes;
        self.all_bytes.fetch_add(bytes, Ordering::Relaxed);
        while self.sizes.len() > MAX_ENTRIES || (self.bytes > MAX_LOG_BYTES && self.sizes.len() > 1) {
            let oldest = self.sizes.pop_front().unwrap_or_default();
            self.bytes = self.bytes.saturating_sub(oldest);
            self.all_bytes.fetch_sub(oldest, Ordering::Relaxed);
        }
        u32::try_from(self.sizes.len()).unwrap_or(u32::MAX)
    }
}

/// A stream of another process.
#[derive(Debug)]
pub(super) struct RemoteStream {
    reader: u64,
    name: String,
    writer: String,
    nudge: Notify,
    read_at: Mutex<Instant>,
}

impl Streams {
    /// The stream of another process that is read here.
    pub(super) fn remote(&self, stream: StreamKey) -> Option<Arc<RemoteStream>> {
        self.remote.lock().get(&stream).cloned()
    }

    fn own(&self, stream: StreamKey) -> Option<Arc<OwnStream>> {
        self.own.lock().get(&stream).cloned()
    }

    /// Lets go of the streams of a session that has ended.
    pub(super) fn drop_session(&self, session: SessionKey) {
        self.own.lock().retain(|stream, _| stream.session != session);
        self.remote.lock().retain(|stream, remote| {
            let stays = stream.session != session;
            if !stays {
                remote.nudge.notify_one();
            }
            stays
        });
    }

    pub(super) fn wake(&self, stream: StreamKey) {
        if let Some(remote) = self.remote(stream) {
            remote.nudge.notify_one();
        }
    }

    pub(super) fn wake_all(&self) {
        for remote in self.remote.lock().values() {
            remote.nudge.notify_one();
        }
    }

    /// Lets another reader in; `None` when there is no room.
    fn let_in(&self, stream: StreamKey, name: String, writer: String) -> Option<u64> {
        let reader = self.readers.fetch_add(1, Ordering::Relaxed) + 1;
        let entered = RemoteStream {
            reader,
            name,
            writer,
            nudge: Notify::new(),
            read_at: Mutex::new(Instant::now()),
        };
        let mut remote = self.remote.lock();
        if remote.len() >= MOST_REMOTE && !remote.contains_key(&stream) {
            return None;
        }
        if let Some(before) = remote.insert(stream, Arc::new(entered)) {
            before.nudge.notify_one();
        }
        Some(reader)
    }

    fn put_out(&self, stream: StreamKey, reader: u64) {
        let mut remote = self.remote.lock();
        if remote.get(&stream).is_some_and(|found| found.reader == reader) {
            remote.remove(&stream);
        }
    }
}

impl SharedSessions {
    /// Begins the log of a stream of this process, so that others find it.
    pub(super) async fn begin_log(&self, stream: StreamKey) {
        let own = OwnStream {
            log: tokio::sync::Mutex::new(Log {
                has_begun: false,
                is_done: false,
                last: 0,
                sizes: VecDeque::new(),
                bytes: 0,
                written_at: Instant::now(),
                all_bytes: Arc::clone(&self.streams.bytes),
            }),
            is_behind: AtomicBool::new(false),
            reading: Mutex::new(Reading::default()),
        };
        self.streams.own.lock().insert(stream, Arc::new(own));
        tokio::join!(self.write_log(stream), self.say_alive());
    }

    /// Writes into the log what isn't there yet; what can't be written is when the memory is back.
    pub(super) async fn write_log(&self, stream: StreamKey) {
        let Some(own) = self.streams.own(stream) else {
            return;
        };
        let mut log = own.log.lock().await;
        own.is_behind.store(true, Ordering::Release);
        if self.catch_up(stream, &mut log).await.is_ok() {
            own.is_behind.store(false, Ordering::Release);
        }
        drop(log);
        if own.reading.lock().is_elsewhere {
            self.say(&Word::Grown {
                session: Name(stream.session),
                stream: stream.number,
            });
        }
    }

    async fn catch_up(&self, stream: StreamKey, log: &mut Log) -> Result<()> {
        if log.is_done {
            return Ok(());
        }
        if !log.has_begun || log.written_at.elapsed() >= REFRESH_AFTER {
            self.add_entry(stream, log, (EntryKind::Begin, 0), Bytes::new())
                .await?;
            log.has_begun = true;
        }
        // Without the stream its session has ended, and nobody gets to its log.
        let Some(Batch { events, is_last }) = self.local.peek(stream, log.last) else {
            return Ok(());
        };
        let count = events.len();
        for (place, (number, event)) in events.into_iter().enumerate() {
            let is_too_much = event.len() > MAX_EVENT_BYTES
                || self
                    .streams
                    .bytes
                    .load(Ordering::Relaxed)
                    .saturating_add(event.len())
                    > MAX_ALL_BYTES;
            if is_too_much {
                self.add_entry(stream, log, (EntryKind::Gone, 0), Bytes::new())
                    .await?;
                log.is_done = true;
                return Ok(());
            }
            let kind = match is_last && place + 1 == count {
                true => EntryKind::Last,
                false => EntryKind::Event,
            };
            self.add_entry(stream, log, (kind, number), event).await?;
            log.last = number;
            log.is_done = kind == EntryKind::Last;
        }
        if is_last && !log.is_done {
            self.add_entry(stream, log, (EntryKind::Last, 0), Bytes::new())
                .await?;
            log.is_done = true;
        }
        Ok(())
    }

    async fn add_entry(
        &self,
        stream: StreamKey,
        log: &mut Log,
        (kind, number): (EntryKind, u64),
        event: Bytes,
    ) -> Result<()> {
        let entry = Entry {
            writer: self.process.clone(),
            number,
            kind,
            event,
        };
        let entry = entry.write();
        let lifetime = match kind {
            EntryKind::Begin | EntryKind::Event => UNFINISHED_FOR,
            EntryKind::Last | EntryKind::Gone => FINISHED_FOR,
        };
        // Counted although it may fail: the log is then a little shorter than it could be.
        let entries = log.add(entry.len());
        let bounds = LogBounds { entries, lifetime };
        self.memory().append(&Keys::log(stream), &entry, bounds).await?;
        log.written_at = Instant::now();
        Ok(())
    }

    /// Says that this process lives, unless it did lately.
    async fn say_alive(&self) {
        let said_at = *self.streams.said_alive_at.lock();
        if said_at.is_some_and(|at| at.elapsed() < ALIVE_AGAIN) {
            return;
        }
        let said = self
            .memory()
            .set(&Keys::alive(&self.process), b"1", ALIVE_FOR)
            .await;
        if said.is_ok() {
            *self.streams.said_alive_at.lock() = Some(Instant::now());
        }
    }

    /// Looks after the streams: forgets those that are given up, and writes what couldn't be written.
    pub(super) async fn tend_streams(&self) {
        let is_read = |remote: &RemoteStream| remote.read_at.lock().elapsed() < GONE_AFTER;
        self.streams.remote.lock().retain(|_, remote| is_read(remote));
        let own: Vec<_> = {
            let own = self.streams.own.lock();
            own.iter()
                .map(|(stream, own)| (*stream, Arc::clone(own)))
                .collect()
        };
        if !own.is_empty() {
            self.say_alive().await;
        }
        let mut caught_up = 0;
        for (stream, own) in own {
            if self.local.peek(stream, u64::MAX).is_none() {
                self.streams.own.lock().remove(&stream);
                continue;
            }
            let is_old = |log: &Log| !log.is_done && log.written_at.elapsed() >= REFRESH_AFTER;
            let is_behind =
                own.is_behind.load(Ordering::Acquire) || own.log.try_lock().is_ok_and(|log| is_old(&log));
            if is_behind && caught_up < MOST_BEHIND {
                caught_up += 1;
                self.write_log(stream).await;
            }
        }
    }

    /// Begins to read a stream of this process.
    pub(super) async fn attach_here(&self, stream: StreamKey) -> Option<u64> {
        let is_first = self.streams.own(stream).is_some_and(|own| {
            let mut reading = own.reading.lock();
            !std::mem::replace(&mut reading.has_begun, true)
        });
        if !is_first {
            let name = self.fresh_name();
            if let Some(own) = self.streams.own(stream) {
                *own.reading.lock() = Reading {
                    has_begun: true,
                    name: Some(name.clone()),
                    is_elsewhere: false,
                };
            }
            self.supersede(stream, &name).await;
        }
        self.local.attach(stream).await
    }

    /// Lets all know who reads a stream now; tells whether it is written.
    async fn supersede(&self, stream: StreamKey, name: &str) -> bool {
        let written = self
            .memory()
            .set(&Keys::reader(stream), name.as_bytes(), UNFINISHED_FOR)
            .await;
        self.say(&Word::Attach {
            session: Name(stream.session),
            stream: stream.number,
            reader: name.to_owned(),
        });
        written.is_ok()
    }

    /// Hears that a stream is read by another process.
    pub(super) async fn hear_attached(&self, stream: StreamKey, reader: &str) {
        if let Some(remote) = self.streams.remote(stream)
            && remote.name != reader
        {
            self.streams.put_out(stream, remote.reader);
            remote.nudge.notify_one();
        }
        if let Some(own) = self.streams.own(stream) {
            let is_other = {
                let mut reading = own.reading.lock();
                let is_other = reading.name.as_deref() != Some(reader);
                reading.is_elsewhere |= is_other;
                reading.has_begun = true;
                is_other
            };
            if is_other {
                // Who read here is superseded by one who isn't there.
                let _gone = self.local.attach(stream).await;
            }
        }
    }

    /// Reads a stream of this process.
    pub(super) async fn read_here(&self, stream: StreamKey, reader: u64, after: u64) -> Option<Batch> {
        loop {
            if let Ok(read) = timeout(LOOK, self.local.read(stream, reader, after)).await {
                return read;
            }
            let written = self.memory().get(&Keys::reader(stream)).await;
            let Some(written) = written
                .ok()
                .flatten()
                .and_then(|name| String::from_utf8(name).ok())
            else {
                continue;
            };
            let name = self
                .streams
                .own(stream)
                .and_then(|own| own.reading.lock().name.clone());
            if name.is_none_or(|name| name != written) {
                self.hear_attached(stream, &written).await;
            }
        }
    }

    /// Begins to read a stream of another process.
    pub(super) async fn attach_elsewhere(&self, stream: StreamKey) -> Option<u64> {
        let log = Keys::log(stream);
        let (entries, last) = self.memory().read_log(&log, 0, 1).await.ok()?;
        let writer = Entry::read(&entries.first()?.1)?.writer;
        if writer == self.process {
            return None;
        }
        if !self.lives(&writer).await {
            let (entries, _) = self
                .memory()
                .read_log(&log, last.saturating_sub(1), 1)
                .await
                .ok()?;
            let is_finished = Entry::read(&entries.first()?.1)?.kind == EntryKind::Last;
            if !is_finished {
                return None;
            }
        }
        let name = self.fresh_name();
        if !self.supersede(stream, &name).await {
            return None;
        }
        self.streams.let_in(stream, name, writer)
    }

    /// Tells whether a process lives, as far as is known.
    async fn lives(&self, process: &str) -> bool {
        let alive = self.memory().get(&Keys::alive(process)).await;
        alive.is_ok_and(|alive| alive.is_some())
    }

    /// Reads a stream of another process out of its log.
    pub(super) async fn read_elsewhere(
        &self,
        stream: StreamKey,
        remote: &RemoteStream,
        reader: u64,
        after: u64,
    ) -> Option<Batch> {
        // An event's number in the log is at least one more than its own, since something stands before the first.
        let mut from = after.saturating_add(1);
        let mut is_orphaned = false;
        loop {
            let current = self.streams.remote(stream);
            if current.is_none_or(|current| current.reader != reader) {
                return None;
            }
            *remote.read_at.lock() = Instant::now();
            if let Ok((entries, last)) = self
                .memory()
                .read_log(&Keys::log(stream), from, READ_AT_ONCE)
                .await
            {
                let is_cut = last < from;
                let is_full = entries.len() >= usize::try_from(READ_AT_ONCE).unwrap_or(usize::MAX);
                from = entries.last().map_or(from, |(number, _)| *number);
                match gather(&entries, after) {
                    Gathered::Batch(batch) => {
                        if batch.is_last && batch.events.is_empty() {
                            self.streams.put_out(stream, reader);
                        }
                        return Some(batch);
                    }
                    Gathered::Nothing if is_full => continue,
                    Gathered::Nothing if !is_cut && !is_orphaned => {}
                    Gathered::Nothing | Gathered::Lost => {
                        self.streams.put_out(stream, reader);
                        return None;
                    }
                }
            }
            if self.is_superseded(stream, remote).await {
                self.streams.put_out(stream, reader);
                return None;
            }
            // What its last breath was is read once more.
            is_orphaned = matches!(self.memory().get(&Keys::alive(&remote.writer)).await, Ok(None));
            if !is_orphaned {
                let _nudged_or_due = timeout(LOOK, remote.nudge.notified()).await;
            }
        }
    }

    /// Tells whether another reads a stream of another process, or its session has ended.
    async fn is_superseded(&self, stream: StreamKey, remote: &RemoteStream) -> bool {
        if self.look_up(stream.session).await.ended {
            return true;
        }
        let written = self.memory().get(&Keys::reader(stream)).await;
        matches!(written, Ok(Some(name)) if name != remote.name.as_bytes())
    }
}

/// What entries hold for a reader.
#[derive(Debug, PartialEq, Eq)]
enum Gathered {
    Batch(Batch),
    Nothing,
    /// What comes next was given up.
    Lost,
}

/// Puts entries together for who has seen event `after`. Those that were written twice count once.
fn gather(entries: &[(u64, Vec<u8>)], after: u64) -> Gathered {
    let mut events: Vec<(u64, Bytes)> = Vec::new();
    let mut next = after.saturating_add(1);
    let mut is_last = false;
    let mut is_lost = false;
    for (_, entry) in entries {
        let Some(entry) = Entry::read(entry) else {
            is_lost = true;
            break;
        };
        match entry.kind {
            EntryKind::Begin => {}
            EntryKind::Gone => is_lost = true,
            EntryKind::Event | EntryKind::Last => {
                if entry.number > next {
                    is_lost = true;
                } else {
                    if entry.number == next {
                        events.push((next, entry.event));
                        next += 1;
                    }
                    is_last = entry.kind == EntryKind::Last;
                }
            }
        }
        if is_lost || is_last {
            break;
        }
    }
    match (events.is_empty(), is_last, is_lost) {
        (true, false, true) => Gathered::Lost,
        (true, false, false) => Gathered::Nothing,
        _ => Gathered::Batch(Batch { events, is_last }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: EntryKind, number: u64) -> (u64, Vec<u8>) {
        let entry = Entry {
            writer: "p".to_owned(),
            number,
            kind,
            event: Bytes::from_static(b"{}"),
        };
        (number + 1, entry.write())
    }

    fn numbers(gathered: Gathered) -> (Vec<u64>, bool) {
        let Gathered::Batch(batch) = gathered else {
            panic!("{gathered:?}");
        };
        let numbers = batch.events.iter().map(|(number, _)| *number);
        (numbers.collect(), batch.is_last)
    }

    #[test]
    fn what_was_written_twice_is_read_once() {
        let entries = [
            entry(EntryKind::Begin, 0),
            entry(EntryKind::Event, 1),
            entry(EntryKind::Event, 1),
            entry(EntryKind::Last, 2),
        ];
        assert_eq!(numbers(gather(&entries, 0)), (vec![1, 2], true));
        assert_eq!(numbers(gather(&entries, 1)), (vec![2], true));
        assert_eq!(numbers(gather(&entries, 2)), (vec![], true));
    }

    #[test]
    fn a_gap_ends_what_can_be_read() {
        let entries = [entry(EntryKind::Event, 3), entry(EntryKind::Event, 5)];
        assert_eq!(gather(&entries, 1), Gathered::Lost);
        assert_eq!(numbers(gather(&entries, 2)), (vec![3], false));
        assert_eq!(gather(&entries[1..], 3), Gathered::Lost);
        assert_eq!(gather(&[entry(EntryKind::Gone, 0)], 3), Gathered::Lost);
        assert_eq!(gather(&[], 3), Gathered::Nothing);
    }
}
