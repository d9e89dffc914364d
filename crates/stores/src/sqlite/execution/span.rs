//! The part of the history that a page lies in, as a range of ids.

use model::{Direction, ExecutionFilter, PageRequest, SortValue, Timestamp};
use rusqlite::ToSql;

use crate::{
    paging::foreign_position,
    sqlite::{failure::Outcome, ledger::Skew},
};

/// How a statement over executions `e` says that a row lies in a [`Span`]; takes places 1 to 6.
///
/// `created_at` is looked at only where the id leaves it open, so that an index over ids is enough elsewhere.
pub(super) const IN_SPAN: &str = "e.id > ?1 AND e.id < ?2 AND \
    ((e.id >= ?3 AND e.id < ?4) OR (e.created_at >= ?5 AND e.created_at < ?6))";

/// Sorts after all ids.
const BEYOND: [u8; 17] = [0xff; 17];

/// A range of ids, and within it the moments between which executions were accepted.
#[derive(Clone, Debug)]
pub(super) struct Span {
    low: Vec<u8>,
    high: Vec<u8>,
    sure_from: Vec<u8>,
    sure_until: Vec<u8>,
    since: i64,
    until: i64,
}

impl Span {
    /// All that was accepted in the time that the filter names.
    pub(super) fn of(filter: &ExecutionFilter, skew: Skew) -> Self {
        let millis = |moment: Timestamp, skew: i64| moment.as_millis().saturating_add(skew);
        let from = |skew: i64| {
            filter
                .since
                .map_or(Vec::new(), |since| first_of(millis(since, skew)))
        };
        let to = |skew: i64| {
            filter
                .until
                .map_or(BEYOND.to_vec(), |until| first_of(millis(until, skew)))
        };
        Self {
            low: from(skew.least),
            high: to(skew.most),
            sure_from: from(skew.most),
            sure_until: to(skew.least),
            since: filter.since.map_or(i64::MIN, Timestamp::as_millis),
            until: filter.until.map_or(i64::MAX, Timestamp::as_millis),
        }
    }

    /// What of it follows the page before.
    ///
    /// # Errors
    /// `Invalid` when the position belongs to a list in another order.
    pub(super) fn after(mut self, request: &PageRequest<()>) -> Outcome<Self> {
        if let Some(after) = &request.after {
            if after.value != SortValue::Id {
                return Err(foreign_position().into());
            }
            self.narrow(request.sort.direction, after.id.as_bytes());
        }
        Ok(self)
    }

    /// Leaves out what comes up to `id` in a list that runs in `direction`.
    fn narrow(&mut self, direction: Direction, id: &[u8]) {
        match direction {
            Direction::Ascending if self.low.as_slice() < id => self.low = id.to_vec(),
            Direction::Descending if self.high.as_slice() > id => self.high = id.to_vec(),
            Direction::Ascending | Direction::Descending => {}
        }
    }

    /// Leaves out what comes from `id` on in a list that runs in `direction`.
    pub(super) fn end_before(&mut self, direction: Direction, id: &[u8]) {
        let opposite = match direction {
            Direction::Ascending => Direction::Descending,
            Direction::Descending => Direction::Ascending,
        };
        self.narrow(opposite, id);
    }

    /// The values for [`IN_SPAN`].
    pub(super) fn values(&self) -> [&dyn ToSql; 6] {
        [
            &self.low,
            &self.high,
            &self.sure_from,
            &self.sure_until,
            &self.since,
            &self.until,
        ]
    }
}

/// What sorts right before the first id of a millisecond: its six leading bytes alone.
fn first_of(millis: i64) -> Vec<u8> {
    const LEADING: std::ops::Range<usize> = 2..8;
    const MAX_MILLIS: i64 = (1 << 48) - 1;
    if millis <= 0 {
        return Vec::new();
    }
    if millis > MAX_MILLIS {
        return BEYOND.to_vec();
    }
    millis.to_be_bytes().get(LEADING).unwrap_or_default().to_vec()
}
