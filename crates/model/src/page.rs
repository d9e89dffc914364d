//! Lists in pages: by key, never by offset, so that a page costs the same wherever it stands.

use uuid::Uuid;

use crate::error::{Error, Result};

/// How many entries a page holds: 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit(u16);

impl PageLimit {
    /// The most entries that a page can hold.
    pub const MAX: u16 = 100;

    /// Takes a limit.
    ///
    /// # Errors
    /// `Invalid` outside 1 to 100.
    pub fn new(limit: u16) -> Result<Self> {
        if (1..=Self::MAX).contains(&limit) {
            Ok(Self(limit))
        } else {
            Err(Error::invalid("limit", "must be a whole number from 1 to 100"))
        }
    }

    /// The limit as a number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl Default for PageLimit {
    fn default() -> Self {
        Self(20)
    }
}

/// Which way a list runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Greatest first.
    Descending,
}

/// By which field a list is sorted, and which way; ties are broken by id, in the same direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sort<F> {
    /// The field.
    pub field: F,
    /// The direction.
    pub direction: Direction,
}

/// The value of the sorted field in the last entry of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortValue {
    /// The field is the id itself, or follows its order (times of creation).
    Id,
    /// A text.
    Text(String),
    /// A number.
    Integer(i64),
}

/// Where a page ended: the next one begins right after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The sorted field of the last entry.
    pub value: SortValue,
    /// The id of the last entry.
    pub id: Uuid,
}

/// Which page of a list is asked for.
#[derive(Clone, Debug)]
pub struct PageRequest<F> {
    /// How many entries at most.
    pub limit: PageLimit,
    /// The order.
    pub sort: Sort<F>,
    /// Where the page before ended; `None` for the first.
    pub after: Option<Position>,
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The entries, in the order asked for. A page with much text can end before its limit, after one entry at least.
    pub items: Vec<T>,
    /// Where this page ended; `None` when nothing follows.
    pub next: Option<Position>,
    /// How many entries all pages together hold.
    pub total: u64,
}

impl<T> Page<T> {
    /// Turns each entry into another, keeping their order.
    pub fn map<U>(self, turn: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(turn).collect(),
            next: self.next,
            total: self.total,
        }
    }
}
