//! Which expressions are accepted: every field is looked at before the parser sees it, since that one replaces names
//! wherever they stand and lets empty lists pass.

use std::fmt;

/// The most characters of an expression.
const MAX_CHARS: usize = 256;

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];

const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// What nicknames stand for.
const NICKNAMES: [(&str, &str); 7] = [
    ("@YEARLY", "0 0 1 1 *"),
    ("@ANNUALLY", "0 0 1 1 *"),
    ("@MONTHLY", "0 0 1 * *"),
    ("@WEEKLY", "0 0 * * 0"),
    ("@DAILY", "0 0 * * *"),
    ("@MIDNIGHT", "0 0 * * *"),
    ("@HOURLY", "0 * * * *"),
];

const ACCEPTED: &str = "must be a cron expression of five fields (minute, hour, day of month, month, day of week), \
     of six with seconds first, or one of @yearly, @monthly, @weekly, @daily and @hourly";

/// The place of the hour among the fields.
const HOUR: usize = 2;

/// An accepted expression: its six fields, in capitals.
pub(super) struct Fields([String; 6]);

impl Fields {
    /// The field of hours.
    pub(super) fn hour(&self) -> &str {
        self.0.get(HOUR).map_or("", String::as_str)
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// One of the six fields.
struct Field {
    name: &'static str,
    /// The largest value, and the largest step.
    max: u8,
    names: &'static [&'static str],
    kind: FieldKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FieldKind {
    Plain,
    DayOfMonth,
    DayOfWeek,
}

const FIELDS: [Field; 6] = [
    plain("second", 59, &[]),
    plain("minute", 59, &[]),
    plain("hour", 23, &[]),
    Field {
        name: "day of month",
        max: 31,
        names: &[],
        kind: FieldKind::DayOfMonth,
    },
    plain("month", 12, &MONTHS),
    Field {
        name: "day of week",
        max: 7,
        names: &WEEKDAYS,
        kind: FieldKind::DayOfWeek,
    },
];

const fn plain(name: &'static str, max: u8, names: &'static [&'static str]) -> Field {
    Field {
        name,
        max,
        names,
        kind: FieldKind::Plain,
    }
}

/// Splits an expression into its fields; says what is accepted when it isn't one.
pub(super) fn fields(text: &str) -> Result<Fields, String> {
    if text.chars().count() > MAX_CHARS {
        return Err(format!("must have at most {MAX_CHARS} characters"));
    }
    let text = text.trim_matches([' ', '\t']).to_ascii_uppercase();
    let nickname = NICKNAMES.iter().find(|(nickname, _)| *nickname == text);
    let spelled_out = nickname.map_or(text.as_str(), |(_, meaning)| meaning);
    let given: Vec<&str> = spelled_out
        .split([' ', '\t'])
        .filter(|field| !field.is_empty())
        .collect();
    let fields: [&str; 6] = match *given.as_slice() {
        [minute, hour, day, month, weekday] => ["0", minute, hour, day, month, weekday],
        [second, minute, hour, day, month, weekday] => [second, minute, hour, day, month, weekday],
        _ => return Err(ACCEPTED.to_owned()),
    };
    match FIELDS
        .iter()
        .zip(fields)
        .find(|(field, text)| !field.accepts(text))
    {
        Some((field, _)) => Err(format!(
            "{ACCEPTED}; the field of the {} can't be read",
            field.name
        )),
        None => Ok(Fields(fields.map(str::to_owned))),
    }
}

impl Field {
    fn accepts(&self, text: &str) -> bool {
        let has_days = self.kind != FieldKind::Plain;
        if text == "*" || (has_days && text == "?") {
            return true;
        }
        let items = match self.kind {
            FieldKind::DayOfWeek => text.strip_prefix('+').unwrap_or(text),
            FieldKind::Plain | FieldKind::DayOfMonth => text,
        };
        items.split(',').all(|item| self.accepts_item(item))
    }

    fn accepts_item(&self, item: &str) -> bool {
        match item.split_once('/') {
            Some(("*", step)) => self.accepts_step(step),
            Some((range, step)) => self.accepts_range(range) && self.accepts_step(step),
            None => self.is_value(item) || self.accepts_range(item) || self.is_special(item),
        }
    }

    fn accepts_range(&self, range: &str) -> bool {
        range
            .split_once('-')
            .is_some_and(|(first, last)| self.is_value(first) && self.is_value(last))
    }

    /// A step over the whole field is a slip: `*/90` minutes would be once an hour.
    fn accepts_step(&self, step: &str) -> bool {
        number(step).is_some_and(|step| (1..=self.max).contains(&step))
    }

    fn is_value(&self, value: &str) -> bool {
        self.names.contains(&value) || number(value).is_some_and(|value| value <= self.max)
    }

    fn is_special(&self, item: &str) -> bool {
        match self.kind {
            FieldKind::Plain => false,
            FieldKind::DayOfMonth => {
                matches!(item, "L" | "LW") || item.strip_suffix('W').is_some_and(|day| self.is_value(day))
            }
            FieldKind::DayOfWeek => match item.split_once('#') {
                Some((day, nth)) => self.is_value(day) && matches!(nth, "1" | "2" | "3" | "4" | "5"),
                None => item.strip_suffix('L').is_some_and(|day| self.is_value(day)),
            },
        }
    }
}

/// One or two digits.
fn number(text: &str) -> Option<u8> {
    let is_short = (1..=2).contains(&text.len());
    let is_number = is_short && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}
