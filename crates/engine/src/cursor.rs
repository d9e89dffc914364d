//! Lists as callers see them: a page, and a sealed cursor that leads to the next.

use std::{fmt::Debug, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{Entropy, Error, Page, PageLimit, PageRequest, Position, Result, Sort, SortValue, Subject};
use uuid::Uuid;

use crate::seal::{Sealer, SealingRoot, sha256};

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

/// What a cursor is bound to, beside the order: it is refused in any other list.
pub(crate) struct ListScope<'a> {
    /// The list's name.
    pub(crate) name: &'static str,
    /// Who reads it.
    pub(crate) subject: Subject,
    /// What it is filtered by; counts by its `Debug` form.
    pub(crate) filter: &'a (dyn Debug + Sync),
}

/// Makes cursors and reads them back.
///
/// A cursor is a sealed position. What it is bound to is authenticated with it and not part of it, so it is
/// the same refusal whether it was made up, changed, made for another list, or made by an older version.
pub(crate) struct Cursors {
    sealer: Sealer,
    entropy: Arc<dyn Entropy>,
}

impl Cursors {
    /// The first byte of what is authenticated; another number when the form of positions changes.
    const VERSION: u8 = 1;
    /// The most characters of a cursor. The longest text that a list is sorted by is a folded e-mail: 18 bytes
    /// for each of its 254 characters at most, which make 6,200 characters with what is sealed beside it.
    const MAX_CHARS: usize = 6400;

    pub(crate) fn new(root: &SealingRoot, entropy: Arc<dyn Entropy>) -> Result<Self> {
        Ok(Self {
            sealer: root.derive("cursor", b"")?,
            entropy,
        })
    }

    /// Reads the position that `query` asks to go on from.
    ///
    /// # Errors
    /// `Invalid` on `cursor` for one that wasn't made for this list, subject, filter and order.
    pub(crate) fn request<F: Copy + Debug>(
        &self,
        list: &ListScope<'_>,
        query: &PageQuery<F>,
    ) -> Result<PageRequest<F>> {
        let after = match &query.cursor {
            None => None,
            Some(cursor) => Some(self.open(cursor, &binding(list, &query.sort)).ok_or_else(|| {
                let message = "must be the nextCursor of the same list, with the same filters and sort";
                Error::invalid("cursor", message)
            })?),
        };
        Ok(PageRequest {
            limit: query.limit,
            sort: query.sort,
            after,
        })
    }

    /// Turns a page into what its caller sees.
    ///
    /// # Errors
    /// `Bug` when the cursor can't be sealed.
    pub(crate) fn listing<T, F: Copy + Debug>(
        &self,
        list: &ListScope<'_>,
        query: &PageQuery<F>,
        page: Page<T>,
    ) -> Result<Listing<T>> {
        let next_cursor = match &page.next {
            None => None,
            Some(position) => Some(self.seal(position, &binding(list, &query.sort))?),
        };
        Ok(Listing {
            items: page.items,
            limit: query.limit,
            next_cursor,
            total: page.total,
        })
    }

    fn seal(&self, position: &Position, binding: &[u8; 32]) -> Result<String> {
        let sealed = self
            .sealer
            .seal(self.entropy.as_ref(), binding, &to_bytes(position))?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    fn open(&self, cursor: &str, binding: &[u8; 32]) -> Option<Position> {
        if cursor.len() > Self::MAX_CHARS {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        from_bytes(&self.sealer.open(binding, sealed)?)
    }
}

/// What a cursor is authenticated together with.
fn binding<F: Debug>(list: &ListScope<'_>, sort: &Sort<F>) -> [u8; 32] {
    let texts = [
        format!("{:?}", list.subject),
        format!("{sort:?}"),
        format!("{:?}", list.filter),
    ];
    let hashes = texts.map(|text| sha256(&[text.as_bytes()]));
    let [subject, sort, filter] = &hashes;
    sha256(&[&[Cursors::VERSION], subject, sort, filter, list.name.as_bytes()])
}

const ID: u8 = 0;
const TEXT: u8 = 1;
const INTEGER: u8 = 2;

fn to_bytes(position: &Position) -> Vec<u8> {
    let mut bytes = position.id.as_bytes().to_vec();
    match &position.value {
        SortValue::Id => bytes.push(ID),
        SortValue::Text(text) => {
            bytes.push(TEXT);
            bytes.extend_from_slice(text.as_bytes());
        }
        SortValue::Integer(number) => {
            bytes.push(INTEGER);
            bytes.extend_from_slice(&number.to_be_bytes());
        }
    }
    bytes
}

fn from_bytes(bytes: &[u8]) -> Option<Position> {
    let (id, rest) = bytes.split_first_chunk::<16>()?;
    let (kind, rest) = rest.split_first()?;
    let value = match *kind {
        ID => rest.is_empty().then_some(SortValue::Id)?,
        TEXT => SortValue::Text(str::from_utf8(rest).ok()?.to_owned()),
        INTEGER => SortValue::Integer(i64::from_be_bytes(rest.try_into().ok()?)),
        _ => return None,
    };
    Some(Position {
        value,
        id: Uuid::from_bytes(*id),
    })
}

#[cfg(test)]
mod tests {
    use model::{Direction, Secret, UserId};
    use proptest::prelude::*;

    use super::*;

    struct Zeros;

    impl Entropy for Zeros {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    fn cursors(secret: &str) -> Cursors {
        Cursors::new(&SealingRoot::new(&Secret::new(secret)), Arc::new(Zeros)).unwrap()
    }

    fn list(name: &'static str, subject: u128, filter: &'static &'static str) -> ListScope<'static> {
        ListScope {
            name,
            subject: Subject::User(UserId::from_uuid(Uuid::from_u128(subject))),
            filter,
        }
    }

    fn query(direction: Direction, cursor: Option<String>) -> PageQuery<()> {
        PageQuery {
            limit: PageLimit::default(),
            sort: Sort { field: (), direction },
            cursor,
        }
    }

    fn position(value: SortValue) -> Position {
        Position {
            value,
            id: Uuid::from_u128(7),
        }
    }

    fn cursor_of(cursors: &Cursors, list: &ListScope<'_>, position: Position) -> String {
        let page = Page::<()> {
            items: Vec::new(),
            next: Some(position),
            total: 9,
        };
        let listing = cursors
            .listing(list, &query(Direction::Ascending, None), page)
            .unwrap();
        listing.next_cursor.unwrap()
    }

    proptest! {
        #[test]
        fn a_cursor_leads_back_to_its_position(text in ".{0,300}", number: i64, kind in 0..3) {
            let value = match kind {
                0 => SortValue::Id,
                1 => SortValue::Text(text),
                _ => SortValue::Integer(number),
            };
            let (cursors, list) = (cursors("secret"), list("users", 1, &""));
            let cursor = cursor_of(&cursors, &list, position(value.clone()));
            let request = cursors.request(&list, &query(Direction::Ascending, Some(cursor))).unwrap();
            prop_assert_eq!(request.after, Some(position(value)));
        }

        #[test]
        fn c09_any_other_text_is_refused(text in "[A-Za-z0-9_=-]{0,200}") {
            let cursors = cursors("secret");
            let refused = cursors.request(&list("users", 1, &""), &query(Direction::Ascending, Some(text)));
            let refusal = refused.unwrap_err();
            prop_assert_eq!(refusal.details()[0].path.as_str(), "cursor");
        }
    }

    #[test]
    fn c09_a_cursor_of_another_list_user_filter_order_or_server_is_refused() {
        let own = list("users", 1, &"active");
        let cursor = cursor_of(&cursors("secret"), &own, position(SortValue::Id));
        let is_accepted = |secret, list: &ListScope<'_>, direction| {
            let query = query(direction, Some(cursor.clone()));
            cursors(secret).request(list, &query).is_ok()
        };
        let ascending = Direction::Ascending;
        assert!(is_accepted("secret", &own, ascending));
        assert!(!is_accepted("other", &own, ascending));
        assert!(!is_accepted("secret", &own, Direction::Descending));
        assert!(!is_accepted("secret", &list("keys", 1, &"active"), ascending));
        assert!(!is_accepted("secret", &list("users", 2, &"active"), ascending));
        assert!(!is_accepted("secret", &list("users", 1, &""), ascending));
    }

    #[test]
    fn c09_a_cursor_with_one_character_changed_is_refused() {
        let (cursors, list) = (cursors("secret"), list("users", 1, &""));
        let cursor = cursor_of(&cursors, &list, position(SortValue::Text("ada".into())));
        for position in 0..cursor.len() {
            let mut changed = cursor.clone().into_bytes();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            let query = query(Direction::Ascending, String::from_utf8(changed).ok());
            assert!(cursors.request(&list, &query).is_err(), "{position}");
        }
    }

    #[test]
    fn a_cursor_at_the_longest_sort_text_is_still_accepted() {
        let (cursors, list) = (cursors("secret"), list("users", 1, &""));
        // One character that folds to six, of three bytes each; no letter of a name folds to more.
        let of = |count| "\u{3316}".repeat(count);
        let longest = format!("{}@{}.{}.{}", of(64), of(63), of(63), of(61));
        let longest = model::Email::parse(&longest).unwrap().folded();
        let value = SortValue::Text(longest.as_str().to_owned());
        let cursor = cursor_of(&cursors, &list, position(value));
        let query = query(Direction::Ascending, Some(cursor));
        assert!(cursors.request(&list, &query).is_ok());
    }
}
