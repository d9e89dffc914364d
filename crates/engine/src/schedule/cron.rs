//! Cron expressions: when their ticks are, in a time zone.
//!
//! An expression has five fields (minute, hour, day of month, month, day of week), or six with seconds first, or is
//! a nickname such as `@daily`. Names of months and weekdays, ranges, lists, steps (`*/15`, `8-18/2`), `L`, `15W`,
//! `LW`, `5L` and `2#1` are understood. When both fields of days are restricted, a day counts that fits one of
//! them; with `+` before the day of week, one that fits both.
//!
//! Where the clocks change, the hour field decides. An expression with `*` in it (`*`, `*/2`) goes by time that
//! passes: it has no ticks in the hour that is left out, and ticks in both passes of the hour that comes twice.
//! Every other goes by the clock on the wall: all its ticks in the hour that is left out happen as one, at the
//! moment when that hour ends; and those in the hour that comes twice happen in the first pass alone.

mod grammar;

use std::str::FromStr as _;

use chrono::{DateTime, Datelike as _, NaiveDateTime, TimeZone as _, Utc, offset::LocalResult};
use chrono_tz::{GapInfo, Tz};
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use model::{Error, Result, Timestamp};

/// How many years ahead a tick is looked for; an expression without one is one that never comes true. The rarest
/// that do, such as a 29 February that is a Monday, come once in 40 years.
const YEARS_AHEAD: i32 = 100;

/// The last year that the parser knows.
const LAST_YEAR: i32 = 5_000;

/// The longest name of a time zone that is looked up.
const LONGEST_ZONE: usize = 64;

/// The ticks of an expression in a time zone.
pub(super) struct Ticks {
    cron: Cron,
    zone: Tz,
    /// It goes by time that passes, not by the clock on the wall.
    is_interval: bool,
}

impl Ticks {
    /// Reads an expression of at most 256 characters and a name of the IANA database, to look for ticks in the
    /// hundred years from `now`.
    ///
    /// # Errors
    /// `Invalid` on `cron` or `timezone`.
    pub(super) fn read(cron: &str, timezone: &str, now: Timestamp) -> Result<Self> {
        let fields = grammar::fields(cron).map_err(|says| Error::invalid("cron", says))?;
        let is_interval = fields.hour().contains('*');
        // Bounded, so that the search for what never comes true is too.
        let first = to_utc(now).year().min(LAST_YEAR);
        let last = first.saturating_add(YEARS_AHEAD).min(LAST_YEAR);
        let parser = CronParser::builder()
            .seconds(Seconds::Required)
            .year(Year::Required)
            .build();
        let cron = parser
            .parse(&format!("{fields} 1970-{last}"))
            .map_err(|error| Error::invalid("cron", "holds a value out of range").source(error))?;
        Ok(Self {
            cron,
            zone: read_zone(timezone)?,
            is_interval,
        })
    }

    /// The first tick after a moment; `None` when there is none in the hundred years from the `now` of
    /// [`Self::read`].
    pub(super) fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        let moment = to_utc(moment);
        let tick = if self.is_interval {
            let here = moment.with_timezone(&self.zone);
            self.cron.find_next_occurrence(&here, false).ok()?.to_utc()
        } else {
            self.after_by_the_wall(moment)?
        };
        Some(Timestamp::from_millis(tick.timestamp_millis()))
    }

    /// Walks the clock on the wall from where it stands at `moment`.
    ///
    /// The moments of growing times on the wall never go back, so the first that is later than `moment` is the
    /// next. In the second pass of an hour that comes twice, what is left of it is passed over.
    fn after_by_the_wall(&self, moment: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut wall = moment.with_timezone(&self.zone).naive_local();
        loop {
            wall = self.cron.find_next_occurrence(&wall, false).ok()?;
            let tick = self.moment_of(wall)?;
            if tick > moment {
                return Some(tick);
            }
        }
    }

    /// When the clock on the wall shows a time first; for one that is left out, when the clock has jumped over it.
    fn moment_of(&self, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
        let moment = match self.zone.from_local_datetime(&wall) {
            LocalResult::Single(only) => only,
            LocalResult::Ambiguous(first, second) => first.min(second),
            LocalResult::None => GapInfo::new(&wall, &self.zone)?.end?,
        };
        Some(moment.to_utc())
    }
}

fn read_zone(name: &str) -> Result<Tz> {
    let unknown = || {
        Error::invalid(
            "timezone",
            "must be a name of the IANA database, such as Europe/Berlin or UTC",
        )
    };
    if name.len() > LONGEST_ZONE {
        return Err(unknown());
    }
    Tz::from_str(name).map_err(|error| unknown().source(error))
}

/// Every [`Timestamp`] lies within what a date can hold.
fn to_utc(moment: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(moment.as_millis()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
