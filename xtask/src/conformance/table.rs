//! The table of scenarios and checks, for people.

use crate::conformance::check::{Scenario, Status};
use crate::conformance::set::Set;

/// One line for each scenario of a set, and their sum.
pub(super) fn of(set: &Set, scenarios: &[Scenario]) -> String {
    let width = scenarios
        .iter()
        .map(|scenario| scenario.name.len())
        .max()
        .unwrap_or_default();
    let mut text = format!("\n{}\n{:width$}  {HEADING}\n", set.title, "scenario");
    for scenario in scenarios {
        text.push_str(&format!(
            "{:width$}  {}\n",
            scenario.name,
            cells(std::slice::from_ref(scenario))
        ));
    }
    text.push_str(&format!("{:width$}  {}", "sum", cells(scenarios)));
    text
}

const HEADING: &str = "passed  failed  warned  skipped";

fn cells(scenarios: &[Scenario]) -> String {
    let sum = |status| -> usize { scenarios.iter().map(|scenario| scenario.count(status)).sum() };
    format!(
        "{:>6}  {:>6}  {:>6}  {:>7}",
        sum(Status::Success),
        sum(Status::Failure),
        sum(Status::Warning),
        sum(Status::Skipped)
    )
}
