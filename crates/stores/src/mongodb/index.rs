//! How indexes are written down.

use ::mongodb::{IndexModel, bson::Document, options::IndexOptions};

/// The indexes of one collection.
pub(super) type Indexes = (&'static str, Vec<IndexModel>);

/// An index by some fields.
pub(super) fn index(keys: Document) -> IndexModel {
    IndexModel::builder().keys(keys).build()
}

/// An index of the documents that fit a condition.
pub(super) fn partial_index(keys: Document, condition: Document) -> IndexModel {
    let options = IndexOptions::builder()
        .partial_filter_expression(condition)
        .build();
    IndexModel::builder().keys(keys).options(options).build()
}

/// An index whose values are unique among the documents that fit a condition (among all, for `None`).
pub(super) fn unique_index(keys: Document, condition: Option<Document>) -> IndexModel {
    let options = IndexOptions::builder()
        .unique(true)
        .partial_filter_expression(condition)
        .build();
    IndexModel::builder().keys(keys).options(options).build()
}
