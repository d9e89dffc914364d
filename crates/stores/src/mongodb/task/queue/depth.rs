//! How full the queue is.

use model::{Error, Priority, QueueDepth, Result};
use mongodb::bson::doc;
use serde::Deserialize;

use crate::mongodb::{
    MongoStore,
    task::{place::Place, row::priority_number},
};

/// So many jobs stand in one place, with one priority.
#[derive(Deserialize)]
struct PlaceCount {
    #[serde(rename = "_id")]
    place: PlaceRow,
    #[serde(rename = "c")]
    count: i64,
}

#[derive(Deserialize)]
struct PlaceRow {
    q: i32,
    p: i32,
}

impl MongoStore {
    /// Counts what stands where in the queue, in the index that holds just that.
    pub(super) async fn depth(&self) -> Result<QueueDepth> {
        let pipeline = vec![
            doc! { "$match": { "q": { "$gte": 0 } } },
            doc! { "$group": { "_id": { "q": "$q", "p": "$p" }, "c": { "$sum": 1_i64 } } },
        ];
        let mut depth = QueueDepth {
            oldest_ready: self.oldest_ready(None).await?,
            ..QueueDepth::default()
        };
        for row in self.aggregate_tasks::<PlaceCount>(pipeline).await? {
            let count = u64::try_from(row.count).map_err(Error::bug)?;
            let total = match Place::of_number(row.place.q)? {
                Place::Held => &mut depth.in_progress,
                Place::Scheduled => &mut depth.scheduled,
                Place::Blocked => &mut depth.blocked,
                Place::Asking => &mut depth.awaiting_input,
                Place::Ready => {
                    let mut ready = Priority::ALL.into_iter().zip(&mut depth.ready);
                    let Some((_, ready)) =
                        ready.find(|(priority, _)| priority_number(*priority) == row.place.p)
                    else {
                        continue;
                    };
                    ready
                }
            };
            *total = total.saturating_add(count);
        }
        Ok(depth)
    }
}
