//! The texts of a task, read once at the edge.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Error, Result};

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident: $max:literal, $accepts:expr, $pattern:literal, $says:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The most characters that it has.
            pub const MAX_CHARS: usize = $max;
            /// The accepted texts of at most [`Self::MAX_CHARS`], as a regular expression in the dialect of JSON
            /// Schema (ECMA-262).
            pub const PATTERN: &'static str = $pattern;

            /// Reads a text; it is kept as it is given.
            ///
            /// # Errors
            /// `Invalid`, without a path.
            pub fn parse(text: &str) -> Result<Self> {
                let accepts: fn(char) -> bool = $accepts;
                let length_fits = text.chars().count() <= Self::MAX_CHARS;
                if length_fits && text.chars().any(|character| character != ' ') && text.chars().all(accepts) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(Error::invalid("", $says))
                }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(de::Error::custom)
            }
        }
    )*};
}

texts! {
    /// What a task is called: 1 to 200 characters, no control characters, not only spaces.
    TaskTitle: 200, |character| !character.is_control(),
        r"^ *[^\u0000-\u0020\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$",
        "must have 1 to 200 characters, not only spaces, and no control characters";
    /// More about a task: 1 to 10,000 characters, no control characters but tabs and line ends.
    TaskDescription: 10_000, |character| !character.is_control() || matches!(character, '\t' | '\n' | '\r'),
        r"^ *[^\u0000-\u0008\u000b\u000c\u000e-\u0020\u007f-\u009f][^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$",
        "must have 1 to 10,000 characters, not only spaces, and no control characters but tabs and line ends";
    /// A word to find tasks by: 1 to 64 characters, no control characters, not only spaces.
    Tag: 64, |character| !character.is_control(),
        r"^ *[^\u0000-\u0020\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$",
        "must have 1 to 64 characters, not only spaces, and no control characters";
    /// Says that two tasks are the same work: 1 to 255 characters, no control characters, not only spaces.
    UniqueKey: 255, |character| !character.is_control(),
        r"^ *[^\u0000-\u0020\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$",
        "must have 1 to 255 characters, not only spaces, and no control characters";
}

/// The tags of a task: at most 20, each once, in the order of their characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tags(BTreeSet<Tag>);

impl Tags {
    /// The most tags that a task has.
    pub const MOST: usize = 20;

    /// Takes tags; one that is given twice counts once.
    ///
    /// # Errors
    /// `Invalid`, without a path, for more than 20.
    pub fn new(tags: impl IntoIterator<Item = Tag>) -> Result<Self> {
        let tags: BTreeSet<_> = tags.into_iter().collect();
        if tags.len() > Self::MOST {
            return Err(Error::invalid("", "must have at most 20 tags"));
        }
        Ok(Self(tags))
    }

    /// The tags, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Tag> {
        self.0.iter()
    }

    /// Tells whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Self::new(Vec::<Tag>::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("nightly report", true)]
    #[case("<script>alert(1)</script>", true)]
    #[case("", false)]
    #[case("   ", false)]
    #[case("a\u{0}b", false)]
    #[case("two\nlines", false)]
    fn c06_a_title_is_kept_as_given_or_refused(#[case] text: &str, #[case] is_accepted: bool) {
        match TaskTitle::parse(text) {
            Ok(title) => assert!(is_accepted && title.as_str() == text),
            Err(_) => assert!(!is_accepted),
        }
    }

    #[test]
    fn c06_a_text_longer_than_its_limit_is_refused() {
        assert!(TaskTitle::parse(&"ä".repeat(200)).is_ok());
        assert!(TaskTitle::parse(&"ä".repeat(201)).is_err());
        assert!(TaskDescription::parse("one\n\ttwo").is_ok());
    }

    #[test]
    fn a_tag_given_twice_counts_once_and_twenty_one_are_too_many() {
        let tag = |number: usize| Tag::parse(&format!("tag {number}")).unwrap();
        assert_eq!(Tags::new([tag(1), tag(1)]).unwrap().iter().count(), 1);
        assert!(Tags::new((0..20).map(tag)).is_ok());
        assert!(Tags::new((0..21).map(tag)).is_err());
    }
}
