//! Lists as callers see them: a page, and a sealed cursor that leads to the next.

use model::{PageLimit, Sort};

/// Which page of a list a caller asks for.
#[derive(Clone, Debug)]
pub struct PageQuery<F> {
    /// How many entries at most.
    pub limit: PageLimit,
    /// The order.
    pub sort: Sort<F>,
    /// The cursor that the page before came with.
    pub cursor: Option<String>,
}

/// One page of a list, and how to get the next.
#[derive(Clone, Debug)]
pub struct Listing<T> {
    /// The entries, in the order asked for.
    pub items: Vec<T>,
    /// How many were asked for at most.
    pub limit: PageLimit,
    /// Leads to the next page, for the same caller, list, filter and order only; `None` when nothing follows.
    pub next_cursor: Option<String>,
    /// How many entries all pages together hold.
    pub total: u64,
}
