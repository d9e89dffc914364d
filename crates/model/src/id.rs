//! Identifiers, and where they and random bytes come from.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// Hands out identifiers that grow with time within one process.
pub trait Ids: Send + Sync {
    /// A UUID of version 7 (RFC 9562 §5.7), greater than every one handed out before.
    fn next(&self) -> Uuid;
}

/// Fills buffers with bytes that nobody can guess.
pub trait Entropy: Send + Sync {
    /// Fills all of `bytes` from a cryptographically secure source.
    fn fill(&self, bytes: &mut [u8]);
}

/// Says that a text is no identifier: 36 characters, lower case, hyphenated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdError;

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be an identifier as this server returns them")
    }
}

impl std::error::Error for IdError {}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// An opaque text of 36 characters that sorts by creation time. Exactly one text form is accepted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Takes a fresh identifier.
            #[must_use]
            pub fn generate(ids: &dyn Ids) -> Self {
                Self(ids.next())
            }

            /// Takes an identifier over as it is.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The identifier as 128 bits.
            #[must_use]
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_canonical(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// Names a user.
    UserId;
    /// Names a session: a family of refresh tokens that began with one sign-in.
    SessionId;
    /// Names an API key; never the key itself.
    KeyId;
    /// Names one call of a plugin's action.
    ExecutionId;
    /// Names a task.
    TaskId;
    /// Names one run of one process that works on tasks.
    WorkerId;
    /// Names something that an account's owner should know about.
    SecurityEventId;
    /// Names one request, for the log and the caller.
    RequestId;
}

fn parse_canonical(text: &str) -> Result<Uuid, IdError> {
    let canonical = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    if !canonical {
        return Err(IdError);
    }
    Uuid::try_parse(text).map_err(|_| IdError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b06_only_the_canonical_text_form_is_an_identifier() {
        let canonical = "0199c0de-0000-7000-8000-00000000abcd";
        assert_eq!(canonical.parse::<UserId>().unwrap().to_string(), canonical);
        let others = [
            canonical.to_uppercase(),
            canonical.replace('-', ""),
            format!("{{{canonical}}}"),
            format!("urn:uuid:{canonical}"),
            format!("{canonical}\0"),
            "../etc/passwd".into(),
            "x".repeat(10_000),
            String::new(),
        ];
        for text in others {
            assert_eq!(text.parse::<UserId>(), Err(IdError), "{text:.60}");
        }
    }
}
