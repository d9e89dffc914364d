//! The `limit` of lists.

use model::PageLimit;
use serde::{Deserialize, Deserializer, de};

/// How many entries of a list are asked for: 1 to 100, 20 when it is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit(pub PageLimit);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let refuse = || de::Error::custom("must be a whole number from 1 to 100");
        let number = u16::deserialize(deserializer).map_err(|_: D::Error| refuse())?;
        PageLimit::new(number).map(Self).map_err(|_| refuse())
    }
}
