//! Who asks: from a presented credential to a principal.

use std::sync::Arc;

use model::{Principal, Result};

use crate::parts::Engine;

/// What a caller presented.
#[derive(Clone, Copy, Debug)]
pub enum Presented<'a> {
    /// `Authorization: Bearer …`: an access token, an API key, or the operator's key.
    Bearer(&'a str),
    /// `X-API-Key: …`: an API key or the operator's key.
    ApiKey(&'a str),
}

impl Engine {
    /// Finds out who presented a credential, and counts the use of a key.
    ///
    /// # Errors
    /// `InvalidToken` when it isn't accepted, whatever the reason. `Unavailable` when the store can't be reached.
    pub async fn authenticate(&self, _presented: Presented<'_>) -> Result<Arc<Principal>> {
        todo!()
    }
}
