//! Where a session stands: asked for each request, so read once a second at most.

use std::collections::HashMap;

use model::{Result, SharedMemory};
use parking_lot::Mutex;
use protocol::{LogLevel, SessionKey, Sessions as _, Standing};
use tokio::time::Instant;

use super::{
    LOOK, SharedSessions,
    later::{LIFETIME, Write},
    word::Keys,
};

/// How many sessions' standings are kept; of others it is read for each request.
const MOST: usize = 16_384;

/// How many members the set of a session has at most: its end, its level, who listens, and what a process that died in
/// between left behind.
const MOST_MEMBERS: u32 = 16;

/// More than that for the end, so that there is always room for it.
const MOST_MEMBERS_WITH_END: u32 = 32;

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

/// What is written down about a session.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// It was ended, and stays so until then.
    pub(super) ended_until: Option<u64>,
    /// The least level that it wants.
    pub(super) log_level: Option<LogLevel>,
    /// Who listens for it; several where two began at once.
    pub(super) ears: Vec<String>,
}

impl Written {
    fn of(members: &[String]) -> Self {
        let mut written = Self::default();
        for member in members {
            match member.split_once('/') {
                Some(("e", until)) => written.ended_until = until.parse().ok().max(written.ended_until),
                Some(("l", level)) => written.log_level = level_of(level).max(written.log_level),
                Some(("n", ear)) => written.ears.push(ear.to_owned()),
                _ => {}
            }
        }
        written
    }

    /// Reads what is written down about a session.
    pub(super) async fn read(memory: &dyn SharedMemory, session: SessionKey) -> Result<Self> {
        Ok(Self::of(&memory.members(&Keys::standing(session)).await?))
    }
}

fn level_of(text: &str) -> Option<LogLevel> {
    let (name, _nonce) = text.split_once('/')?;
    serde_json::from_value(serde_json::Value::from(name)).ok()
}

fn name_of(level: LogLevel) -> String {
    let name = serde_json::to_value(level).ok();
    name.and_then(|name| name.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// Writes down that a session has ended.
pub(super) async fn note_end(memory: &dyn SharedMemory, session: SessionKey, until_ms: u64) -> Result<bool> {
    let set = Keys::standing(session);
    memory
        .add_member(&set, &format!("e/{until_ms}"), MOST_MEMBERS_WITH_END, LIFETIME)
        .await
}

/// Writes down the level that a session wants.
pub(super) async fn note_level(
    memory: &dyn SharedMemory,
    session: SessionKey,
    level: LogLevel,
    nonce: &str,
) -> Result<bool> {
    replace(memory, session, "l/", &format!("l/{}/{nonce}", name_of(level))).await
}

/// Writes down who listens for a session.
pub(super) async fn note_ear(memory: &dyn SharedMemory, session: SessionKey, ear: &str) -> Result<bool> {
    replace(memory, session, "n/", &format!("n/{ear}")).await
}

/// Puts a member in the place of those of its kind that were there before. Of two at once, both may stay.
async fn replace(memory: &dyn SharedMemory, session: SessionKey, kind: &str, member: &str) -> Result<bool> {
    let set = Keys::standing(session);
    let before = memory.members(&set).await?;
    let is_in = memory.add_member(&set, member, MOST_MEMBERS, LIFETIME).await?;
    for old in before
        .iter()
        .filter(|old| old.starts_with(kind) && *old != member)
    {
        memory.remove_member(&set, old).await?;
    }
    Ok(is_in)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_whatever_its_order() {
        let level = format!("l/{}/n1", name_of(LogLevel::Warning));
        let mut members = vec!["e/17".to_owned(), level, "n/ear".to_owned(), "?".to_owned()];
        let written = Written::of(&members);
        assert_eq!(written.ended_until, Some(17));
        assert_eq!(written.log_level, Some(LogLevel::Warning));
        assert_eq!(written.ears, ["ear"]);
        members.reverse();
        assert_eq!(Written::of(&members), written);
    }
}
