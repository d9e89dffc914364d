//! Sessions of the older revisions when several processes serve them.
//!
//! What a session has lives in the memory of the process where it happens, as with one process; what others must know is
//! written into the shared memory, and told over the bus. The bus makes things fast and may lose anything: what is
//! written down is looked at again after [`LOOK`]. While the shared memory is away, each process goes on with what it has
//! itself, and what it couldn't write down follows when the memory is back.

mod word;
mod written;
mod later;
mod standing;
mod interest;
mod question;
mod stream;
mod attend;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use model::{Bus, BusListener, SharedMemory};
use parking_lot::Mutex;
use protocol::{
    Batch, ClientAnswer, Clock, Full, Interests, LocalSessions, LogLevel, Random, SessionKey, Sessions,
    Standing, StreamKey, Weight,
};
use tokio::sync::{Notify, oneshot};

use self::{
    interest::Ears,
    later::Later,
    question::Letters,
    standing::Standings,
    stream::Streams,
    word::{Name, Word},
};

/// How old what is known of another process may be when the bus has lost a message.
const LOOK: Duration = Duration::from_secs(1);

/// How long what a session asked for is kept: as long as a session id lasts.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What several processes share.
#[derive(Clone)]
pub struct Shared {
    /// Keeps what all must know.
    pub memory: Arc<dyn SharedMemory>,
    /// Tells it at once.
    pub bus: Arc<dyn Bus>,
}

impl From<(Arc<dyn SharedMemory>, Arc<dyn Bus>)> for Shared {
    fn from((memory, bus): (Arc<dyn SharedMemory>, Arc<dyn Bus>)) -> Self {
        Self { memory, bus }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

type Local = LocalSessions<Box<dyn Fn() -> u64 + Send + Sync>>;

/// Keeps what belongs to sessions for all processes on one shared memory. Someone drives [`Self::attend`].
///
/// A change is known everywhere at once, or within a second when the bus loses its message. Without the shared memory
/// it is known where it was made: a session that was ended meanwhile goes on elsewhere until the memory is back, and when
/// the process that knows of its end stops before that, until its id is too old.
pub struct SharedSessions {
    local: Local,
    shared: Shared,
    random: Random,
    /// What this process is called among all.
    process: String,
    /// Opened before anything can be said.
    listener: Mutex<Option<Box<dyn BusListener>>>,
    later: Later,
    standings: Standings,
    ears: Ears,
    letters: Letters,
    streams: Streams,
    /// Wakes the one who looks at what is written down.
    wanted: Notify,
}

impl SharedSessions {
    /// Sessions of one of the processes. `clock` gives milliseconds since 1970; `random` names this process and what it makes.
    #[must_use]
    pub fn new(shared: Shared, clock: Clock, random: Random) -> Self {
        // Streams of different processes must not have the same number.
        let first = u64::try_from(random() >> 65).unwrap_or_default();
        Self {
            local: LocalSessions::numbering_from(Box::new(move || clock()), first),
            process: name_from(&random),
            listener: Mutex::new(Some(shared.bus.listen())),
            shared,
            random,
            later: Later::default(),
            standings: Standings::default(),
            ears: Ears::default(),
            letters: Letters::default(),
            streams: Streams::default(),
            wanted: Notify::new(),
        }
    }

    fn memory(&self) -> &dyn SharedMemory {
        &*self.shared.memory
    }

    fn say(&self, word: &Word) {
        if let Some(notice) = word.notice() {
            self.shared.bus.announce(notice);
        }
    }

    /// A name that nothing else has.
    fn fresh_name(&self) -> String {
        name_from(&self.random)
    }

    /// Ends a session in this process.
    async fn end_here(&self, session: SessionKey, until_ms: u64) {
        self.local.end(session, until_ms).await;
        self.standings.forget(session);
        self.ears.remove(session);
        self.streams.drop_session(session);
    }
}

fn name_from(random: &Random) -> String {
    format!("{:032x}", random())
}

#[async_trait]
impl Sessions for SharedSessions {
    async fn standing(&self, session: SessionKey) -> Standing {
        self.look_up(session).await
    }

    async fn end(&self, session: SessionKey, until_ms: u64) {
        self.end_here(session, until_ms).await;
        self.write_end(session, until_ms).await;
        let session = Name(session);
        self.say(&Word::End { session, until_ms });
    }

    async fn set_log_level(&self, session: SessionKey, level: LogLevel) -> Result<(), Full> {
        self.local.set_log_level(session, level).await?;
        self.write_level(session, level).await;
        let session = Name(session);
        self.say(&Word::Level { session, level });
        Ok(())
    }

    async fn subscribe(&self, session: SessionKey, uri: &str) -> Result<(), Full> {
        self.add_interest(session, uri).await?;
        self.say(&Word::Interests {
            session: Name(session),
        });
        Ok(())
    }

    async fn unsubscribe(&self, session: SessionKey, uri: &str) {
        self.drop_interest(session, uri).await;
        self.say(&Word::Interests {
            session: Name(session),
        });
    }

    async fn listen(&self, session: SessionKey) -> Result<u64, Full> {
        self.open_ear(session).await
    }

    async fn interests(&self, session: SessionKey, listener: u64, seen: u64) -> Option<Interests> {
        self.wait_for_interests(session, listener, seen).await
    }

    async fn run(&self, session: SessionKey, request: &str) -> Result<oneshot::Receiver<()>, Full> {
        self.local.run(session, request).await
    }

    async fn cancel(&self, session: SessionKey, request: &str) {
        self.cancel_everywhere(session, request).await;
    }

    async fn ask(
        &self,
        session: SessionKey,
        question: &str,
    ) -> Result<oneshot::Receiver<ClientAnswer>, Full> {
        let answer = self.local.ask(session, question).await?;
        self.sign_question(session, question).await;
        Ok(answer)
    }

    async fn answer(&self, session: SessionKey, question: &str, answer: ClientAnswer) -> bool {
        if self.local.is_asked(session, question) {
            return self.local.answer(session, question, answer).await;
        }
        self.send_answer(session, question, answer).await
    }

    async fn open_stream(&self, session: SessionKey) -> Result<StreamKey, Full> {
        let stream = self.local.open_stream(session).await?;
        self.begin_log(stream).await;
        Ok(stream)
    }

    async fn append(&self, stream: StreamKey, weight: Weight, event: Bytes) -> Result<(), Full> {
        self.local.append(stream, weight, event).await?;
        self.write_log(stream).await;
        Ok(())
    }

    async fn attach(&self, stream: StreamKey) -> Option<u64> {
        if self.local.peek(stream, u64::MAX).is_some() {
            return self.attach_here(stream).await;
        }
        self.attach_elsewhere(stream).await
    }

    async fn read(&self, stream: StreamKey, reader: u64, after: u64) -> Option<Batch> {
        match self.streams.remote(stream) {
            Some(remote) => self.read_elsewhere(stream, &remote, reader, after).await,
            None => self.read_here(stream, reader, after).await,
        }
    }
}
