//! How often someone may ask.

use std::net::IpAddr;

use model::{Credential, Decision, LimitKey, Principal, Quota, Result, Subject};

use crate::parts::Engine;

impl Engine {
    /// Counts one request of a caller against the quota of its credential, or of its address when it showed none.
    ///
    /// # Errors
    /// `Unavailable` when the limiter can't decide.
    pub async fn count_request(&self, principal: Option<&Principal>, address: IpAddr) -> Result<Decision> {
        let (key, quota) = match principal {
            None => (LimitKey::address(address), self.parts.anonymous_quota),
            Some(principal) => (counted_as(principal), self.quota_of(principal)),
        };
        self.parts.limiter.check(key, quota, self.parts.clock.now()).await
    }

    fn quota_of(&self, principal: &Principal) -> Quota {
        let general = self.parts.principal_quota;
        Quota {
            requests: principal.rate_limit.unwrap_or(general.requests),
            window: general.window,
        }
    }
}

/// All tokens of an account count together, each key by itself.
fn counted_as(principal: &Principal) -> LimitKey {
    match (principal.credential, principal.subject) {
        (Credential::Key(id), _) => LimitKey::Key(id),
        (_, Subject::User(id)) => LimitKey::User(id),
        (_, Subject::BuiltinAdmin) => LimitKey::AdminKey,
    }
}
