use std::collections::BTreeSet;

use chrono::{Datelike as _, NaiveDateTime, Offset as _, TimeDelta, TimeZone as _, Timelike as _, Utc};
use chrono_tz::Tz;
use model::Timestamp;
use proptest::{collection::btree_set, prelude::*, sample::select};
use rstest::rstest;

use super::Ticks;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The first ticks after a moment, as texts without the milliseconds.
fn ticks(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let ticks = Ticks::read(cron, zone, at(after)).unwrap();
    std::iter::successors(ticks.after(at(after)), |tick| ticks.after(*tick))
        .take(count)
        .map(|tick| tick.to_string().replace(".000Z", "Z"))
        .collect()
}

fn refusal(cron: &str, zone: &str) -> String {
    let error = Ticks::read(cron, zone, at("2026-06-01T12:00:00Z")).err().unwrap();
    error.message().to_owned()
}

#[rstest]
#[case("30 2 * * *", "2026-06-02T02:30:00Z")]
#[case("15 30 2 * * *", "2026-06-02T02:30:15Z")]
#[case("*/20 * * * * *", "2026-06-01T12:00:20Z")]
#[case("* * * * * *", "2026-06-01T12:00:01Z")]
#[case("* * * * *", "2026-06-01T12:01:00Z")]
#[case("  0   8-18/5 * * mon-FRI\t", "2026-06-01T13:00:00Z")]
#[case("0 0 1 jan,Jul *", "2026-07-01T00:00:00Z")]
#[case("0 12 L * *", "2026-06-30T12:00:00Z")]
#[case("0 12 13W * ?", "2026-06-12T12:00:00Z")]
#[case("0 12 ? * 5L", "2026-06-26T12:00:00Z")]
#[case("0 12 * * TUE#2", "2026-06-09T12:00:00Z")]
#[case("0 0 13 * FRI", "2026-06-05T00:00:00Z")]
#[case("0 0 13 * +FRI", "2026-11-13T00:00:00Z")]
#[case("0 0 * * 7", "2026-06-07T00:00:00Z")]
#[case("0 0 29 2 +MON", "2044-02-29T00:00:00Z")]
#[case("@hourly", "2026-06-01T13:00:00Z")]
#[case("@Daily", "2026-06-02T00:00:00Z")]
#[case("@midnight", "2026-06-02T00:00:00Z")]
#[case("@weekly", "2026-06-07T00:00:00Z")]
#[case("@monthly", "2026-07-01T00:00:00Z")]
#[case("@yearly", "2027-01-01T00:00:00Z")]
fn c13_an_expression_with_or_without_seconds_says_when(#[case] cron: &str, #[case] first: &str) {
    assert_eq!(ticks(cron, "UTC", "2026-06-01T12:00:00Z", 1), [first]);
}

#[test]
fn c13_every_second_is_the_shortest_period() {
    let expected = [
        "2026-06-01T12:00:01Z",
        "2026-06-01T12:00:02Z",
        "2026-06-01T12:00:03Z",
    ];
    for cron in ["* * * * * *", "*/1 * * * * *", "0-59 * * * * ?"] {
        assert_eq!(ticks(cron, "UTC", "2026-06-01T12:00:00.500Z", 3), expected);
    }
}

#[rstest]
#[case("0 0 31 2 *")]
#[case("0 0 30 2 *")]
#[case("0 0 30 2 +MON")]
#[case("* * * 31W 2 *")]
#[case("0 0 31 4,6,9,11 ?")]
#[case("* * 31 2 *")]
fn c13_31_february_never_comes(#[case] cron: &str) {
    for zone in ["UTC", "Europe/Berlin"] {
        assert!(ticks(cron, zone, "2026-06-01T12:00:00Z", 1).is_empty());
    }
}

#[rstest]
#[case("")]
#[case("   ")]
#[case("* * * *")]
#[case("* * * * * * *")]
#[case("@reboot")]
#[case("@every 5s")]
#[case("60 * * * *")]
#[case("* 24 * * *")]
#[case("* * 0 * *")]
#[case("* * 32 * *")]
#[case("* * * 13 *")]
#[case("* * * 0 *")]
#[case("* * * * 8")]
#[case("-1 * * * *")]
#[case("*/0 * * * *")]
#[case("*/90 * * * *")]
#[case("5/5 * * * *")]
#[case("30-10 * * * *")]
#[case(", * * * *")]
#[case("1,,2 * * * *")]
#[case("1, * * * *")]
#[case("*,5 * * * *")]
#[case("1MON * * * *")]
#[case("0 0 * MON *")]
#[case("0 0 * * JAN")]
#[case("0 0 * * L")]
#[case("0 0 * * 1#6")]
#[case("0 0 L-3 * *")]
#[case("? * * * *")]
#[case("* * * * *\n")]
#[case("１ * * * *")]
#[case("1.5 * * * *")]
#[case("001 * * * *")]
fn c13_what_is_no_expression_is_refused(#[case] cron: &str) {
    assert!(refusal(cron, "UTC").starts_with("cron "), "{cron}");
}

#[test]
fn c13_an_expression_has_at_most_256_characters() {
    let minutes = |spaces: usize| format!("0{}* * * *", " ".repeat(spaces));
    assert!(Ticks::read(&minutes(248), "UTC", at("2026-06-01T12:00:00Z")).is_ok());
    assert_eq!(
        refusal(&minutes(249), "UTC"),
        "cron must have at most 256 characters"
    );
}

#[rstest]
#[case("Europe/Atlantis")]
#[case("europe/berlin")]
#[case("+02:00")]
#[case("")]
#[case("../../etc/passwd")]
fn a_time_zone_is_a_name_of_the_iana_database(#[case] zone: &str) {
    assert!(refusal("* * * * *", zone).starts_with("timezone must be a name"));
    assert!(refusal("* * * * *", &"A".repeat(10_000)).starts_with("timezone must be a name"));
}

// In Berlin, the clock jumps from 02:00 to 03:00 at 01:00Z of 29 March 2026.
#[rstest]
#[case::a_fixed_time("30 2 * * *", &["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"])]
#[case::its_first_second("0 2 * * *", &["2026-03-28T01:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"])]
#[case::the_hour_after("0 3 * * *", &["2026-03-28T02:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"])]
#[case::both_hours("0 2,3 29 * *", &["2026-03-29T01:00:00Z", "2026-04-29T00:00:00Z", "2026-04-29T01:00:00Z"])]
#[case::several_minutes("*/20 2 29 * *", &["2026-03-29T01:00:00Z", "2026-04-29T00:00:00Z", "2026-04-29T00:20:00Z"])]
fn c13_what_the_clock_jumps_over_happens_once_when_it_has(#[case] cron: &str, #[case] expected: &[&str]) {
    assert_eq!(ticks(cron, "Europe/Berlin", "2026-03-28T00:30:00Z", 3), expected);
}

#[rstest]
#[case::every_hour("30 * * * *", &["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z"])]
#[case::every_two_hours("30 */2 * * *", &["2026-03-29T02:30:00Z", "2026-03-29T04:30:00Z", "2026-03-29T06:30:00Z"])]
fn c13_what_goes_by_passing_time_has_no_ticks_in_an_hour_that_is_not(
    #[case] cron: &str,
    #[case] expected: &[&str],
) {
    assert_eq!(ticks(cron, "Europe/Berlin", "2026-03-28T23:45:00Z", 3), expected);
}

// In Berlin, the clock goes back from 03:00 to 02:00 at 01:00Z of 25 October 2026.
#[rstest]
#[case::a_fixed_time("30 2 * * *", &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"])]
#[case::several_minutes("0,30 2 * * *", &["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:00:00Z"])]
#[case::every_hour("30 * * * *", &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"])]
fn c13_an_hour_that_comes_twice_counts_once_for_a_fixed_time(#[case] cron: &str, #[case] expected: &[&str]) {
    let found = ticks(cron, "Europe/Berlin", "2026-10-24T23:45:00Z", expected.len());
    assert_eq!(found, expected);
    let in_second_pass = ticks("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 1);
    assert_eq!(in_second_pass, ["2026-10-26T01:30:00Z"]);
}

#[test]
fn c13_an_expression_that_fits_only_an_hour_left_out_still_comes() {
    let only_then = ticks("*/5 2 25-31 3 +SUN", "Europe/Berlin", "2026-01-01T00:00:00Z", 2);
    assert_eq!(only_then, ["2026-03-29T01:00:00Z", "2027-03-28T01:00:00Z"]);
}

#[test]
fn no_tick_is_looked_for_beyond_the_years_that_are_known() {
    assert!(ticks("* * * * *", "UTC", "9999-12-31T23:59:00Z", 1).is_empty());
    assert!(ticks("* * * * *", "UTC", "5000-12-31T23:59:00Z", 1).is_empty());
}

/// What one field accepts, and how it is written.
#[derive(Clone, Debug)]
struct Given {
    text: String,
    values: BTreeSet<u32>,
}

/// An expression of which each part is known.
#[derive(Clone, Debug)]
struct Expression {
    seconds: Given,
    minutes: Given,
    hours: Given,
    days: Given,
    months: Given,
    weekdays: Given,
}

impl Expression {
    fn text(&self) -> String {
        let fields = [
            &self.seconds,
            &self.minutes,
            &self.hours,
            &self.days,
            &self.months,
            &self.weekdays,
        ];
        fields.map(|field| field.text.as_str()).join(" ")
    }

    fn fits(&self, wall: NaiveDateTime) -> bool {
        let fits_day = self.days.values.contains(&wall.day());
        let weekday = wall.weekday().num_days_from_sunday();
        let fits_weekday = self.weekdays.values.contains(&weekday);
        let is_restricted = |field: &Given| field.text != "*";
        let either = is_restricted(&self.days) && is_restricted(&self.weekdays);
        self.seconds.values.contains(&wall.second())
            && self.minutes.values.contains(&wall.minute())
            && self.hours.values.contains(&wall.hour())
            && self.months.values.contains(&wall.month())
            && if either {
                fits_day || fits_weekday
            } else {
                fits_day && fits_weekday
            }
    }

    /// Every tick among the seconds from `start` on, by looking at each of them.
    fn ticks_by_looking(&self, zone: Tz, start: Timestamp, seconds: i64) -> Vec<i64> {
        // More than a clock goes back.
        const LOOK_BACK: i64 = 2 * 3600;
        let is_interval = self.hours.text.contains('*');
        let walls = |second: i64| {
            let moment = Utc.timestamp_opt(second, 0).unwrap();
            zone.from_utc_datetime(&moment.naive_utc()).naive_local()
        };
        let offset = |second: i64| {
            let moment = Utc.timestamp_opt(second, 0).unwrap();
            i64::from(
                zone.offset_from_utc_datetime(&moment.naive_utc())
                    .fix()
                    .local_minus_utc(),
            )
        };
        let start = start.as_secs() + 1;
        // The latest time that the wall has shown, from well before the first second on.
        let mut latest = walls(start - LOOK_BACK);
        for second in (start - LOOK_BACK)..start {
            latest = latest.max(walls(second));
        }
        let mut found = Vec::new();
        for second in start..start + seconds {
            let wall = walls(second);
            let jumped = (offset(second) - offset(second - 1)).max(0);
            let is_left_out =
                !is_interval && (1..=jumped).any(|back| self.fits(wall - TimeDelta::seconds(back)));
            let is_shown_first = is_interval || wall > latest;
            if is_left_out || (is_shown_first && self.fits(wall)) {
                found.push(second);
            }
            latest = latest.max(wall);
        }
        found
    }
}

fn field(min: u32, max: u32, likely: std::ops::RangeInclusive<u32>) -> impl Strategy<Value = Given> {
    let all: BTreeSet<u32> = (min..=max).collect();
    let every = Just(Given {
        text: "*".to_owned(),
        values: all.clone(),
    });
    let stepped = (2..=max).prop_map(move |step| Given {
        text: format!("*/{step}"),
        values: (min..=max).step_by(usize::try_from(step).unwrap()).collect(),
    });
    let range = (likely.clone(), likely.clone()).prop_map(|(a, b)| Given {
        text: format!("{}-{}", a.min(b), a.max(b)),
        values: (a.min(b)..=a.max(b)).collect(),
    });
    let list = btree_set(likely, 1..4).prop_map(|values| Given {
        text: values.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
        values,
    });
    prop_oneof![2 => every, 1 => stepped, 1 => range, 4 => list]
}

fn expression() -> impl Strategy<Value = Expression> {
    let days = prop_oneof![3 => field(1, 31, 1..=31).prop_filter("all days", |days| days.text == "*"), 1 => field(1, 31, 1..=31)];
    (
        field(0, 59, 0..=59),
        field(0, 59, 0..=59),
        field(0, 23, 0..=4),
        days,
        field(1, 12, 1..=12),
        field(0, 6, 0..=6),
    )
        .prop_map(|(seconds, minutes, hours, days, months, weekdays)| Expression {
            seconds,
            minutes,
            hours,
            days,
            months,
            weekdays,
        })
}

/// A zone, and a moment some hours before its clock is changed, or any.
fn place() -> impl Strategy<Value = (Tz, Timestamp)> {
    let changes = select(vec![
        (Tz::Europe__Berlin, "2026-03-29T01:00:00Z"),
        (Tz::Europe__Berlin, "2026-10-25T01:00:00Z"),
        (Tz::America__New_York, "2026-03-08T07:00:00Z"),
        (Tz::America__New_York, "2026-11-01T06:00:00Z"),
        (Tz::Australia__Lord_Howe, "2026-04-04T15:00:00Z"),
        (Tz::Australia__Lord_Howe, "2026-10-03T15:30:00Z"),
        (Tz::Pacific__Chatham, "2026-04-04T14:00:00Z"),
        (Tz::Africa__Cairo, "2026-04-23T22:00:00Z"),
        (Tz::Africa__Cairo, "2026-10-29T21:00:00Z"),
        (Tz::Asia__Kathmandu, "2026-05-05T00:00:00Z"),
    ]);
    (changes, 0..2 * 3_600_000_i64)
        .prop_map(|((zone, change), before)| (zone, Timestamp::from_millis(at(change).as_millis() - before)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn c13_ticks_are_those_that_looking_at_every_second_finds(
        expression in expression(),
        (zone, start) in place(),
    ) {
        const SECONDS: i64 = 3 * 3600;
        let ticks = Ticks::read(&expression.text(), zone.name(), start).unwrap();
        let end = start.as_secs() + SECONDS;
        let found: Vec<i64> = std::iter::successors(ticks.after(start), |tick| ticks.after(*tick))
            .map(Timestamp::as_secs)
            .take_while(|second| *second <= end)
            .collect();
        prop_assert_eq!(found, expression.ticks_by_looking(zone, start, SECONDS), "{} {}", expression.text(), zone);
    }

    #[test]
    fn c13_ticks_grow_and_fit_their_expression(
        expression in expression(),
        start in 0..at("2090-01-01T00:00:00Z").as_millis(),
    ) {
        let start = Timestamp::from_millis(start);
        let ticks = Ticks::read(&expression.text(), "UTC", start).unwrap();
        let mut last = start;
        for tick in std::iter::successors(ticks.after(start), |tick| ticks.after(*tick)).take(20) {
            prop_assert!(tick > last);
            let wall = Utc.timestamp_millis_opt(tick.as_millis()).unwrap().naive_utc();
            prop_assert!(expression.fits(wall), "{} at {}", expression.text(), tick);
            last = tick;
        }
    }

    #[test]
    fn c13_any_text_is_read_or_refused(cron in "[0-9*/,#+?@A-Za-z -]{0,60}|\\PC{0,300}") {
        let now = at("2026-06-01T12:00:00Z");
        if let Ok(ticks) = Ticks::read(&cron, "America/New_York", now) {
            prop_assert!(ticks.after(now).is_none_or(|tick| tick > now));
        }
    }

    #[test]
    fn c13_fields_that_look_right_are_read_or_refused(
        cron in "([0-9]{1,2}|\\*|\\*/[0-9]|[0-9]-[0-9]{1,2}|L|[0-9]W|[0-9]L|MON#[1-5]|\\+SUN|\\?)( ([0-9]{1,2}|\\*|\\*/[0-9]|[0-9]-[0-9]{1,2}|L|[0-9]W|[0-9]L|MON#[1-5]|\\+SUN|\\?)){4,5}",
    ) {
        let now = at("2026-06-01T12:00:00Z");
        if let Ok(ticks) = Ticks::read(&cron, "America/New_York", now) {
            prop_assert!(ticks.after(now).is_none_or(|tick| tick > now));
        }
    }
}
