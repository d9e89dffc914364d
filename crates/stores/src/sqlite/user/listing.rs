//! Lists of accounts.

use model::{Page, PageRequest, Position, SortValue, User, UserFilter, UserSort};
use rusqlite::{Connection, params_from_iter};

use super::{COLUMNS, read_user};
use crate::{
    paging::to_page,
    sqlite::{column::to_count, failure::Outcome, paging::Selection},
};

/// Lists accounts.
pub(super) fn list(
    connection: &Connection,
    filter: &UserFilter,
    request: &PageRequest<UserSort>,
) -> Outcome<Page<User>> {
    let selection = select(filter);
    let total = connection
        .prepare_cached(&format!("SELECT count(*) FROM user{}", selection.clause()))?
        .query_row(params_from_iter(selection.values()), |row| row.get(0))?;
    let column = match request.sort.field {
        UserSort::CreatedAt => None,
        UserSort::Email => Some("email_folded"),
        UserSort::Username => Some("username_folded"),
    };
    let (clauses, selection) = selection.page(column, request)?;
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM user{clauses}"))?;
    let users = statement
        .query_map(params_from_iter(selection.values()), |row| read_user(row, 0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(to_page(users, request.limit, to_count(total), |last| Position {
        value: match request.sort.field {
            UserSort::CreatedAt => SortValue::Id,
            UserSort::Email => SortValue::Text(last.email.folded().as_str().to_owned()),
            UserSort::Username => SortValue::Text(last.username.folded().as_str().to_owned()),
        },
        id: last.id.as_uuid(),
    }))
}

fn select(filter: &UserFilter) -> Selection {
    let contains = filter.contains.as_ref().map(|text| text.as_str().to_owned());
    Selection::all()
        .with_some("role = ?", filter.role.map(|role| role.as_str().to_owned()))
        .with_some("is_active = ?", filter.is_active)
        .with_some(
            "(instr(email_folded, ?) > 0 OR instr(username_folded, ?) > 0)",
            contains,
        )
}
