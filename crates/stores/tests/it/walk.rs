//! Walks through lists, page by page.

use model::{Direction, Page, PageLimit, PageRequest, Result, Sort};

pub(crate) const BOTH: [Direction; 2] = [Direction::Ascending, Direction::Descending];

pub(crate) fn first_page<F>(field: F, direction: Direction, limit: u16) -> PageRequest<F> {
    PageRequest {
        limit: PageLimit::new(limit).unwrap(),
        sort: Sort { field, direction },
        after: None,
    }
}

/// Takes all pages of a list in turn, checks that each is full but the last, and that all name one total,
/// which is given with the entries.
pub(crate) async fn walk<T, F: Clone>(
    mut request: PageRequest<F>,
    list: impl AsyncFn(&PageRequest<F>) -> Result<Page<T>>,
) -> (Vec<T>, u64) {
    let limit = usize::from(request.limit.get());
    let mut entries = Vec::new();
    let mut total = None;
    loop {
        let page = list(&request).await.unwrap();
        assert_eq!(*total.get_or_insert(page.total), page.total);
        assert!(
            page.next.is_none() || page.items.len() == limit,
            "a page in the middle is not full"
        );
        assert!(page.items.len() <= limit, "a page is too long");
        assert!(
            request.after.is_none() || !page.items.is_empty(),
            "a page that follows is empty"
        );
        entries.extend(page.items);
        match page.next {
            Some(position) => request.after = Some(position),
            None => return (entries, page.total),
        }
    }
}

/// Takes all pages of a list in turn, as they come: how many entries each has, and all entries.
pub(crate) async fn walk_any<T, F: Clone>(
    mut request: PageRequest<F>,
    list: impl AsyncFn(&PageRequest<F>) -> Result<Page<T>>,
) -> (Vec<usize>, Vec<T>) {
    let (mut lengths, mut entries) = (Vec::new(), Vec::new());
    loop {
        let page = list(&request).await.unwrap();
        lengths.push(page.items.len());
        entries.extend(page.items);
        match page.next {
            Some(position) => request.after = Some(position),
            None => return (lengths, entries),
        }
    }
}

/// Brings what is sorted upwards into a direction.
pub(crate) fn directed<T>(mut ascending: Vec<T>, direction: Direction) -> Vec<T> {
    if direction == Direction::Descending {
        ascending.reverse();
    }
    ascending
}
