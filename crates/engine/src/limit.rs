//! How often someone may ask.

use std::net::IpAddr;

use model::{Decision, Principal, Result};

use crate::parts::Engine;

impl Engine {
    /// Counts one request of a caller against the quota of its credential, or of its address when it showed none.
    ///
    /// # Errors
    /// `Unavailable` when the limiter can't decide.
    pub async fn count_request(&self, _principal: Option<&Principal>, _address: IpAddr) -> Result<Decision> {
        todo!()
    }
}
