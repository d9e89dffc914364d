//! Security events: they stand in the document of their account.

use ::mongodb::bson::{DateTime, Document, Uuid, doc};
use model::{
    Page, PageRequest, Position, Result, SecurityEvent, SecurityEventId, SecurityEventKind, SortValue, UserId,
};
use serde::{Deserialize, Serialize};

use super::{
    MongoStore,
    collection::ACCOUNTS as COLLECTION,
    column::{id, moment, named, timestamp, uuid, value},
    failure::Fault,
};
use crate::paging::{foreign_position, to_page};

/// How many security events of one account are kept.
const MAX_EVENTS: i32 = 1000;

/// A security event as it stands in the document of its account, or of what counts wrong passwords.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct EventRow {
    #[serde(rename = "i")]
    id: Uuid,
    #[serde(rename = "k")]
    kind: String,
    #[serde(rename = "ip")]
    ip_address: Option<String>,
    #[serde(rename = "c")]
    created_at: DateTime,
}

impl EventRow {
    /// Takes an event apart; whose it is stands elsewhere.
    pub(super) fn of(event: &SecurityEvent) -> Self {
        Self {
            id: id(event.id.as_uuid()),
            kind: event.kind.as_str().to_owned(),
            ip_address: event.ip_address.clone(),
            created_at: moment(event.created_at),
        }
    }

    /// The event's name, by which it is told from others.
    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    /// What adds the event to the others of its account; the oldest beyond the limit goes.
    ///
    /// # Errors
    /// `Bug` when it can't be a value.
    pub(super) fn push(&self) -> Result<Document> {
        Ok(
            doc! { "events": { "$each": [value(self)?], "$sort": { "i": 1 }, "$slice": MAX_EVENTS.saturating_neg() } },
        )
    }

    /// Reads an event.
    ///
    /// # Errors
    /// `Bug` when what is stored can't be one.
    pub(super) fn into_event(self, user_id: UserId) -> Result<SecurityEvent> {
        Ok(SecurityEvent {
            id: SecurityEventId::from_uuid(uuid(self.id)),
            user_id,
            kind: named(&SecurityEventKind::ALL, SecurityEventKind::as_str, &self.kind)?,
            ip_address: self.ip_address,
            created_at: timestamp(self.created_at),
        })
    }
}

#[derive(Deserialize)]
struct EventsRow {
    #[serde(default)]
    events: Vec<EventRow>,
}

impl MongoStore {
    /// Adds an event to those of its account, unless it is there or the account is gone.
    pub(super) async fn keep_event(&self, user: Uuid, event: &EventRow) -> Result<(), Fault> {
        let collection = self.connection.collection::<Document>(COLLECTION);
        let adding = collection.update_one(
            doc! { "_id": user, "events.i": { "$ne": event.id } },
            doc! { "$push": event.push()? },
        );
        self.connection.run(adding).await?;
        Ok(())
    }

    /// Lists the security events of an account by id, which is the order of time.
    pub(super) async fn list_events(
        &self,
        user_id: UserId,
        request: &PageRequest<()>,
    ) -> Result<Page<SecurityEvent>> {
        let collection = self.connection.collection::<EventsRow>(COLLECTION);
        let reading = collection
            .find_one(doc! { "_id": id(user_id.as_uuid()) })
            .projection(doc! { "events": 1 });
        let found = self.connection.run(reading).await?;
        let rows = found.map(|row| row.events).unwrap_or_default();
        let events = rows.into_iter().map(|row| row.into_event(user_id));
        page_in_memory(
            events.collect::<Result<_>>()?,
            request,
            (|_| None, |event| event.id.as_uuid()),
        )
    }
}

/// Makes a page of entries that stand in one document, sorted by a text (by id when there is none) and by id.
///
/// # Errors
/// `Invalid` when the position belongs to a list in another order.
pub(super) fn page_in_memory<T, F>(
    mut items: Vec<T>,
    request: &PageRequest<F>,
    (text_of, id_of): (impl Fn(&T) -> Option<String>, impl Fn(&T) -> uuid::Uuid),
) -> Result<Page<T>> {
    let key = |item: &T| (text_of(item), id_of(item));
    let total = u64::try_from(items.len()).unwrap_or(u64::MAX);
    items.sort_by_cached_key(&key);
    if request.sort.direction == model::Direction::Descending {
        items.reverse();
    }
    if let Some(after) = &request.after {
        let text = match &after.value {
            SortValue::Id => None,
            SortValue::Text(text) => Some(text.clone()),
            SortValue::Integer(_) => return Err(foreign_position()),
        };
        if items
            .first()
            .is_some_and(|first| text_of(first).is_some() != text.is_some())
        {
            return Err(foreign_position());
        }
        let last = (text, after.id);
        items.retain(|item| match request.sort.direction {
            model::Direction::Ascending => key(item) > last,
            model::Direction::Descending => key(item) < last,
        });
    }
    Ok(to_page(items, request.limit, total, |last| Position {
        value: text_of(last).map_or(SortValue::Id, SortValue::Text),
        id: id_of(last),
    }))
}
