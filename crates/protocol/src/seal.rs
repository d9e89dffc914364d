//! Texts that travel through the client and come back unchanged, or not at all.

/// Seals what a client holds for the server: authenticated encryption, with a key that every process of the host shares.
pub trait Seal: Send + Sync {
    /// Seals `plain` into URL-safe text; it opens only with the same `associated` bytes.
    fn seal(&self, associated: &[u8], plain: &[u8]) -> Option<String>;

    /// Opens what [`Self::seal`] made; `None` for anything else.
    fn open(&self, associated: &[u8], sealed: &str) -> Option<Vec<u8>>;
}
