//! Lists of accounts.

use ::mongodb::bson::{Document, doc};
use model::{Page, PageRequest, Position, Result, SortValue, User, UserFilter, UserSort};

use super::{AccountRow, COLLECTION, fields};
use crate::{
    mongodb::{
        MongoStore,
        paging::{both, page_of, wanted},
    },
    paging::to_page,
};

impl MongoStore {
    /// Lists accounts.
    pub(super) async fn list_accounts(
        &self,
        filter: &UserFilter,
        request: &PageRequest<UserSort>,
    ) -> Result<Page<User>> {
        let field = match request.sort.field {
            UserSort::CreatedAt => None,
            UserSort::Email => Some("email_folded"),
            UserSort::Username => Some("username_folded"),
        };
        let (follows, order) = page_of(field, request)?;
        let collection = self.connection.collection::<AccountRow>(COLLECTION);
        let limit = self.connection.limit();
        let counting = collection.count_documents(condition(filter)).max_time(limit);
        let total = self.connection.run(counting).await?;
        let listing = collection
            .find(both(condition(filter), follows))
            .projection(fields())
            .sort(order)
            .limit(wanted(request))
            .max_time(limit);
        let rows = self.connection.read_all(listing).await?;
        let users = rows.iter().map(AccountRow::user).collect::<Result<Vec<_>>>()?;
        Ok(to_page(users, request.limit, total, |last| Position {
            value: match request.sort.field {
                UserSort::CreatedAt => SortValue::Id,
                UserSort::Email => SortValue::Text(last.email.folded().as_str().to_owned()),
                UserSort::Username => SortValue::Text(last.username.folded().as_str().to_owned()),
            },
            id: last.id.as_uuid(),
        }))
    }
}

fn condition(filter: &UserFilter) -> Document {
    let mut condition = Document::new();
    if let Some(role) = filter.role {
        condition.insert("role", role.as_str());
    }
    if let Some(is_active) = filter.is_active {
        condition.insert("active", is_active);
    }
    if let Some(contains) = &filter.contains {
        // Literally: neither a pattern nor an expression.
        let text = doc! { "$literal": contains.as_str() };
        let place = |field: &str| doc! { "$gte": [{ "$indexOfBytes": [field, text.clone()] }, 0] };
        let expression = doc! { "$or": [place("$email_folded"), place("$username_folded")] };
        condition.insert("$expr", expression);
    }
    condition
}
