//! How values of the model stand in columns.

use std::{fmt::Display, str::FromStr};

use model::{Priority, TaskKind, TaskStatus, Timestamp};
use rusqlite::{
    ToSql,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef},
};
use uuid::Uuid;

/// An identifier, as 16 bytes.
#[derive(Clone, Copy)]
pub(super) struct Id(pub(super) Uuid);

impl FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 16]>::column_result(value).map(|bytes| Self(Uuid::from_bytes(bytes)))
    }
}

impl ToSql for Id {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.0.as_bytes())))
    }
}

/// A moment, as milliseconds since the epoch.
#[derive(Clone, Copy)]
pub(super) struct Moment(pub(super) Timestamp);

impl FromSql for Moment {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(|millis| Self(Timestamp::from_millis(millis)))
    }
}

impl ToSql for Moment {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0.as_millis()))
    }
}

macro_rules! numbered {
    ($($(#[$doc:meta])* $name:ident($of:ident): $($variant:ident = $number:literal),*;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(super) struct $name(pub(super) $of);

        impl $name {
            /// The number in the column.
            pub(super) const fn number(self) -> i64 {
                match self.0 { $($of::$variant => $number,)* }
            }
        }

        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(self.number()))
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                match value.as_i64()? {
                    $($number => Ok(Self($of::$variant)),)*
                    other => Err(FromSqlError::OutOfRange(other)),
                }
            }
        }
    )*};
}

numbered! {
    /// What moves a task, as a number.
    Kind(TaskKind): ToDo = 0, Job = 1, Recurring = 2;
    /// A status, as a number.
    Status(TaskStatus): Pending = 0, InProgress = 1, Completed = 2, Failed = 3, Cancelled = 4;
    /// A priority, as a number that grows with it.
    Urgency(Priority): Low = 0, Medium = 1, High = 2, Critical = 3;
}

impl Status {
    /// The number in the column `stage`, which is the same for all that hasn't ended.
    pub(super) fn stage(self) -> i64 {
        let open = Self(TaskStatus::InProgress).number();
        self.number().max(open)
    }
}

/// A value of the model that has one text form.
pub(super) struct Text<T>(pub(super) T);

impl<T: FromStr<Err: Display>> FromSql for Text<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value
            .as_str()?
            .parse()
            .map(Self)
            .map_err(|error: T::Err| FromSqlError::Other(error.to_string().into()))
    }
}

/// A value that stands as JSON text.
pub(super) struct Json<T>(pub(super) T);

impl<T: serde::de::DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?)
            .map(Self)
            .map_err(|error| FromSqlError::Other(error.into()))
    }
}

/// Reads a count; a negative one, which can't be, counts as none.
pub(super) fn to_count(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// Turns a count into what a column holds, at most the greatest number that it can.
pub(super) fn from_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
