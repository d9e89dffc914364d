//! Where a session stands: asked for each request, so read once a second at most.

use std::collections::HashMap;

use model::Result;
use parking_lot::Mutex;
use protocol::{LogLevel, SessionKey, Sessions as _, Standing};
use tokio::time::Instant;

use super::{LOOK, SharedSessions, later::Write, written::Written};

/// How many sessions' standings are kept; of others it is read for each request.
const MOST: usize = 16_384;

/// What was read, and when the reading began.
#[derive(Clone, Copy, Debug)]
struct Known {
    asked_at: Instant,
    log_level: Option<LogLevel>,
}

/// The standings that were read lately.
#[derive(Debug, Default)]
pub(super) struct Standings(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    known: HashMap<SessionKey, Known>,
    /// Grows with each loss, so that what was read before isn't taken for news.
    losses: u64,
    swept_at: Option<Instant>,
}

impl Standings {
    pub(super) fn forget(&self, session: SessionKey) {
        let mut table = self.0.lock();
        table.losses += 1;
        table.known.remove(&session);
    }

    pub(super) fn forget_all(&self) {
        let mut table = self.0.lock();
        table.losses += 1;
        table.known.clear();
    }

    fn get(&self, session: SessionKey) -> Option<Known> {
        self.0.lock().known.get(&session).copied()
    }

    fn losses(&self) -> u64 {
        self.0.lock().losses
    }

    /// Keeps what was read, unless something was lost since there were `losses`.
    fn put(&self, session: SessionKey, known: Known, losses: u64) {
        let mut table = self.0.lock();
        if table.losses != losses {
            return;
        }
        if table.known.len() >= MOST && !table.known.contains_key(&session) {
            let now = Instant::now();
            if table.swept_at.is_none_or(|at| now - at >= LOOK) {
                table.swept_at = Some(now);
                table.known.retain(|_, known| now - known.asked_at < LOOK);
            }
            if table.known.len() >= MOST {
                return;
            }
        }
        table.known.insert(session, known);
    }
}

impl SharedSessions {
    /// Where a session stands: from what is known here, and what was read less than [`LOOK`] ago.
    ///
    /// While the memory is away, what was read last counts.
    pub(super) async fn look_up(&self, session: SessionKey) -> Standing {
        let here = self.local.standing(session).await;
        if here.ended {
            return here;
        }
        let known = self.standings.get(session);
        let known = match known {
            Some(known) if known.asked_at.elapsed() < LOOK => Some(known),
            stale => match self.read_standing(session).await {
                Ok(Some(read)) => Some(read),
                Ok(None) => return self.local.standing(session).await,
                Err(_) => stale,
            },
        };
        let is_late = self.later.concerns(session);
        let read = known.and_then(|known| known.log_level).filter(|_| !is_late);
        Standing {
            ended: false,
            log_level: read.or(here.log_level),
        }
    }

    /// Reads where a session stands; `None` when it is ended, which this process knows then.
    async fn read_standing(&self, session: SessionKey) -> Result<Option<Known>> {
        let (asked_at, losses) = (Instant::now(), self.standings.losses());
        let written = Written::read(self.memory(), session).await?;
        if let Some(until_ms) = written.ended_until {
            self.end_here(session, until_ms).await;
            return Ok(None);
        }
        let known = Known {
            asked_at,
            log_level: written.log_level,
        };
        self.standings.put(session, known, losses);
        Ok(Some(known))
    }

    pub(super) async fn write_end(&self, session: SessionKey, until_ms: u64) {
        self.later
            .write(self.memory(), Write::End { session, until_ms })
            .await;
    }

    pub(super) async fn write_level(&self, session: SessionKey, level: LogLevel) {
        let nonce = self.fresh_name();
        let write = Write::Level {
            session,
            level,
            nonce,
        };
        self.later.write(self.memory(), write).await;
        self.standings.forget(session);
    }

    /// Hears that a session wants another level.
    pub(super) async fn hear_level(&self, session: SessionKey, level: LogLevel) {
        if self.local.standing(session).await.log_level.is_some() {
            // What counts when the memory is away shouldn't be older than need be; no room for it is fine.
            let _no_room = self.local.set_log_level(session, level).await;
        }
        self.standings.forget(session);
    }
}
