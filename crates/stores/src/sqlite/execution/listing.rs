//! Lists of executions.

use model::{Direction, Execution, ExecutionFilter, ExecutionId, Page, PageRequest, Position, SortValue};
use rusqlite::{Connection, ToSql, params, params_from_iter};

use super::{
    row::{COLUMNS, find_fitting, read_fitting},
    span::{IN_SPAN, Span},
};
use crate::{
    paging::Filling,
    sqlite::{
        column::{Id, to_count},
        failure::Outcome,
        ledger::Skew,
        paging::Selection,
    },
};

/// How many series a list takes apart at most; beyond, it looks through the history instead.
const MAX_SERIES: usize = 1000;

/// Lists executions by id, which is the order of creation.
///
/// Totals without a time are sums of counters. A list of one caller's calls reads that caller's index; a list
/// of everyone's merges the series that the filter names, each of which is an index range of its own.
pub(super) fn list(
    connection: &Connection,
    filter: &ExecutionFilter,
    request: &PageRequest<()>,
) -> Outcome<Page<Execution>> {
    let span = Span::of(filter, Skew::read(connection)?);
    let query = Query {
        connection,
        filter,
        numbers: matching_series(connection, filter)?,
    };
    let total = query.count(&span)?;
    let limit = usize::from(request.limit.get());
    let wanted = limit.saturating_add(1);
    // On the first page it is known how many there are, and so when to stop looking.
    let known = usize::try_from(total).unwrap_or(usize::MAX);
    let wanted = if request.after.is_none() {
        wanted.min(known)
    } else {
        wanted
    };
    let span = span.after(request)?;
    let items = query.select(span, request.sort.direction, wanted)?;
    Ok(items.into_page(request.limit, total, |last| Position {
        value: SortValue::Id,
        id: last.id.as_uuid(),
    }))
}

/// The numbers of the series that a filter names; `None` when it names all of them.
///
/// Of one caller's calls, only the series that the caller has calls in: others may have made up names without end.
fn matching_series(connection: &Connection, filter: &ExecutionFilter) -> rusqlite::Result<Option<Vec<i64>>> {
    let names_all = filter.plugin.is_none()
        && filter.action.is_none()
        && filter.status.is_none()
        && filter.source.is_none();
    if names_all {
        return Ok(None);
    }
    let user = filter.user_id.map(|id| id.as_uuid().as_bytes().to_vec());
    let series = match user {
        Some(_) => "user_call_count u CROSS JOIN call_series s ON s.id = u.series",
        None => "call_series s",
    };
    let named = Selection::all()
        .with_some("u.user_id = ?", user)
        .with_some("s.plugin = ?", filter.plugin.as_ref().map(ToString::to_string))
        .with_some("s.action = ?", filter.action.as_ref().map(ToString::to_string))
        .with_some(
            "s.status = ?",
            filter.status.map(|status| status.as_str().to_owned()),
        )
        .with_some(
            "s.source = ?",
            filter.source.map(|source| source.as_str().to_owned()),
        );
    connection
        .prepare_cached(&format!("SELECT s.id FROM {series}{}", named.clause()))?
        .query_map(params_from_iter(named.values()), |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<i64>>>()
        .map(Some)
}

struct Query<'a> {
    connection: &'a Connection,
    filter: &'a ExecutionFilter,
    numbers: Option<Vec<i64>>,
}

impl Query<'_> {
    fn user(&self) -> Option<Id> {
        self.filter.user_id.map(|id| Id(id.as_uuid()))
    }

    /// The series as a JSON array, which one parameter holds; `None` for all of them.
    fn numbers_json(&self) -> Option<String> {
        let numbers = self.numbers.as_ref()?;
        serde_json::to_string(numbers).ok()
    }

    fn count(&self, span: &Span) -> rusqlite::Result<u64> {
        let has_time = self.filter.since.is_some() || self.filter.until.is_some();
        let count = match (has_time, &self.numbers) {
            (false, _) => self.sum_counters()?,
            (true, Some(numbers)) if self.user().is_none() && numbers.len() <= MAX_SERIES => {
                self.count_in_series(numbers, span)?
            }
            (true, _) => self.count_by_looking(span)?,
        };
        Ok(to_count(count))
    }

    fn sum_counters(&self) -> rusqlite::Result<i64> {
        let (sql, user) = match self.user() {
            Some(user) => (
                "SELECT coalesce(sum(calls), 0) FROM user_call_count WHERE user_id = ?1 \
                 AND (?2 IS NULL OR series IN (SELECT value FROM json_each(?2)))",
                Some(user),
            ),
            None => (
                "SELECT coalesce(sum(calls), 0) FROM call_series WHERE ?1 IS NULL \
                 AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))",
                None,
            ),
        };
        self.connection
            .prepare_cached(sql)?
            .query_row(params![user, self.numbers_json()], |row| row.get(0))
    }

    fn count_in_series(&self, numbers: &[i64], span: &Span) -> rusqlite::Result<i64> {
        let sql = format!(
            "SELECT count(*) FROM execution e INDEXED BY execution_by_series WHERE {IN_SPAN} AND e.series = ?7"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut sum: i64 = 0;
        for number in numbers {
            let values = with(span, &[number]);
            let count: i64 = statement.query_row(values.as_slice(), |row| row.get(0))?;
            sum = sum.saturating_add(count);
        }
        Ok(sum)
    }

    fn count_by_looking(&self, span: &Span) -> rusqlite::Result<i64> {
        let sql = format!(
            "SELECT count(*) FROM execution e {} WHERE {IN_SPAN} AND {}",
            self.index(),
            self.condition()
        );
        let (user, numbers) = (self.user(), self.numbers_json());
        self.connection
            .prepare_cached(&sql)?
            .query_row(with(span, &[&user, &numbers]).as_slice(), |row| row.get(0))
    }

    fn select(
        &self,
        span: Span,
        direction: Direction,
        wanted: usize,
    ) -> rusqlite::Result<Filling<Execution>> {
        if wanted == 0 {
            return Ok(Filling::new());
        }
        match &self.numbers {
            Some(numbers) if self.user().is_none() && numbers.len() <= MAX_SERIES => {
                self.merge_series(numbers, span, direction, wanted)
            }
            Some(_) | None => self.select_by_looking(&span, direction, wanted),
        }
    }

    fn select_by_looking(
        &self,
        span: &Span,
        direction: Direction,
        wanted: usize,
    ) -> rusqlite::Result<Filling<Execution>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM execution e {} CROSS JOIN call_series s ON s.id = e.series \
             WHERE {IN_SPAN} AND {} ORDER BY e.id {} LIMIT {wanted}",
            self.index(),
            self.condition(),
            order(direction)
        );
        let (user, numbers) = (self.user(), self.numbers_json());
        let mut statement = self.connection.prepare_cached(&sql)?;
        read_fitting(statement.query(with(span, &[&user, &numbers]).as_slice())?)
    }

    /// Takes the first ids of each series, and of these the first ones.
    fn merge_series(
        &self,
        numbers: &[i64],
        mut span: Span,
        direction: Direction,
        wanted: usize,
    ) -> rusqlite::Result<Filling<Execution>> {
        let sql = format!(
            "SELECT e.id FROM execution e INDEXED BY execution_by_series WHERE {IN_SPAN} AND e.series = ?7 \
             ORDER BY e.id {} LIMIT {wanted}",
            order(direction)
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut first = Vec::new();
        for number in numbers {
            for id in statement.query_map(with(&span, &[number]).as_slice(), |row| row.get::<_, Id>(0))? {
                first.push(id?.0);
            }
            match direction {
                Direction::Ascending => first.sort_unstable(),
                Direction::Descending => first.sort_unstable_by(|a, b| b.cmp(a)),
            }
            first.truncate(wanted);
            // Of the series that follow, only what comes before the last one found can be on this page.
            if let Some(last) = first.last().filter(|_| first.len() == wanted) {
                span.end_before(direction, last.as_bytes());
            }
        }
        let mut executions = Filling::new();
        for id in first {
            if !find_fitting(self.connection, ExecutionId::from_uuid(id), &mut executions)? {
                break;
            }
        }
        Ok(executions)
    }

    /// What `?7` (a caller) and `?8` (numbers of series) ask for.
    fn condition(&self) -> &'static str {
        match (self.user().is_some(), self.numbers.is_some()) {
            (true, true) => "e.user_id = ?7 AND e.series IN (SELECT value FROM json_each(?8))",
            (true, false) => "e.user_id = ?7 AND ?8 IS NULL",
            (false, true) => "?7 IS NULL AND e.series IN (SELECT value FROM json_each(?8))",
            (false, false) => "?7 IS NULL AND ?8 IS NULL",
        }
    }

    fn index(&self) -> &'static str {
        match self.user() {
            Some(_) => "INDEXED BY execution_by_user",
            None => "INDEXED BY execution_by_id",
        }
    }
}

fn order(direction: Direction) -> &'static str {
    match direction {
        Direction::Ascending => "ASC",
        Direction::Descending => "DESC",
    }
}

fn with<'a>(span: &'a Span, further: &[&'a dyn ToSql]) -> Vec<&'a dyn ToSql> {
    span.values().into_iter().chain(further.iter().copied()).collect()
}
