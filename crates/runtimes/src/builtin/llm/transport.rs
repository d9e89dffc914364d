//! Sends questions, tries again when that can help, and reads the answers as they stream in.

use std::{sync::Arc, time::Duration};

use model::{Entropy, Error, ErrorCode, Result};
use reqwest::{Response, StatusCode, header::CONTENT_TYPE};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::{
    endpoint::Endpoint,
    fault::Fault,
    question::Question,
    refusal,
    reply::Reply,
    sse::{EventParser, Limits},
};
use crate::http::{self, Client, Timeouts};

/// How often one question is sent at most.
const MAX_TRIES: u32 = 4;

/// The longest wait before the second try; it doubles with each one more. Waits are drawn evenly from zero
/// to the longest, so that callers that failed together do not come back together.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// More than any model writes in one answer.
const LIMITS: Limits = Limits {
    event: 1024 * 1024,
    stream: 8 * 1024 * 1024,
};

/// How long the end of a connection's answer is waited for after the answer itself has ended, so that the
/// connection can be used again.
const FAREWELL: Duration = Duration::from_millis(100);

/// The longest time that a call can be given.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// Sends questions to providers.
pub(super) struct Transport {
    client: Client,
    entropy: Arc<dyn Entropy>,
}

impl Transport {
    pub(super) fn new(timeouts: Timeouts, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            client: http::client(timeouts),
            entropy,
        }
    }

    /// Asks until there is an answer, a failure that stays, no try left, or no time.
    pub(super) async fn ask(
        &self,
        endpoint: &Endpoint,
        question: &Question,
        limit: Duration,
    ) -> Result<Reply> {
        let deadline = Instant::now() + limit.min(MAX_TIMEOUT);
        let asked = timeout_at(deadline, self.ask_until(deadline, endpoint, question)).await;
        asked.unwrap_or_else(|_| {
            let message = format!("the provider took longer than {} ms", limit.as_millis());
            Err(Error::new(ErrorCode::PluginTimedOut, message))
        })
    }

    async fn ask_until(&self, deadline: Instant, endpoint: &Endpoint, question: &Question) -> Result<Reply> {
        let mut tries = 0;
        loop {
            let failed = match self.try_once(endpoint, question).await {
                Ok(reply) => return Ok(reply),
                Err(failed) => failed,
            };
            tries += 1;
            if !failed.can_resend {
                return Err(failed.error);
            }
            let pause = failed.retry_after.unwrap_or_else(|| self.draw_pause(tries));
            let is_last = tries >= MAX_TRIES || Instant::now() + pause >= deadline;
            if is_last {
                let wait = pause.max(Duration::from_secs(1));
                return Err(failed.error.retry_after(wait));
            }
            debug!(
                provider = endpoint.provider().as_str(),
                tries,
                pause_ms = pause.as_millis(),
                reason = failed.error.message(),
                "asking a language model again"
            );
            wait(pause).await;
        }
    }

    async fn try_once(&self, endpoint: &Endpoint, question: &Question) -> Result<Reply, Fault> {
        let client = self.client.get().await.map_err(|error| Fault {
            error,
            can_resend: false,
            retry_after: None,
        })?;
        let request = client
            .post(endpoint.url().clone())
            .headers(endpoint.headers())
            .json(&endpoint.body(question));
        let response = request.send().await.map_err(refusal::of_connection)?;
        if response.status() != StatusCode::OK {
            return Err(refusal::of_response(endpoint, response).await);
        }
        require_events(&response)?;
        read_reply(endpoint, question, response).await
    }

    /// Draws the pause after so many tries.
    fn draw_pause(&self, tries: u32) -> Duration {
        let longest = FIRST_PAUSE * 2_u32.saturating_pow(tries.saturating_sub(1));
        let mut bytes = [0; 4];
        self.entropy.fill(&mut bytes);
        longest.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "one call waits for its next try; nothing loops here"
)]
async fn wait(pause: Duration) {
    tokio::time::sleep(pause).await;
}

fn require_events(response: &Response) -> Result<(), Fault> {
    let media_type = response.headers().get(CONTENT_TYPE);
    let media_type = media_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("text/event-stream") {
        return Ok(());
    }
    Err(Fault::permanent(
        "the provider did not answer with a stream of events",
    ))
}

async fn read_reply(
    endpoint: &Endpoint,
    question: &Question,
    mut response: Response,
) -> Result<Reply, Fault> {
    let mut parser = EventParser::new(LIMITS);
    let mut reader = endpoint.reader();
    while let Some(piece) = response.chunk().await.map_err(refusal::of_body)? {
        let events = parser.push(&piece).map_err(Fault::unreadable)?;
        for data in events {
            reader.read(&endpoint.without_key(&data))?;
        }
        if reader.is_finished() {
            // Whatever comes of it: the answer is there.
            drop(timeout(FAREWELL, response.chunk()).await);
            break;
        }
    }
    reader.into_reply(&question.model).ok_or_else(Fault::broken_off)
}
