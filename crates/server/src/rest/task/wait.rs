//! How long a caller waits for the end of a task.

use std::{borrow::Cow, time::Duration};

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::{Deserialize, Deserializer, de};
use utoipa::IntoParams;

use crate::{
    config::lifetime, extract::Query, failure::Failure, field::schema, request::RequestContext,
    state::AppState,
};

/// How long a caller waits who doesn't say.
const USUAL: Duration = Duration::from_secs(30);

/// The longest that a caller can wait.
const LONGEST: Duration = Duration::from_secs(60);

/// How long the caller waits at most. The request may take that much longer than others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait(pub(crate) Duration);

/// How long the caller waits.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WaitQuery {
    /// How long to wait for the end of the task.
    #[serde(default = "usual", deserialize_with = "read")]
    #[param(schema_with = schema::wait, required = false)]
    wait: Duration,
}

impl FromRequestParts<AppState> for Wait {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Failure> {
        let Query(WaitQuery { wait }) = Query::from_request_parts(parts, state).await?;
        RequestContext::of(parts)?.note_wait(wait);
        Ok(Self(wait))
    }
}

fn usual() -> Duration {
    USUAL
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    parse(&text)
        .ok_or_else(|| de::Error::custom("must be a time from 0 to 60s: 15s, 500ms, 1m, or in milliseconds"))
}

/// Reads a time that is spelled as it would be written.
fn parse(text: &str) -> Option<Duration> {
    let wait = lifetime(text).filter(|wait| *wait <= LONGEST)?;
    let millis = wait.as_millis();
    let spellings = [
        millis.to_string(),
        format!("{millis}ms"),
        format!("{}s", millis / 1_000),
        format!("{}m", millis / 60_000),
    ];
    spellings.iter().any(|known| known == text).then_some(wait)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("15s", Some(15_000))]
    #[case("500ms", Some(500))]
    #[case("1m", Some(60_000))]
    #[case("250", Some(250))]
    #[case("0", Some(0))]
    #[case("60s", Some(60_000))]
    #[case("61s", None)]
    #[case("2m", None)]
    #[case("60001", None)]
    #[case("-1", None)]
    #[case("1.5s", None)]
    #[case("015s", None)]
    #[case("15 s", None)]
    #[case("1h", None)]
    #[case("0h", None)]
    #[case("s", None)]
    #[case("", None)]
    #[case("99999999999999999999s", None)]
    fn c05_a_wait_is_read_when_it_is_a_minute_at_most(#[case] text: &str, #[case] millis: Option<u64>) {
        assert_eq!(parse(text), millis.map(Duration::from_millis));
    }
}
