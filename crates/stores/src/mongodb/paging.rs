//! Lists in pages, by key.

use ::mongodb::bson::{Bson, Document, doc};
use model::{Direction, PageRequest, Result, SortValue};

use super::column::id;
use crate::paging::foreign_position;

/// What of a list follows `request.after`, as a filter, and its order. `field` is `None` when the list is sorted by id.
///
/// # Errors
/// `Invalid` when the position belongs to a list in another order.
pub(super) fn page_of<F>(field: Option<&str>, request: &PageRequest<F>) -> Result<(Document, Document)> {
    let (comparison, direction) = match request.sort.direction {
        Direction::Ascending => ("$gt", 1),
        Direction::Descending => ("$lt", -1),
    };
    let order = match field {
        None => doc! { "_id": direction },
        Some(field) => doc! { field: direction, "_id": direction },
    };
    let Some(after) = &request.after else {
        return Ok((Document::new(), order));
    };
    let last = Bson::from(id(after.id));
    let follows = match (field, &after.value) {
        (None, SortValue::Id) => doc! { "_id": { comparison: last } },
        (Some(field), SortValue::Text(text)) => doc! { "$or": [
            { field: { comparison: text } },
            { field: { "$eq": text }, "_id": { comparison: last } },
        ] },
        (None | Some(_), SortValue::Id | SortValue::Text(_) | SortValue::Integer(_)) => {
            return Err(foreign_position());
        }
    };
    Ok((follows, order))
}

/// Joins two filters, either of which may be empty.
pub(super) fn both(one: Document, other: Document) -> Document {
    match (one.is_empty(), other.is_empty()) {
        (true, _) => other,
        (_, true) => one,
        (false, false) => doc! { "$and": [one, other] },
    }
}

/// How many entries are asked of the database: one more than the page holds, to tell whether another follows.
pub(super) fn wanted<F>(request: &PageRequest<F>) -> i64 {
    i64::from(request.limit.get()).saturating_add(1)
}
