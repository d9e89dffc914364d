//! Places in a store's records.

use model::{Error, Result};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The parts of a store, in the order in which they are carried: calls before the tasks whose results they gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Accounts with what belongs to them.
    Accounts,
    /// Counts of wrong passwords.
    SignInFailures,
    /// Calls.
    Executions,
    /// Tasks.
    Tasks,
    /// Idempotency keys.
    Claims,
}

impl Part {
    /// The part that is carried next.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Accounts => Some(Self::SignInFailures),
            Self::SignInFailures => Some(Self::Executions),
            Self::Executions => Some(Self::Tasks),
            Self::Tasks => Some(Self::Claims),
            Self::Claims => None,
        }
    }

    /// What people call it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::SignInFailures => "failed sign-ins",
            Self::Executions => "calls",
            Self::Tasks => "tasks",
            Self::Claims => "idempotency keys",
        }
    }
}

/// A place in a store's records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The part.
    pub part: Part,
    /// The id of the last record of it that was read, as text.
    pub after: Option<String>,
}

impl Cursor {
    /// The beginning of everything.
    #[must_use]
    pub const fn begin() -> Self {
        Self {
            part: Part::Accounts,
            after: None,
        }
    }

    /// Where to go on after a page of this part: behind `last`, or with the next part when the page was empty.
    pub(crate) fn behind(&self, last: Option<String>) -> Option<Self> {
        match last {
            Some(last) => Some(Self {
                part: self.part,
                after: Some(last),
            }),
            None => self.part.next().map(|part| Self { part, after: None }),
        }
    }

    /// The id behind which to go on.
    pub(crate) fn uuid(&self) -> Result<Option<Uuid>> {
        let read = |text: &String| Uuid::try_parse(text).map_err(Error::bug);
        self.after.as_ref().map(read).transpose()
    }
}

/// Writes bytes in hexadecimal digits.
pub(crate) fn write_hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads 64 hexadecimal digits.
pub(crate) fn read_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let is_whole = text.len() == bytes.len().saturating_mul(2);
    for (index, byte) in bytes.iter_mut().enumerate() {
        let start = index.saturating_mul(2);
        let digits = text.get(start..start.saturating_add(2))?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    is_whole.then_some(bytes)
}
