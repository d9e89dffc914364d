//! Keys derived from the server's secrets, and what is sealed or hashed with them.

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    constant_time, digest, hkdf, hmac,
};
use model::{Entropy, Error, Result, Secret};
use zeroize::Zeroizing;

/// The root of all sealing keys: HKDF-SHA-256 (RFC 5869) over the sealing secret.
pub(crate) struct SealingRoot {
    root: hkdf::Prk,
}

impl SealingRoot {
    pub(crate) fn new(secret: &Secret) -> Self {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"mcp-server sealing 1");
        Self {
            root: salt.extract(secret.expose().as_bytes()),
        }
    }

    /// Derives the key of one purpose, and of one `context` within it (empty when there is only one).
    ///
    /// # Errors
    /// `Bug` when the library refuses, which it has no reason to.
    pub(crate) fn derive(&self, purpose: &'static str, context: &[u8]) -> Result<Sealer> {
        let context = sha256(&[context]);
        let mut bytes = Zeroizing::new([0; 32]);
        let label = [purpose.as_bytes(), b"\0", &context];
        self.root
            .expand(&label, hkdf::HKDF_SHA256)
            .and_then(|key| key.fill(bytes.as_mut_slice()))
            .map_err(|_| Error::bug("a sealing key couldn't be derived"))?;
        let key = UnboundKey::new(&AES_256_GCM_SIV, bytes.as_slice())
            .map_err(|_| Error::bug("a sealing key has the wrong length"))?;
        Ok(Sealer {
            key: LessSafeKey::new(key),
        })
    }
}

/// Seals texts for one purpose: nobody else reads, changes or makes them.
///
/// AES-256-GCM-SIV (RFC 8452) with random nonces: a nonce that comes twice shows at most that two texts are equal.
pub(crate) struct Sealer {
    key: LessSafeKey,
}

impl Sealer {
    /// How many bytes a sealed text is longer than the plain one: nonce and tag.
    pub(crate) const OVERHEAD: usize = NONCE_LEN + 16;

    /// Seals `plain`; it opens only with the same `associated` bytes.
    ///
    /// # Errors
    /// `Bug` for more than the cipher's limit of 64 GiB.
    pub(crate) fn seal(&self, entropy: &dyn Entropy, associated: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        entropy.fill(&mut nonce);
        let mut sealed = Vec::with_capacity(plain.len() + Self::OVERHEAD);
        sealed.extend_from_slice(plain);
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(associated),
                &mut sealed,
            )
            .map_err(|_| Error::bug("a text couldn't be sealed"))?;
        // At the end, so that nothing has to move when it is opened.
        sealed.extend_from_slice(&nonce);
        Ok(sealed)
    }

    /// Opens what [`Self::seal`] made; `None` for anything else.
    pub(crate) fn open(&self, associated: &[u8], mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let (body, nonce) = sealed.split_last_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self
            .key
            .open_in_place(nonce, Aad::from(associated), body)
            .ok()?
            .len();
        sealed.truncate(length);
        Some(sealed)
    }
}

/// The SHA-256 of several parts one after the other. Parts of unequal lengths need their lengths among them.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let digest = match parts {
        // Without the context that the library allocates: every request has its credential hashed.
        [only] => digest::digest(&digest::SHA256, only),
        several => {
            let mut context = digest::Context::new(&digest::SHA256);
            for part in several {
                context.update(part);
            }
            context.finish()
        }
    };
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    hash
}

/// The HMAC-SHA-384 (RFC 2104) of `message`: 48 bytes.
pub(crate) fn hmac_sha384(key: &[u8], message: &[u8]) -> Zeroizing<Vec<u8>> {
    let key = hmac::Key::new(hmac::HMAC_SHA384, key);
    Zeroizing::new(hmac::sign(&key, message).as_ref().to_vec())
}

/// Compares in a time that depends on the lengths only.
pub(crate) fn is_equal(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter(std::sync::atomic::AtomicU8);

    impl Entropy for Counter {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        }
    }

    fn sealer(purpose: &'static str, context: &[u8]) -> Sealer {
        SealingRoot::new(&Secret::new("a secret of at least thirty-two bytes"))
            .derive(purpose, context)
            .unwrap()
    }

    #[test]
    fn a_sealed_text_opens_with_the_same_key_and_associated_bytes_only() {
        let entropy = Counter(0.into());
        let sealed = sealer("one", b"").seal(&entropy, b"for ada", b"text").unwrap();
        let open = |sealer: Sealer, associated: &[u8]| sealer.open(associated, sealed.clone());
        assert_eq!(open(sealer("one", b""), b"for ada").unwrap(), b"text");
        assert_eq!(open(sealer("one", b""), b"for bob"), None);
        assert_eq!(open(sealer("one", b"x"), b"for ada"), None);
        assert_eq!(open(sealer("two", b""), b"for ada"), None);
    }

    #[test]
    fn a_sealed_text_that_was_changed_or_cut_does_not_open() {
        let entropy = Counter(0.into());
        let sealer = sealer("one", b"");
        let sealed = sealer.seal(&entropy, b"", b"text").unwrap();
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert_eq!(sealer.open(b"", changed), None, "{position}");
            assert_eq!(sealer.open(b"", sealed[..position].to_vec()), None, "{position}");
        }
    }

    #[test]
    fn one_text_sealed_twice_looks_different() {
        let entropy = Counter(0.into());
        let sealer = sealer("one", b"");
        assert_ne!(
            sealer.seal(&entropy, b"", b"text").unwrap(),
            sealer.seal(&entropy, b"", b"text").unwrap()
        );
    }

    #[test]
    fn sha256_is_the_standard_one() {
        let hex = |hash: [u8; 32]| hash.map(|byte| format!("{byte:02x}")).concat();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(sha256(&[b"a", b"bc"])), expected);
        assert_eq!(hex(sha256(&[b"abc"])), expected);
    }

    #[test]
    fn a15_comparison_is_the_constant_time_one_of_the_library() {
        assert!(is_equal(b"same", b"same"));
        assert!(!is_equal(b"same", b"samf"));
        assert!(!is_equal(b"same", b"sam"));
    }
}
