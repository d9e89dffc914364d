//! Who hears what other processes say, and looks again at what is written down.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use engine::{Duty, Pace};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use model::{BusListener, Heard, Result};
use parking_lot::Mutex;
use protocol::{SessionKey, StreamKey, UnderWay};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    LOOK, SharedSessions,
    word::{Name, Word},
    written::Written,
};

/// How many sessions one look asks about; those that are left come first at the next.
const MOST_LOOKS: usize = 1024;

/// How many of them at a time.
const LOOKS_AT_ONCE: usize = 32;

/// How many answers are fetched at a time; what doesn't fit is found at the next look.
const MOST_FETCHES: usize = 256;

/// How often it is seen whether what was under way at the stop has ended.
const ENDED_LOOK: Duration = Duration::from_millis(50);

impl SharedSessions {
    /// Hears what the other processes say. Ends when `stop` is cancelled and nothing is under way in any session here, or
    /// `cut_off` is.
    pub async fn attend(self: Arc<Self>, stop: CancellationToken, cut_off: CancellationToken) {
        let Some(listener) = self.listener.lock().take() else {
            return;
        };
        let pace = Pace {
            stop: CancellationToken::new(),
        };
        let look = Look {
            sessions: Arc::clone(&self),
            before: Mutex::default(),
        };
        let ended = async {
            stop.cancelled().await;
            while !self.local.under_way().is_empty() {
                if timeout(ENDED_LOOK, cut_off.cancelled()).await.is_ok() {
                    break;
                }
            }
            pace.stop.cancel();
        };
        let hearing = pace.stop.run_until_cancelled(self.hear(listener));
        tokio::join!(ended, hearing, pace.drive(Arc::new(look)));
    }

    async fn hear(&self, mut listener: Box<dyn BusListener>) {
        let mut fetches = FuturesUnordered::new();
        loop {
            let heard = tokio::select! {
                Some(()) = fetches.next() => continue,
                heard = listener.next() => heard,
            };
            let word = match heard {
                Heard::Missed => {
                    self.look_everywhere();
                    continue;
                }
                Heard::Notice(notice) => Word::read(&notice),
            };
            match word {
                Some(Word::Answer {
                    session: Name(session),
                    question,
                    asker,
                    ticket,
                }) if asker == self.process && fetches.len() < MOST_FETCHES => {
                    fetches.push(async move { self.hear_answer(session, &question, &ticket).await });
                }
                Some(word) => self.heed(word).await,
                None => {}
            }
        }
    }

    /// Everything may have changed.
    fn look_everywhere(&self) {
        self.standings.forget_all();
        self.ears.wake_all();
        self.streams.wake_all();
        self.wanted.notify_one();
    }

    async fn heed(&self, word: Word) {
        match word {
            Word::End { session, until_ms } => self.end_here(session.0, until_ms).await,
            Word::Level { session, level } => self.hear_level(session.0, level).await,
            Word::Interests { session } => self.ears.wake(session.0),
            Word::Listen { session, ear } => self.hear_listening(session.0, &ear).await,
            Word::Cancel { session, request } => self.hear_cancelled(session.0, &request).await,
            Word::Taken { ticket, was_awaited } => self.letters.hear(&ticket, was_awaited),
            Word::Attach {
                session: Name(session),
                stream: number,
                reader,
            } => {
                self.hear_attached(StreamKey { session, number }, &reader).await;
            }
            Word::Grown {
                session: Name(session),
                stream: number,
            } => self.streams.wake(StreamKey { session, number }),
            // For another process, or found at the next look.
            Word::Answer { .. } => {}
        }
    }
}

/// Looks once in a while at what is written down about the sessions of which something is under way here.
struct Look {
    sessions: Arc<SharedSessions>,
    /// Those of the look before, and where that ended.
    before: Mutex<(BTreeSet<SessionKey>, Option<SessionKey>)>,
}

impl Look {
    /// Those of which something has been under way for one period at least: what is short isn't worth the asking.
    fn lasting(&self) -> Vec<UnderWay> {
        let mut under_way = self.sessions.local.under_way();
        under_way.sort_unstable_by_key(|one| one.session);
        let mut before = self.before.lock();
        let now = under_way.iter().map(|one| one.session).collect();
        let known = std::mem::replace(&mut before.0, now);
        under_way.retain(|one| known.contains(&one.session));
        let begin = before
            .1
            .map_or(0, |last| under_way.partition_point(|one| one.session <= last));
        under_way.rotate_left(begin);
        under_way.truncate(MOST_LOOKS);
        before.1 = under_way.last().map(|one| one.session);
        under_way
    }

    async fn look_at(&self, UnderWay { session, questions }: UnderWay) -> Result<()> {
        let sessions = &*self.sessions;
        let written = Written::read(sessions.memory(), session).await?;
        if let Some(until_ms) = written.ended_until {
            sessions.end_here(session, until_ms).await;
            return Ok(());
        }
        sessions.look_for_cancelled(session).await?;
        for question in questions {
            sessions.fetch_answer(session, &question).await;
        }
        Ok(())
    }
}

#[async_trait]
impl Duty for Look {
    fn name(&self) -> &'static str {
        "look at what other processes did to sessions"
    }

    fn period(&self) -> Duration {
        LOOK
    }

    async fn woken(&self) {
        self.sessions.wanted.notified().await;
    }

    async fn step(&self) -> Result<()> {
        self.sessions.ears.sweep();
        self.sessions.tend_streams().await;
        self.sessions.later.catch_up(self.sessions.memory()).await?;
        let mut looks = futures_util::stream::iter(self.lasting())
            .map(|one| self.look_at(one))
            .buffer_unordered(LOOKS_AT_ONCE);
        while let Some(looked) = looks.next().await {
            looked?;
        }
        Ok(())
    }
}
