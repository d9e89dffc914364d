//! What is written down about a session, and how it is read again.

use model::{Result, SharedMemory};
use protocol::{LogLevel, MAX_SUBSCRIPTIONS, SessionKey};

use super::{DAY, word::Keys};

/// How long what is written here lives.
const LIFETIME: std::time::Duration = DAY;

/// How many members the set of a session has at most: its end, its level, who listens, and what a process that died in
/// between left behind.
const MOST_MEMBERS: u32 = 16;

/// More than that for the end, so that there is always room for it.
const MOST_MEMBERS_WITH_END: u32 = 32;

/// A member of each set of subscriptions that was ever written: a set without it was lost, and isn't an empty one.
pub(super) const MARK: &str = "!";

/// As many as a session may have, and the mark.
const MOST_SUBSCRIBED: u32 = 65;
const _: () = assert!(
    MAX_SUBSCRIPTIONS + 1 == MOST_SUBSCRIBED as usize,
    "the mark has a place of its own"
);

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

/// The subscription as a member of its set.
pub(super) fn subscription(uri: &str) -> String {
    format!("u/{uri}")
}

/// Writes down a subscription; tells whether there was room for it.
pub(super) async fn note_subscription(
    memory: &dyn SharedMemory,
    session: SessionKey,
    uri: &str,
) -> Result<bool> {
    let set = Keys::interests(session);
    memory.add_member(&set, MARK, MOST_SUBSCRIBED, LIFETIME).await?;
    memory
        .add_member(&set, &subscription(uri), MOST_SUBSCRIBED, LIFETIME)
        .await
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
