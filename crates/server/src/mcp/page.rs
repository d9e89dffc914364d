//! Pages of lists that stay right while the lists change.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use protocol::{Listed, Page, RpcError};

/// The most entries of a page.
const PAGE: usize = 100;

/// What begins a cursor; another when its form changes.
const VERSION: &str = "1:";

/// Gives one page of entries that are in the order of their keys, and the cursor of the next.
///
/// A cursor names the last entry that was given, not a place: what is added or removed meanwhile shifts nothing. Only the
/// entries of the page are made, by `make`.
pub(super) fn page<E, T>(
    entries: &[E],
    page: &Page,
    key: impl Fn(&E) -> &str,
    make: impl Fn(&E) -> T,
) -> Result<Listed<T>, RpcError> {
    let start = match &page.cursor {
        None => 0,
        Some(cursor) => {
            let last = read(cursor)
                .ok_or_else(|| RpcError::invalid_params("this cursor is not one of this list"))?;
            entries.partition_point(|entry| key(entry) <= last.as_str())
        }
    };
    let rest = entries.get(start..).unwrap_or_default();
    let shown = rest.get(..PAGE).unwrap_or(rest);
    let has_more = rest.len() > shown.len();
    let last = shown.last().filter(|_| has_more);
    Ok(Listed {
        entries: shown.iter().map(make).collect(),
        next_cursor: last.map(|entry| write(key(entry))),
    })
}

fn write(last: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{VERSION}{last}"))
}

fn read(cursor: &str) -> Option<String> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    text.strip_prefix(VERSION).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{number:04}")).collect()
    }

    fn take(entries: &[String], cursor: Option<String>) -> Listed<String> {
        page(entries, &Page { cursor }, |entry| entry.as_str(), Clone::clone).unwrap()
    }

    #[test]
    fn all_pages_together_are_the_list() {
        let all = names(250);
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let listed = take(&all, cursor);
            assert!(listed.entries.len() <= PAGE);
            seen.extend(listed.entries);
            cursor = listed.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, all);
    }

    #[test]
    fn a_list_that_fills_a_page_has_no_next_one() {
        assert_eq!(take(&names(100), None).next_cursor, None);
        assert_eq!(take(&[], None).entries, Vec::<String>::new());
    }

    #[test]
    fn nothing_is_skipped_or_repeated_when_the_list_changes_meanwhile() {
        let mut all = names(150);
        let first = take(&all, None);
        all.retain(|name| name != "0099" && name != "0003");
        all.insert(0, "0000-new".to_owned());
        all.sort_unstable();
        let second = take(&all, first.next_cursor);
        assert_eq!(second.entries.first().map(String::as_str), Some("0100"));
        assert_eq!(second.entries.len(), 50);
    }

    #[test]
    fn c09_a_cursor_that_was_made_up_is_refused() {
        for cursor in ["", "x", "MTIz", "1:0004"] {
            let page_of = Page {
                cursor: Some(cursor.to_owned()),
            };
            let refused = page(&names(3), &page_of, |entry| entry.as_str(), Clone::clone);
            assert!(refused.is_err(), "{cursor}");
        }
    }
}
