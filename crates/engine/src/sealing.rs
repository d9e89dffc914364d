//! Texts that a transport lets its clients hold for it.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{Entropy, Result};

use crate::{parts::Engine, seal::Sealer};

/// The most characters of a sealed text that is opened: twice what the plain text of the largest state needs.
const MAX_CHARS: usize = 1024 * 1024;

/// Seals texts for one purpose: nobody else reads, changes or makes them.
///
/// The key is the same in every process with the same sealing secret. How long one is good for, and how often, is part of what is sealed.
pub struct Sealing {
    sealer: Sealer,
    entropy: Arc<dyn Entropy>,
}

impl Sealing {
    /// Seals `plain` into letters, digits, `-` and `_`: four for three bytes, and 38 more. It opens only with the same
    /// `associated` bytes.
    ///
    /// # Errors
    /// `Bug` for more than the cipher's limit of 64 GiB.
    pub fn seal(&self, associated: &[u8], plain: &[u8]) -> Result<String> {
        let sealed = self.sealer.seal(self.entropy.as_ref(), associated, plain)?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Opens what [`Self::seal`] made; `None` for anything else, and for more than 1 MiB of text.
    #[must_use]
    pub fn open(&self, associated: &[u8], sealed: &str) -> Option<Vec<u8>> {
        if sealed.len() > MAX_CHARS {
            return None;
        }
        self.sealer.open(associated, URL_SAFE_NO_PAD.decode(sealed).ok()?)
    }
}

impl std::fmt::Debug for Sealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealing")
    }
}

impl Engine {
    /// Makes what seals texts for one purpose of a transport. What was sealed for one opens for no other.
    ///
    /// # Errors
    /// `Bug` when the key can't be derived, which there is no reason for.
    pub fn sealing(&self, purpose: &'static str) -> Result<Sealing> {
        Ok(Sealing {
            sealer: self.parts.sealing.derive("transport", purpose.as_bytes())?,
            entropy: Arc::clone(&self.parts.entropy),
        })
    }
}
