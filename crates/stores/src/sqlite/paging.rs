//! Lists in pages, by key.

use model::{Direction, PageRequest, SortValue};
use rusqlite::types::Value;

use crate::paging::foreign_position;

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
