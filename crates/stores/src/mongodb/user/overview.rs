//! Numbers of accounts.

use std::{collections::HashMap, time::Duration};

use ::mongodb::bson::{Document, doc};
use model::{DailyUsers, Result, Role, Timestamp, UserOverview};
use serde::Deserialize;

use super::COLLECTION;
use crate::mongodb::{
    MongoStore,
    column::{day, moment, to_count},
    failure::Fault,
};

const DAY: Duration = Duration::from_secs(86_400);
const DAY_MILLIS: i64 = 86_400_000;

#[derive(Deserialize)]
struct SortRow {
    #[serde(rename = "_id")]
    sort: RoleAndActivity,
    accounts: i64,
}

#[derive(Deserialize)]
struct RoleAndActivity {
    role: String,
    active: bool,
}

#[derive(Deserialize)]
struct DayRow {
    #[serde(rename = "_id")]
    day: i64,
    accounts: i64,
}

impl MongoStore {
    /// Counts accounts for the `days` days that end with the day of `now`; days before the epoch are left out.
    pub(super) async fn count_accounts(&self, now: Timestamp, days: u16) -> Result<UserOverview> {
        let mut overview = UserOverview::default();
        for row in self.count_sorts().await? {
            let accounts = to_count(row.accounts);
            overview.total = overview.total.saturating_add(accounts);
            if row.sort.active {
                overview.active = overview.active.saturating_add(accounts);
            }
            let by_role = Role::ALL.into_iter().zip(&mut overview.by_role);
            for (_, sum) in by_role.filter(|(role, _)| role.as_str() == row.sort.role) {
                *sum = sum.saturating_add(accounts);
            }
        }
        overview.days = self.count_days(now.start_of_day(), days).await?;
        Ok(overview)
    }

    async fn count_sorts(&self) -> Result<Vec<SortRow>, Fault> {
        let collection = self.connection.collection::<Document>(COLLECTION);
        let counting = collection
            .aggregate([
                doc! { "$sort": { "role": 1, "active": 1 } },
                doc! { "$group": {
                    "_id": { "role": "$role", "active": "$active" },
                    "accounts": { "$sum": 1_i64 },
                } },
            ])
            .max_time(self.connection.limit())
            .with_type::<SortRow>();
        self.connection.read_all(counting).await
    }

    async fn count_days(&self, today: Timestamp, days: u16) -> Result<Vec<DailyUsers>> {
        let mut span: Vec<Timestamp> = (0..u32::from(days)).map(|ago| today.minus(DAY * ago)).collect();
        span.dedup();
        span.reverse();
        let Some(&first) = span.first() else {
            return Ok(Vec::new());
        };
        let end = today.plus(DAY);
        let day_of = doc! { "$floor": { "$divide": [{ "$toLong": "$created_at" }, DAY_MILLIS] } };
        let new = self.by_day([
            doc! { "$match": { "created_at": { "$gte": moment(first), "$lt": moment(end) } } },
            doc! { "$group": { "_id": { "$toLong": day_of }, "accounts": { "$sum": 1_i64 } } },
        ]);
        let new = new.await?;
        let within = doc! { "$gte": day(first), "$lt": day(end) };
        let active = self.by_day([
            doc! { "$match": { "days": { "$elemMatch": within.clone() } } },
            doc! { "$project": { "days": 1 } },
            doc! { "$unwind": "$days" },
            doc! { "$match": { "days": within } },
            doc! { "$group": { "_id": "$days", "accounts": { "$sum": 1_i64 } } },
        ]);
        let active = active.await?;
        let of = |counts: &HashMap<i64, u64>, moment| counts.get(&day(moment)).copied().unwrap_or(0);
        Ok(span
            .into_iter()
            .map(|day| DailyUsers {
                day,
                new: of(&new, day),
                active: of(&active, day),
            })
            .collect())
    }

    async fn by_day<const N: usize>(&self, steps: [Document; N]) -> Result<HashMap<i64, u64>, Fault> {
        let collection = self.connection.collection::<Document>(COLLECTION);
        let counting = collection
            .aggregate(steps)
            .max_time(self.connection.limit())
            .with_type::<DayRow>();
        let rows = self.connection.read_all(counting).await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.day, to_count(row.accounts)))
            .collect())
    }
}
