//! Lists in pages, by key.

use model::{Direction, Error, Page, PageLimit, PageRequest, Position, SortValue};
use rusqlite::types::Value;

/// The part of a statement that says which rows, in which order, and how many.
pub(super) struct Selection {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Selection {
    /// Selects everything.
    pub(super) fn all() -> Self {
        Self {
            conditions: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Adds a condition in which `?` stands for `value`.
    pub(super) fn with(mut self, condition: &str, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        let place = format!("?{}", self.values.len());
        self.conditions.push(condition.replace('?', &place));
        self
    }

    /// Adds a condition when there is a value for it.
    pub(super) fn with_some(self, condition: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(condition, value),
            None => self,
        }
    }

    /// The `WHERE` clause, empty when everything is selected.
    pub(super) fn clause(&self) -> String {
        if self.conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", self.conditions.join(" AND "))
        }
    }

    /// The values, in the order of their places.
    pub(super) fn values(&self) -> impl Iterator<Item = &Value> {
        self.values.iter()
    }

    /// Adds what of the list follows `request.after`; gives the clauses for order and number too.
    ///
    /// One row more than asked for is selected, to tell whether a page follows. `column` is `None` when the
    /// list is sorted by id.
    ///
    /// # Errors
    /// `Invalid` when the position belongs to a list in another order.
    pub(super) fn page<F>(
        mut self,
        column: Option<&str>,
        request: &PageRequest<F>,
    ) -> model::Result<(String, Self)> {
        let (comparison, order) = match request.sort.direction {
            Direction::Ascending => (">", "ASC"),
            Direction::Descending => ("<", "DESC"),
        };
        let order = match column {
            None => format!(" ORDER BY id {order}"),
            Some(column) => format!(" ORDER BY {column} {order}, id {order}"),
        };
        if let Some(after) = &request.after {
            let id = Value::Blob(after.id.as_bytes().to_vec());
            match (column, &after.value) {
                (None, SortValue::Id) => self = self.with(&format!("id {comparison} ?"), id),
                (Some(column), SortValue::Text(text)) => {
                    self.values.push(Value::Text(text.clone()));
                    self.values.push(id);
                    let last = self.values.len();
                    let condition = format!(
                        "({column}, id) {comparison} (?{}, ?{last})",
                        last.saturating_sub(1)
                    );
                    self.conditions.push(condition);
                }
                (None | Some(_), SortValue::Id | SortValue::Text(_) | SortValue::Integer(_)) => {
                    return Err(foreign_position());
                }
            }
        }
        let limit = u32::from(request.limit.get()).saturating_add(1);
        let clauses = format!("{}{order} LIMIT {limit}", self.clause());
        Ok((clauses, self))
    }
}

/// Says that a position does not belong to the list that it is used with.
pub(super) fn foreign_position() -> Error {
    Error::invalid("cursor", "belongs to a list in another order")
}

/// Entries of a page whose texts together are bounded, so that neither memory nor an answer grows with what
/// callers stored.
pub(super) struct Filling<T> {
    entries: Vec<T>,
    bytes: usize,
    is_cut: bool,
}

impl<T> Filling<T> {
    /// How many bytes of text the entries have together at most, unless one alone has more.
    const MAX_BYTES: usize = 8 * 1024 * 1024;

    /// Begins a page.
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::new(),
            bytes: 0,
            is_cut: false,
        }
    }

    /// Adds an entry with so many bytes of text, made only if it fits; tells whether it did. The first one always
    /// does, or no walk would get past it.
    pub(super) fn add<E>(&mut self, bytes: usize, make: impl FnOnce() -> Result<T, E>) -> Result<bool, E> {
        let bytes = self.bytes.saturating_add(bytes);
        self.is_cut = bytes > Self::MAX_BYTES && !self.entries.is_empty();
        if !self.is_cut {
            self.bytes = bytes;
            self.entries.push(make()?);
        }
        Ok(!self.is_cut)
    }

    /// The entries that fit.
    pub(super) fn into_entries(self) -> Vec<T> {
        self.entries
    }

    /// Makes a page of up to one entry more than asked for, which leads on to what didn't fit.
    pub(super) fn into_page(
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
pub(super) fn to_page<T>(
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
