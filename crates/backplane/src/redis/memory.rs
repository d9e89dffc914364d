//! Small things that processes share on the server.

use std::time::Duration;

use async_trait::async_trait;
use model::{Error, LogBounds, Result, SharedMemory};
use redis::{Cmd, FromRedisValue, Script, ScriptInvocation, Value, cmd, from_redis_value};

use super::RedisBackplane;

/// The most bytes of a key.
const MAX_KEY_BYTES: usize = 200;

/// The most bytes of a value or an entry.
const MAX_VALUE_BYTES: usize = 4 * 1024 * 1024;

/// The most bytes of a member.
const MAX_MEMBER_BYTES: usize = 2_048;

/// The most bytes that one reading of a log gives.
const MAX_READ_BYTES: usize = 8 * 1024 * 1024;

/// What can't be done in one command.
pub(super) struct Scripts {
    add_member: Script,
    append: Script,
    read: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            add_member: Script::new(include_str!("members.lua")),
            append: Script::new(include_str!("append.lua")),
            read: Script::new(include_str!("read.lua")),
        }
    }
}

/// What stands under a name; each kind has names of its own.
#[derive(Clone, Copy)]
enum Kind {
    Value,
    Set,
    Log,
}

#[async_trait]
impl SharedMemory for RedisBackplane {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let name = self.name(Kind::Value, key)?;
        self.command(cmd("GET").arg(name)).await
    }

    async fn set(&self, key: &str, value: &[u8], lifetime: Duration) -> Result<()> {
        let name = self.name(Kind::Value, key)?;
        require_at_most("value", value, MAX_VALUE_BYTES)?;
        let millis = millis(lifetime)?;
        self.command(cmd("SET").arg(name).arg(value).arg("PX").arg(millis))
            .await
    }

    async fn remove(&self, key: &str) -> Result<()> {
        let name = self.name(Kind::Value, key)?;
        let _count: u64 = self.command(cmd("DEL").arg(name)).await?;
        Ok(())
    }

    async fn add_member(&self, set: &str, member: &str, most: u32, lifetime: Duration) -> Result<bool> {
        let name = self.name(Kind::Set, set)?;
        require_at_most("member", member.as_bytes(), MAX_MEMBER_BYTES)?;
        let mut adding = self.scripts.add_member.key(name);
        adding.arg(member).arg(most).arg(millis(lifetime)?);
        self.script(&adding).await
    }

    async fn remove_member(&self, set: &str, member: &str) -> Result<()> {
        let name = self.name(Kind::Set, set)?;
        let _count: u64 = self.command(cmd("SREM").arg(name).arg(member)).await?;
        Ok(())
    }

    async fn members(&self, set: &str) -> Result<Vec<String>> {
        let name = self.name(Kind::Set, set)?;
        self.command(cmd("SMEMBERS").arg(name)).await
    }

    async fn append(&self, log: &str, entry: &[u8], bounds: LogBounds) -> Result<u64> {
        let name = self.name(Kind::Log, log)?;
        require_at_most("entry", entry, MAX_VALUE_BYTES)?;
        let mut appending = self.scripts.append.key(name);
        appending
            .arg(entry)
            .arg(bounds.entries.max(1))
            .arg(millis(bounds.lifetime)?);
        self.script(&appending).await
    }

    async fn read_log(&self, log: &str, after: u64, most: u32) -> Result<(Vec<(u64, Vec<u8>)>, u64)> {
        let name = self.name(Kind::Log, log)?;
        let mut reading = self.scripts.read.key(name);
        reading.arg(after).arg(most).arg(MAX_READ_BYTES);
        let mut answer = self.script::<Vec<Value>>(&reading).await?.into_iter();
        let last = number(answer.next())?;
        let mut entries = Vec::new();
        while let Some(value) = answer.next() {
            let number = number(Some(value))?;
            let entry = answer.next().ok_or_else(unreadable)?;
            entries.push((number, from_redis_value(entry).map_err(Error::bug)?));
        }
        Ok((entries, last))
    }
}

impl RedisBackplane {
    fn name(&self, kind: Kind, key: &str) -> Result<String> {
        require_at_most("key", key.as_bytes(), MAX_KEY_BYTES)?;
        let kind = match kind {
            Kind::Value => "value",
            Kind::Set => "set",
            Kind::Log => "log",
        };
        Ok(format!("{}{kind}:{key}", self.key_prefix))
    }

    async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let asking = self
            .shared
            .ask(|mut connection| async move { command.query_async(&mut connection).await });
        asking.await.ok_or_else(away)
    }

    async fn script<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T> {
        self.shared.run(script).await.ok_or_else(away)
    }
}

fn require_at_most(what: &str, bytes: &[u8], most: usize) -> Result<()> {
    if bytes.len() > most {
        return Err(Error::invalid(what, format!("must have at most {most} bytes")));
    }
    Ok(())
}

fn millis(lifetime: Duration) -> Result<u64> {
    // A year is as good as for ever, and the server counts from 1970.
    const LONGEST: u64 = 365 * 24 * 3_600 * 1_000;
    match u64::try_from(lifetime.as_millis()) {
        Ok(0) => Err(Error::invalid("lifetime", "must be at least a millisecond")),
        Ok(millis) => Ok(millis.min(LONGEST)),
        Err(_) => Ok(LONGEST),
    }
}

fn number(value: Option<Value>) -> Result<u64> {
    let value = value.ok_or_else(unreadable)?;
    from_redis_value(value).map_err(Error::bug)
}

fn unreadable() -> Error {
    Error::bug("the shared memory answered otherwise than its script says")
}

fn away() -> Error {
    Error::unavailable("what processes share can't be reached now; try again")
}
