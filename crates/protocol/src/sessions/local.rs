//! Sessions in the memory of one process.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::{
    Batch, ClientAnswer, Full, Interests, MAX_SUBSCRIPTIONS, SessionKey, Sessions, Standing, StreamKey,
    Weight, stream::EventStream,
};
use crate::context::LogLevel;

/// How many sessions may have something here at a time.
const MAX_SESSIONS: usize = 16_384;
/// How many ended sessions are remembered.
const MAX_ENDED: usize = 131_072;
/// How long a session keeps what it asked for without a sign of life: as long as a session id lasts.
const IDLE_MS: u64 = 24 * 60 * 60 * 1000;
/// How many requests of one session can be cancelled; more than that run, but can't be.
const MAX_RUNNING: usize = 1024;
/// How many questions of one session may wait for answers.
const MAX_ASKED: usize = 256;
/// How many streams one session may have, the ended ones that can still be resumed included.
const MAX_STREAMS: usize = 1024;
/// How long an ended stream can be resumed.
const RESUMABLE_MS: u64 = 2 * 60 * 1000;
/// How many bytes ended streams hold before the oldest are given up.
const MAX_ENDED_BYTES: usize = 64 * 1024 * 1024;
/// How often the table is swept at most.
const SWEEP_MS: u64 = 1000;

/// Keeps what belongs to sessions in the memory of this process: bounded, and gone with it.
///
/// After a restart sessions are served again, without what they had asked for, and those that were ended count as not ended.
#[derive(Debug)]
pub struct LocalSessions<C> {
    clock: C,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    live: HashMap<SessionKey, Live>,
    ended: HashMap<SessionKey, u64>,
    ended_by_time: BTreeSet<(u64, SessionKey)>,
    /// Streams that are kept for resumption only, the first ended first: until when, which, how large.
    finished: VecDeque<(u64, StreamKey, usize)>,
    finished_bytes: usize,
    next_number: u64,
    swept_at: u64,
}

/// What a session has here.
#[derive(Debug, Default)]
struct Live {
    touched_at: u64,
    log_level: Option<LogLevel>,
    uris: BTreeSet<String>,
    version: u64,
    listener: u64,
    changed: Arc<Notify>,
    running: Waiting<()>,
    asked: Waiting<ClientAnswer>,
    streams: HashMap<u64, EventStream>,
}

/// What goes on in a session here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// Whose.
    pub session: SessionKey,
    /// The questions that wait for answers.
    pub questions: Vec<String>,
}

/// Who waits for something, by its name.
#[derive(Debug)]
struct Waiting<T> {
    waiters: Vec<(String, oneshot::Sender<T>)>,
    sweep_at: usize,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self {
            waiters: Vec::new(),
            sweep_at: 16,
        }
    }
}

impl<T> Waiting<T> {
    fn add(&mut self, name: &str, most: usize) -> Result<oneshot::Receiver<T>, Full> {
        if self.waiters.len() >= self.sweep_at.min(most) {
            self.waiters.retain(|(_, waiter)| !waiter.is_closed());
            self.sweep_at = (self.waiters.len() * 2).max(16);
        }
        if self.waiters.len() >= most {
            return Err(Full);
        }
        let (sender, receiver) = oneshot::channel();
        self.waiters.push((name.to_owned(), sender));
        Ok(receiver)
    }

    fn take(&mut self, name: &str) -> Vec<oneshot::Sender<T>> {
        let named = self.waiters.extract_if(.., |(of, _)| of == name);
        named.map(|(_, waiter)| waiter).collect()
    }

    fn is_idle(&self) -> bool {
        self.waiters.iter().all(|(_, waiter)| waiter.is_closed())
    }
}

impl Live {
    fn is_idle(&self) -> bool {
        let nobody_listens = Arc::strong_count(&self.changed) == 1;
        nobody_listens && self.streams.is_empty() && self.running.is_idle() && self.asked.is_idle()
    }

    /// The names of the questions that wait; `None` when neither these nor requests nor unfinished streams are here.
    fn under_way(&self) -> Option<Vec<String>> {
        let asked = self
            .asked
            .waiters
            .iter()
            .filter(|(_, waiter)| !waiter.is_closed());
        let questions: Vec<String> = asked.map(|(question, _)| question.clone()).collect();
        let speaks = self.streams.values().any(|stream| !stream.is_ended);
        (speaks || !questions.is_empty() || !self.running.is_idle()).then_some(questions)
    }

    fn wants_nothing(&self) -> bool {
        self.log_level.is_none() && self.uris.is_empty()
    }
}

impl Table {
    /// The session's entry, made when it has none; `Full` when it is ended or there is no room.
    fn live(&mut self, session: SessionKey, now: u64) -> Result<&mut Live, Full> {
        if self.ended.contains_key(&session) {
            return Err(Full);
        }
        if !self.live.contains_key(&session) && self.live.len() >= MAX_SESSIONS {
            self.make_room(now);
            if self.live.len() >= MAX_SESSIONS {
                return Err(Full);
            }
        }
        let live = self.live.entry(session).or_default();
        live.touched_at = now;
        Ok(live)
    }

    /// Forgets what is too old, what is finished, and when that isn't enough those idle the longest.
    fn make_room(&mut self, now: u64) {
        if now < self.swept_at.saturating_add(SWEEP_MS) {
            return;
        }
        self.swept_at = now;
        self.drop_finished(now);
        self.live.retain(|_, live| {
            let is_old = now >= live.touched_at.saturating_add(IDLE_MS);
            !(live.is_idle() && (is_old || live.wants_nothing()))
        });
        if self.live.len() >= MAX_SESSIONS {
            let idle = self.live.iter().filter(|(_, live)| live.is_idle());
            let mut idle: Vec<(u64, SessionKey)> =
                idle.map(|(session, live)| (live.touched_at, *session)).collect();
            idle.sort_unstable();
            for (_, session) in idle.into_iter().take(MAX_SESSIONS / 8) {
                self.live.remove(&session);
            }
        }
    }

    /// Gives up finished streams that are too old, or too large together.
    fn drop_finished(&mut self, now: u64) {
        while let Some(&(until, stream, bytes)) = self.finished.front() {
            if now < until && self.finished_bytes <= MAX_ENDED_BYTES {
                return;
            }
            self.finished.pop_front();
            self.finished_bytes = self.finished_bytes.saturating_sub(bytes);
            if let Some(live) = self.live.get_mut(&stream.session)
                && let Some(gone) = live.streams.remove(&stream.number)
            {
                gone.changed.notify_waiters();
            }
        }
    }

    fn stream(&mut self, stream: StreamKey) -> Option<&mut EventStream> {
        self.live
            .get_mut(&stream.session)?
            .streams
            .get_mut(&stream.number)
    }
}

impl<C: Fn() -> u64 + Send + Sync + 'static> LocalSessions<C> {
    /// An empty table; `clock` gives milliseconds since 1970.
    #[must_use]
    pub fn new(clock: C) -> Self {
        // Streams are numbered from the time on, so that an event id of before a restart names no stream of now.
        let first = clock() << 12;
        Self::numbering_from(clock, first)
    }

    /// An empty table whose streams are numbered from `first` on. Where several tables serve the same sessions, each takes 63 random bits.
    #[must_use]
    pub fn numbering_from(clock: C, first: u64) -> Self {
        let table = Table {
            next_number: first,
            ..Table::default()
        };
        Self {
            clock,
            table: Mutex::new(table),
        }
    }

    /// The sessions of which requests or questions wait here, or streams aren't finished; in no order. Looks at all of them.
    pub fn under_way(&self) -> Vec<UnderWay> {
        let table = self.table.lock();
        let under_way = table.live.iter().filter_map(|(session, live)| {
            let session = *session;
            live.under_way().map(|questions| UnderWay { session, questions })
        });
        under_way.collect()
    }

    /// Tells whether a question waits for its answer here.
    pub fn is_asked(&self, session: SessionKey, question: &str) -> bool {
        let table = self.table.lock();
        let asked = table.live.get(&session).map(|live| &live.asked.waiters);
        let mut asked = asked.into_iter().flatten();
        asked.any(|(of, waiter)| of == question && !waiter.is_closed())
    }

    /// Cancels the requests of that id that run here; tells whether there was one.
    pub fn cancel_here(&self, session: SessionKey, request: &str) -> bool {
        let mut table = self.table.lock();
        let live = table.live.get_mut(&session);
        let named = live.map(|live| live.running.take(request)).unwrap_or_default();
        let told = named.into_iter().filter_map(|running| running.send(()).ok());
        told.count() > 0
    }

    /// What a stream that is here holds after the event of number `after`, without reading it; `None` when it isn't (any more).
    pub fn peek(&self, stream: StreamKey, after: u64) -> Option<Batch> {
        Some(self.table.lock().stream(stream)?.peek(after))
    }

    /// Asks `look` again whenever what it waits for changed, until it has an answer.
    async fn wait<T>(&self, mut look: impl FnMut(&mut Table) -> Result<T, Arc<Notify>> + Send) -> T
    where
        T: Send,
    {
        let mut changed = match look(&mut self.table.lock()) {
            Ok(found) => return found,
            Err(changed) => changed,
        };
        loop {
            let notified = Arc::clone(&changed).notified_owned();
            tokio::pin!(notified);
            notified.as_mut().enable();
            match look(&mut self.table.lock()) {
                Ok(found) => return found,
                Err(again) => changed = again,
            }
            notified.await;
        }
    }
}

#[async_trait]
impl<C: Fn() -> u64 + Send + Sync + 'static> Sessions for LocalSessions<C> {
    async fn standing(&self, session: SessionKey) -> Standing {
        let table = self.table.lock();
        Standing {
            ended: table.ended.contains_key(&session),
            log_level: table.live.get(&session).and_then(|live| live.log_level),
        }
    }

    async fn end(&self, session: SessionKey, until_ms: u64) {
        let now = (self.clock)();
        let mut table = self.table.lock();
        if let Some(live) = table.live.remove(&session) {
            live.changed.notify_waiters();
            for stream in live.streams.values() {
                stream.changed.notify_waiters();
            }
            for (_, running) in live.running.waiters {
                // A request that has ended meanwhile needs no cancelling.
                let _ended = running.send(());
            }
        }
        while let Some(&(until, oldest)) = table.ended_by_time.first() {
            if now < until && table.ended.len() < MAX_ENDED {
                break;
            }
            table.ended_by_time.pop_first();
            table.ended.remove(&oldest);
        }
        if let Some(before) = table.ended.insert(session, until_ms) {
            table.ended_by_time.remove(&(before, session));
        }
        table.ended_by_time.insert((until_ms, session));
    }

    async fn set_log_level(&self, session: SessionKey, level: LogLevel) -> Result<(), Full> {
        let now = (self.clock)();
        self.table.lock().live(session, now)?.log_level = Some(level);
        Ok(())
    }

    async fn subscribe(&self, session: SessionKey, uri: &str) -> Result<(), Full> {
        let now = (self.clock)();
        let mut table = self.table.lock();
        let live = table.live(session, now)?;
        if live.uris.contains(uri) {
            return Ok(());
        }
        if live.uris.len() >= MAX_SUBSCRIPTIONS {
            return Err(Full);
        }
        live.uris.insert(uri.to_owned());
        live.version += 1;
        live.changed.notify_waiters();
        Ok(())
    }

    async fn unsubscribe(&self, session: SessionKey, uri: &str) {
        if let Some(live) = self.table.lock().live.get_mut(&session)
            && live.uris.remove(uri)
        {
            live.version += 1;
            live.changed.notify_waiters();
        }
    }

    async fn listen(&self, session: SessionKey) -> Result<u64, Full> {
        let now = (self.clock)();
        let mut table = self.table.lock();
        let live = table.live(session, now)?;
        live.listener += 1;
        live.changed.notify_waiters();
        Ok(live.listener)
    }

    async fn interests(&self, session: SessionKey, listener: u64, seen: u64) -> Option<Interests> {
        self.wait(|table| {
            let Some(live) = table.live.get(&session).filter(|live| live.listener == listener) else {
                return Ok(None);
            };
            let version = live.version + 1;
            if version <= seen {
                return Err(Arc::clone(&live.changed));
            }
            let uris = live.uris.iter().cloned().collect();
            Ok(Some(Interests { version, uris }))
        })
        .await
    }

    async fn run(&self, session: SessionKey, request: &str) -> Result<oneshot::Receiver<()>, Full> {
        let now = (self.clock)();
        self.table
            .lock()
            .live(session, now)?
            .running
            .add(request, MAX_RUNNING)
    }

    async fn cancel(&self, session: SessionKey, request: &str) {
        self.cancel_here(session, request);
    }

    async fn ask(
        &self,
        session: SessionKey,
        question: &str,
    ) -> Result<oneshot::Receiver<ClientAnswer>, Full> {
        let now = (self.clock)();
        self.table
            .lock()
            .live(session, now)?
            .asked
            .add(question, MAX_ASKED)
    }

    async fn answer(&self, session: SessionKey, question: &str, answer: ClientAnswer) -> bool {
        let mut table = self.table.lock();
        let asked = table
            .live
            .get_mut(&session)
            .and_then(|live| live.asked.take(question).pop());
        asked.is_some_and(|asked| asked.send(answer).is_ok())
    }

    async fn open_stream(&self, session: SessionKey) -> Result<StreamKey, Full> {
        let now = (self.clock)();
        let mut table = self.table.lock();
        table.drop_finished(now);
        let number = table.next_number + 1;
        let live = table.live(session, now)?;
        if live.streams.len() >= MAX_STREAMS {
            return Err(Full);
        }
        live.streams.insert(number, EventStream::default());
        table.next_number = number;
        Ok(StreamKey { session, number })
    }

    async fn append(&self, stream: StreamKey, weight: Weight, event: Bytes) -> Result<(), Full> {
        let now = (self.clock)();
        let mut table = self.table.lock();
        let events = table.stream(stream).ok_or(Full)?;
        events.append(weight, event)?;
        if weight == Weight::Last {
            let bytes = events.bytes();
            table
                .finished
                .push_back((now.saturating_add(RESUMABLE_MS), stream, bytes));
            table.finished_bytes += bytes;
            table.drop_finished(now);
        }
        Ok(())
    }

    async fn attach(&self, stream: StreamKey) -> Option<u64> {
        let now = (self.clock)();
        let mut table = self.table.lock();
        table.drop_finished(now);
        table.stream(stream).map(EventStream::attach)
    }

    async fn read(&self, stream: StreamKey, reader: u64, after: u64) -> Option<Batch> {
        self.wait(|table| {
            let Some(events) = table.stream(stream) else {
                return Ok(None);
            };
            match events.read(reader, after) {
                Some(batch) if batch.events.is_empty() && !batch.is_last => Err(Arc::clone(&events.changed)),
                read => Ok(read),
            }
        })
        .await
    }
}
