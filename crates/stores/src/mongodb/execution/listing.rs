//! Lists of executions.

use ::mongodb::{
    Cursor,
    bson::{Bson, Document},
    error::Result as DriverResult,
};
use model::{Execution, ExecutionFilter, Page, PageRequest, Position, Result, SortValue};

use super::{COLLECTION, row::ExecutionRow};
use crate::{
    mongodb::{
        MongoStore,
        column::{id, moment, uuid},
        paging::{both, page_of, wanted},
    },
    paging::Filling,
};

impl MongoStore {
    /// Lists executions by id, which is the order of creation.
    pub(super) async fn list_calls(
        &self,
        filter: &ExecutionFilter,
        request: &PageRequest<()>,
    ) -> Result<Page<Execution>> {
        let (follows, order) = page_of(None, request)?;
        let collection = self.connection.collection::<ExecutionRow>(COLLECTION);
        let limit = self.connection.limit();
        let counting = collection.count_documents(condition(filter)).max_time(limit);
        let total = self.connection.run(counting).await?;
        let listing = collection
            .find(both(condition(filter), follows))
            .sort(order)
            .limit(wanted(request))
            .max_time(limit);
        let rows = self.connection.run(read_fitting(listing)).await?;
        let page = rows.into_page(request.limit, total, |last| Position {
            value: SortValue::Id,
            id: uuid(last.id),
        });
        let items = page.items.into_iter().map(ExecutionRow::into_execution);
        Ok(Page {
            items: items.collect::<Result<_>>()?,
            next: page.next,
            total,
        })
    }
}

/// Reads rows, as many as fit on a page.
pub(super) async fn read_fitting<W>(listing: W) -> DriverResult<Filling<ExecutionRow>>
where
    W: IntoFuture<Output = DriverResult<Cursor<ExecutionRow>>, IntoFuture: Send> + Send,
{
    let mut cursor = listing.into_future().await?;
    let mut rows = Filling::new();
    while cursor.advance().await? {
        let row = cursor.deserialize_current()?;
        if !rows.add(row.text_len(), || Ok::<_, ::mongodb::error::Error>(row))? {
            break;
        }
    }
    Ok(rows)
}

fn condition(filter: &ExecutionFilter) -> Document {
    let mut condition = Document::new();
    let mut require = |name: &str, value: Option<Bson>| {
        if let Some(value) = value {
            condition.insert(name, value);
        }
    };
    require("u", filter.user_id.map(|user| id(user.as_uuid()).into()));
    require("p", filter.plugin.as_ref().map(|name| name.as_str().into()));
    require("a", filter.action.as_ref().map(|name| name.as_str().into()));
    require("st", filter.status.map(|status| status.as_str().into()));
    require("src", filter.source.map(|source| source.as_str().into()));
    let mut times = Document::new();
    if let Some(since) = filter.since {
        times.insert("$gte", moment(since));
    }
    if let Some(until) = filter.until {
        times.insert("$lt", moment(until));
    }
    if !times.is_empty() {
        condition.insert("c", times);
    }
    condition
}
