//! Choosing which of the ready jobs go next.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use model::{ClaimRequest, Timestamp};
use mongodb::bson::{DateTime, Uuid};

use crate::mongodb::column::timestamp;

/// After how long a ready job may go before more urgent ones.
const LONG: Duration = Duration::from_secs(30);

/// A ready job that may be claimed.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) id: Uuid,
    pub(super) owner: Option<Uuid>,
    pub(super) priority: i32,
    pub(super) plugin: String,
    pub(super) turn: i64,
    pub(super) ready_at: Option<DateTime>,
}

/// How many more jobs of some plugins can be claimed; of others, any number.
pub(super) struct Room<'a>(HashMap<&'a str, u16>);

impl<'a> Room<'a> {
    /// The room that a request names.
    pub(super) fn of(request: &'a ClaimRequest) -> Self {
        let named = request.room.iter();
        Self(named.map(|(plugin, room)| (plugin.as_str(), *room)).collect())
    }

    /// How many more jobs of a plugin can be claimed; any number when `None`.
    pub(super) fn left(&self, plugin: &str) -> Option<u16> {
        self.0.get(plugin).copied()
    }

    /// Tells whether there is room for one of each of these plugins, as often as they are named.
    pub(super) fn is_for_all<'b>(&self, plugins: impl Iterator<Item = &'b str>) -> bool {
        let mut counts: HashMap<&str, u16> = HashMap::new();
        for plugin in plugins {
            let count = counts.entry(plugin).or_default();
            *count = count.saturating_add(1);
        }
        let fits = |(plugin, count): (&&str, &u16)| self.left(plugin).is_none_or(|left| *count <= left);
        counts.iter().all(fits)
    }

    fn is_open(&self, plugin: &str) -> bool {
        self.left(plugin).is_none_or(|left| left > 0)
    }

    fn take(&mut self, plugin: &str) {
        if let Some(left) = self.0.get_mut(plugin) {
            *left = left.saturating_sub(1);
        }
    }
}

/// The ready jobs of one priority, in the order of their turns.
type Line = VecDeque<Candidate>;

/// Chooses jobs, in the order in which they should start, and counts them in `claims`; tells whether there are more that
/// could be.
pub(super) fn pick(
    candidates: Vec<Candidate>,
    request: &ClaimRequest,
    (room, claims): (&mut Room<'_>, &mut u8),
) -> (Vec<Candidate>, bool) {
    let mut lines = lines_of(candidates);
    let mut picks = Vec::new();
    loop {
        for line in &mut lines {
            while line.front().is_some_and(|next| !room.is_open(&next.plugin)) {
                line.pop_front();
            }
        }
        lines.retain(|line| !line.is_empty());
        if picks.len() >= usize::from(request.limit) || lines.is_empty() {
            return (picks, !lines.is_empty());
        }
        *claims = claims.wrapping_add(1) % 4;
        // One priority alone has nobody to go before.
        let chosen = if *claims == 0 && lines.len() > 1 {
            longest_waiting(&lines, request.now).unwrap_or(0)
        } else {
            0
        };
        if let Some(next) = lines.get_mut(chosen).and_then(Line::pop_front) {
            room.take(&next.plugin);
            picks.push(next);
        }
    }
}

/// The candidates by priority, the most urgent first.
fn lines_of(mut candidates: Vec<Candidate>) -> Vec<Line> {
    candidates.sort_by_key(|candidate| (-candidate.priority, candidate.turn, candidate.id.bytes()));
    let mut lines: Vec<Line> = Vec::new();
    for candidate in candidates {
        match lines.last_mut() {
            Some(line)
                if line
                    .back()
                    .is_some_and(|last| last.priority == candidate.priority) =>
            {
                line.push_back(candidate);
            }
            Some(_) | None => lines.push(Line::from([candidate])),
        }
    }
    lines
}

/// Which of the lines has the next job that has been ready longest, if it has been for long.
fn longest_waiting(lines: &[Line], now: Timestamp) -> Option<usize> {
    let long_ago = now.minus(LONG);
    let mut longest: Option<(Timestamp, usize)> = None;
    for (index, line) in lines.iter().enumerate() {
        let Some(ready_at) = line.front().and_then(|next| next.ready_at).map(timestamp) else {
            continue;
        };
        if ready_at <= long_ago && longest.is_none_or(|(other, _)| ready_at < other) {
            longest = Some((ready_at, index));
        }
    }
    longest.map(|(_, index)| index)
}
