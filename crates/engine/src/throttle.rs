//! Wrong passwords slow down further attempts on the same account, and only there.

use std::time::Duration;

use model::{
    Account, CheckedPassword, Error, ErrorCode, FoldedText, Result, Secret, SecurityEvent, SecurityEventId,
    SecurityEventKind, SignInFailures, Timestamp, UserId,
};

use crate::parts::{Client, Engine};

/// How many failures in a row cost nothing: people mistype.
const FREE_FAILURES: u32 = 5;
/// How long an attempt has to wait at most.
const MAX_WAIT: Duration = Duration::from_secs(15 * 60);
/// How far ahead of now the last failure may lie: by so much the clocks of two processes may differ. Beyond, the
/// clock was set back, and an attempt is let through that puts the last failure where it belongs.
const CLOCK_SLACK: Duration = Duration::from_secs(60);
/// At every how many failures in a row the owner is told.
const FAILURES_TO_TELL: u32 = 10;
/// After how long without a further failure the failures are forgotten.
pub(crate) const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

impl Engine {
    /// Checks a password, and counts failures under `counted_as` (nothing is counted without it).
    ///
    /// What is answered, and the work for it, is the same whether the account is unknown (`None`), inactive, or
    /// the password wrong. From the fifth failure on, an attempt counts before the password is looked at, so
    /// that of many at the same instant one is let through.
    ///
    /// # Errors
    /// `InvalidCredentials`; `RateLimited` after many failures; `Overloaded` when too many wait.
    pub(crate) async fn check_password(
        &self,
        counted_as: Option<&FoldedText>,
        account: Option<&Account>,
        password: &Secret,
        client: &Client,
    ) -> Result<CheckedPassword> {
        // Failures are read in turn, so that attempts which waited together don't all see none.
        let turn = self.parts.passwords.await_turn().await?;
        let before = self.failures(counted_as).await?;
        let is_suspected = before.count >= FREE_FAILURES;
        if let Some(counted_as) = counted_as.filter(|_| is_suspected) {
            self.require_patience(&before)?;
            let after = self.count_failure(counted_as, &before, account, client).await?;
            if after.count != before.count.saturating_add(1) {
                return Err(too_many_failures(wait_after(after.count)));
            }
        }
        let stored = account.map(|account| &account.password_hash);
        let verdict = self.parts.passwords.check(turn, password, stored).await?;
        match account {
            Some(account) if verdict.is_right && account.user.is_active => Ok(CheckedPassword {
                hash: account.password_hash.clone(),
                renewed: verdict.renewed,
            }),
            Some(_) | None => {
                if let Some(counted_as) = counted_as.filter(|_| !is_suspected) {
                    self.count_failure(counted_as, &before, account, client).await?;
                }
                Err(wrong_password())
            }
        }
    }

    /// The failures in a row that still count.
    async fn failures(&self, counted_as: Option<&FoldedText>) -> Result<SignInFailures> {
        let Some(counted_as) = counted_as else {
            return Ok(SignInFailures::default());
        };
        let failures = self.parts.store.sign_in_failures(counted_as).await?;
        let is_forgotten = failures.last_at < self.parts.clock.now().minus(FORGOTTEN_AFTER);
        Ok(if is_forgotten {
            SignInFailures::default()
        } else {
            failures
        })
    }

    fn require_patience(&self, failures: &SignInFailures) -> Result<()> {
        let now = self.parts.clock.now();
        let wait = failures.last_at.plus(wait_after(failures.count)).since(now);
        if wait.is_zero() || failures.last_at.since(now) > CLOCK_SLACK {
            return Ok(());
        }
        Err(too_many_failures(wait))
    }

    async fn count_failure(
        &self,
        counted_as: &FoldedText,
        before: &SignInFailures,
        account: Option<&Account>,
        client: &Client,
    ) -> Result<SignInFailures> {
        let now = self.parts.clock.now();
        let is_telling = before.count.saturating_add(1).is_multiple_of(FAILURES_TO_TELL);
        let event = account.filter(|_| is_telling).map(|account| {
            self.security_event(account.user.id, SecurityEventKind::SignInsRefused, client, now)
        });
        self.parts
            .store
            .record_sign_in_failure(counted_as, now, now.minus(FORGOTTEN_AFTER), event.as_ref())
            .await
    }

    /// Puts down what an account's owner should know.
    pub(crate) fn security_event(
        &self,
        user_id: UserId,
        kind: SecurityEventKind,
        client: &Client,
        now: Timestamp,
    ) -> SecurityEvent {
        SecurityEvent {
            id: SecurityEventId::generate(self.parts.ids.as_ref()),
            user_id,
            kind,
            ip_address: client
                .ip_address
                .map(|address| address.to_canonical().to_string()),
            created_at: now,
        }
    }
}

/// How long the next attempt has to wait after so many failures in a row: nothing, then 1, 2, 4, … seconds.
fn wait_after(failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(FREE_FAILURES) else {
        return Duration::ZERO;
    };
    let seconds = 2_u64.checked_pow(doublings).unwrap_or(u64::MAX);
    Duration::from_secs(seconds).min(MAX_WAIT)
}

/// The one refusal of every pair of e-mail and password.
pub(crate) fn wrong_password() -> Error {
    Error::new(
        ErrorCode::InvalidCredentials,
        "the e-mail or the password is not right",
    )
}

fn too_many_failures(wait: Duration) -> Error {
    Error::new(
        ErrorCode::RateLimited,
        "too many wrong passwords for this account; wait before the next attempt",
    )
    .retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a08_the_wait_doubles_from_the_fifth_failure_on_up_to_a_quarter_of_an_hour() {
        let seconds = [0, 4, 5, 6, 7, 10, 14, 15, 100, u32::MAX].map(|count| wait_after(count).as_secs());
        assert_eq!(seconds, [0, 0, 1, 2, 4, 32, 512, 900, 900, 900]);
    }
}
