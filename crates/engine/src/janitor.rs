//! Periodic duties: what is expired goes, what was interrupted is closed, what was counted is written down.

use std::sync::Arc;

use crate::{pace::Duty, parts::Engine};

impl Engine {
    /// Everything that must be done again and again.
    #[must_use]
    pub fn duties(&self) -> Vec<Arc<dyn Duty>> {
        todo!()
    }
}
