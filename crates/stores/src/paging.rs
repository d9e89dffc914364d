//! Pages of lists, whatever database they come from.

use model::{Error, Page, PageLimit, Position};

/// Says that a position does not belong to the list that it is used with.
pub(crate) fn foreign_position() -> Error {
    Error::invalid("cursor", "belongs to a list in another order")
}

/// Entries of a page whose texts together are bounded, so that neither memory nor an answer grows with what
/// callers stored.
pub(crate) struct Filling<T> {
    entries: Vec<T>,
    bytes: usize,
    is_cut: bool,
}

impl<T> Filling<T> {
    /// How many bytes of text the entries have together at most, unless one alone has more.
    const MAX_BYTES: usize = 8 * 1024 * 1024;

    /// Begins a page.
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            bytes: 0,
            is_cut: false,
        }
    }

    /// Adds an entry with so many bytes of text, made only if it fits; tells whether it did. The first one always
    /// does, or no walk would get past it.
    pub(crate) fn add<E>(&mut self, bytes: usize, make: impl FnOnce() -> Result<T, E>) -> Result<bool, E> {
        let bytes = self.bytes.saturating_add(bytes);
        self.is_cut = bytes > Self::MAX_BYTES && !self.entries.is_empty();
        if !self.is_cut {
            self.bytes = bytes;
            self.entries.push(make()?);
        }
        Ok(!self.is_cut)
    }

    /// The entries that fit.
    pub(crate) fn into_entries(self) -> Vec<T> {
        self.entries
    }

    /// Makes a page of up to one entry more than asked for, which leads on to what didn't fit.
    pub(crate) fn into_page(
        self,
        limit: PageLimit,
        total: u64,
        position: impl Fn(&T) -> Position,
    ) -> Page<T> {
        let next = if self.is_cut {
            self.entries.last().map(&position)
        } else {
            None
        };
        let page = to_page(self.entries, limit, total, position);
        Page {
            next: page.next.or(next),
            ..page
        }
    }
}

/// Makes a page of up to one entry more than asked for.
pub(crate) fn to_page<T>(
    mut items: Vec<T>,
    limit: PageLimit,
    total: u64,
    position: impl FnOnce(&T) -> Position,
) -> Page<T> {
    let limit = usize::from(limit.get());
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next = if has_more {
        items.last().map(position)
    } else {
        None
    };
    Page { items, next, total }
}
