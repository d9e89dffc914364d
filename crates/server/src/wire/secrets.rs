//! The secrets that the server works with, whoever chose them, and their mark.

use aws_lc_rs::{hkdf, hmac};
use model::{Entropy, Error, Result, Secret};

use super::WireError;
use crate::config::Config;
use crate::config::secret::GeneratedSecrets;

/// Random or derived bytes in a secret.
const SECRET_BYTES: usize = 32;

/// What signs and what seals.
#[derive(Debug)]
pub(super) struct Secrets {
    /// Signs access tokens.
    pub(super) access_token: Secret,
    /// Signs refresh tokens.
    pub(super) refresh_token: Secret,
    /// Seals what clients carry for the server, such as cursors.
    pub(super) sealing: Secret,
}

impl Secrets {
    /// Takes those that were set, and those of the data directory for the rest; with a line for each thing that was put
    /// right there.
    ///
    /// With a shared store the sealing secret follows from the one that signs access tokens, so that processes which
    /// were given the same two secrets read what the others sealed. The data directory isn't touched when it isn't
    /// needed.
    pub(super) fn of(config: &Config, entropy: &dyn Entropy) -> Result<(Self, Vec<String>), WireError> {
        let is_shared = config.shared.mongodb_uri.is_some();
        let (access, refresh) = (&config.auth.jwt_secret, &config.auth.refresh_token_secret);
        if let (true, Some(access), Some(refresh)) = (is_shared, access, refresh) {
            let secrets = Self {
                access_token: access.clone(),
                refresh_token: refresh.clone(),
                sealing: derived_sealing(access)?,
            };
            return Ok((secrets, Vec::new()));
        }
        let (generated, warnings) = GeneratedSecrets::open(&config.data_dir, entropy)?;
        let access_token = access.clone().unwrap_or(generated.jwt);
        let secrets = Self {
            sealing: if is_shared {
                derived_sealing(&access_token)?
            } else {
                generated.sealing
            },
            access_token,
            refresh_token: refresh.clone().unwrap_or(generated.refresh_token),
        };
        Ok((secrets, warnings))
    }

    /// Makes secrets that nobody else knows and that are gone afterwards.
    pub(super) fn momentary(entropy: &dyn Entropy) -> Self {
        Self {
            access_token: random(entropy),
            refresh_token: random(entropy),
            sealing: random(entropy),
        }
    }

    /// Tells these secrets from others without telling anything of them.
    pub(super) fn mark(&self) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.sealing.expose().as_bytes());
        let mut context = hmac::Context::with_key(&key);
        context.update(b"mcp-server secrets 1\0");
        for secret in [&self.access_token, &self.refresh_token] {
            let text = secret.expose().as_bytes();
            context.update(&text.len().to_be_bytes());
            context.update(text);
        }
        let mut mark = [0; 32];
        for (to, from) in mark.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        mark
    }
}

/// HKDF-SHA-256 (RFC 5869) over the secret that signs access tokens, as a text of 64 hexadecimal digits.
fn derived_sealing(access_token: &Secret) -> Result<Secret> {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"mcp-server shared sealing 1");
    let root = salt.extract(access_token.expose().as_bytes());
    let mut bytes = [0; SECRET_BYTES];
    root.expand(&[b"sealing"], hkdf::HKDF_SHA256)
        .and_then(|key| key.fill(&mut bytes))
        .map_err(|_| Error::bug("the sealing secret couldn't be derived"))?;
    Ok(Secret::new(hexadecimal(&bytes)))
}

fn random(entropy: &dyn Entropy) -> Secret {
    let mut bytes = [0; SECRET_BYTES];
    entropy.fill(&mut bytes);
    Secret::new(hexadecimal(&bytes))
}

/// Two lower-case digits for each byte.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
