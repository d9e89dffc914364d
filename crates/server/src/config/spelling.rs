//! Names in `.env` that look like one of ours, misspelt.

use super::setting::SETTINGS;
use super::source::Sources;

/// One line for each name in `.env` that is close to a known one, and for each that is set twice.
pub(super) fn warnings(sources: &Sources) -> Vec<String> {
    let misspelt = sources.env_file_names().filter_map(|(name, line)| {
        let meant = closest(name)?;
        Some(format!(
            "{name} in .env line {line} is not a setting: did you mean {meant}?"
        ))
    });
    sources.warnings().iter().cloned().chain(misspelt).collect()
}

/// The known name that `name` was meant to be; none when it is known itself or like none.
fn closest(name: &str) -> Option<&'static str> {
    let known = || {
        SETTINGS
            .iter()
            .flat_map(|setting| [Some(setting.name), setting.alias])
            .flatten()
    };
    if known().any(|setting| setting == name) {
        return None;
    }
    let upper = name.to_ascii_uppercase();
    known()
        .map(|setting| (edits(&upper, setting), setting))
        // A short name is like many others: HOME is two edits from HOST.
        .filter(|(edits, setting)| *edits <= if setting.len() < 6 { 1 } else { 2 })
        .min()
        .map(|(_, setting)| setting)
}

/// Counts the insertions, deletions, replacements and swaps of neighbours that turn one text into the other.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut previous_char = None;
    for (row, from_char) in from.chars().enumerate() {
        let mut current = vec![row.saturating_add(1)];
        for (column, to_char) in to.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX);
            let replaced = at(&last, column).saturating_add(usize::from(from_char != *to_char));
            let removed = at(&last, column.saturating_add(1)).saturating_add(1);
            let inserted = at(&current, column).saturating_add(1);
            let mut fewest = replaced.min(removed).min(inserted);
            if let Some(left) = column.checked_sub(1)
                && previous_char == Some(*to_char)
                && to.get(left) == Some(&from_char)
            {
                fewest = fewest.min(at(&before_last, left).saturating_add(1));
            }
            current.push(fewest);
        }
        before_last = std::mem::replace(&mut last, current);
        previous_char = Some(from_char);
    }
    last.last().copied().unwrap_or_default()
}
