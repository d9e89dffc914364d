//! Accounts and the port that keeps them.

use std::{fmt, str::FromStr};

use async_trait::async_trait;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization as _;

use crate::{
    error::{Error, Result},
    id::{SessionId, UserId},
    page::{Page, PageRequest},
    role::Role,
    secret::PasswordHash,
    security::SecurityEvent,
    time::Timestamp,
};

/// A text brought into the form in which names are compared.
///
/// Two texts that differ in case, in Unicode form (full width, composed or not), in a dotless or dotted
/// i, or in spaces around them have the same folded form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FoldedText(String);

impl FoldedText {
    /// Folds a text: NFKC, upper and then lower case, NFKC again, without U+0307.
    #[must_use]
    pub fn of(text: &str) -> Self {
        const COMBINING_DOT_ABOVE: char = '\u{307}';
        let compatible: String = text.trim().nfkc().collect();
        // Upper case first: the dotless i has the upper case I, whose lower case is the dotted i.
        let one_case = compatible.to_uppercase().to_lowercase();
        Self(
            one_case
                .nfkd()
                .filter(|c| *c != COMBINING_DOT_ABOVE)
                .nfkc()
                .collect::<String>()
                .trim()
                .to_owned(),
        )
    }

    /// The folded form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The letters and digits of names, beside the ASCII ones, as ranges of the basic plane: the name characters
/// of XML 1.0 (§2.3) without those that can't be seen.
const LETTERS: [(char, char); 20] = [
    ('\u{c0}', '\u{d6}'),
    ('\u{d8}', '\u{f6}'),
    ('\u{f8}', '\u{2ff}'),
    ('\u{370}', '\u{37d}'),
    ('\u{37f}', '\u{61b}'),
    ('\u{61d}', '\u{115e}'),
    ('\u{1161}', '\u{167f}'),
    ('\u{1681}', '\u{17b3}'),
    ('\u{17b6}', '\u{180a}'),
    ('\u{1810}', '\u{1fff}'),
    ('\u{2c00}', '\u{2fef}'),
    ('\u{3005}', '\u{3007}'),
    ('\u{3021}', '\u{3163}'),
    ('\u{3165}', '\u{d7ff}'),
    ('\u{f900}', '\u{fdcf}'),
    ('\u{fe70}', '\u{fefc}'),
    ('\u{ff10}', '\u{ff19}'),
    ('\u{ff21}', '\u{ff3a}'),
    ('\u{ff41}', '\u{ff5a}'),
    ('\u{ff66}', '\u{ff9f}'),
];

/// [`LETTERS`] and the ASCII ones, as they stand in a class of a regular expression.
macro_rules! letters {
    () => {
        concat!(
            r"A-Za-z0-9\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u061b\u061d-\u115e",
            r"\u1161-\u167f\u1681-\u17b3\u17b6-\u180a\u1810-\u1fff\u2c00-\u2fef\u3005-\u3007\u3021-\u3163",
            r"\u3165-\ud7ff\uf900-\ufdcf\ufe70-\ufefc\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\uff66-\uff9f"
        )
    };
}

/// The accents that [`is_mark`] names, as they stand in a class of a regular expression.
macro_rules! marks {
    () => {
        r"\u0300-\u034e\u0350-\u036f"
    };
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || LETTERS.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

/// Tells whether `c` is an accent that follows its letter (decomposed forms are names too).
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{34e}' | '\u{350}'..='\u{36f}')
}

/// An e-mail address: at most 254 characters, spaces around it removed, otherwise kept as given.
///
/// The accepted form is `local@domain`: a local part of 1 to 64 characters as in RFC 5321 §4.1.2 without
/// quoted parts, dots anywhere; a domain of labels of 1 to 63 letters, digits and inner hyphens. Letters may
/// be of any script (RFC 6531).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// The most characters that an address has (RFC 5321 §4.5.3.1.3, less the angle brackets), spaces around
    /// it included.
    pub const MAX_CHARS: usize = 254;

    /// The accepted texts of at most [`Self::MAX_CHARS`], as a regular expression in the dialect of JSON
    /// Schema (ECMA-262).
    pub const PATTERN: &'static str = concat!(
        "^ *[",
        letters!(),
        marks!(),
        "!#$%&'*+/=?^_`{|}~.-]{1,64}@[",
        letters!(),
        "](?:[",
        letters!(),
        marks!(),
        "-]{0,61}[",
        letters!(),
        marks!(),
        r"])?(?:\.[",
        letters!(),
        "](?:[",
        letters!(),
        marks!(),
        "-]{0,61}[",
        letters!(),
        marks!(),
        "])?)* *$",
    );

    /// Reads an address.
    ///
    /// # Errors
    /// `Invalid`, without a path.
    pub fn parse(text: &str) -> Result<Self> {
        let address = text.trim_matches(' ');
        let is_address = text.chars().count() <= Self::MAX_CHARS
            && address
                .rsplit_once('@')
                .is_some_and(|(local, domain)| is_local_part(local) && domain.split('.').all(is_label));
        if is_address {
            Ok(Self(address.to_owned()))
        } else {
            Err(Error::invalid(
                "",
                "must be an e-mail address of at most 254 characters, such as ada@example.org",
            ))
        }
    }

    /// The address as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which addresses are compared.
    #[must_use]
    pub fn folded(&self) -> FoldedText {
        FoldedText::of(&self.0)
    }
}

fn is_local_part(text: &str) -> bool {
    const MAX_CHARS: usize = 64;
    (1..=MAX_CHARS).contains(&text.chars().count())
        && text
            .chars()
            .all(|c| is_letter(c) || is_mark(c) || "!#$%&'*+/=?^_`{|}~.-".contains(c))
}

fn is_label(text: &str) -> bool {
    const MAX_CHARS: usize = 63;
    (1..=MAX_CHARS).contains(&text.chars().count())
        && text.starts_with(is_letter)
        && !text.ends_with('-')
        && text.chars().all(|c| is_letter(c) || is_mark(c) || c == '-')
}

/// A user name: 1 to 64 characters, letters and digits of any script, `.`, `_` and `-`; spaces around it
/// removed, though they count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// The most characters that a user name has.
    pub const MAX_CHARS: usize = 64;

    /// The accepted texts of at most [`Self::MAX_CHARS`], as a regular expression in the dialect of JSON
    /// Schema (ECMA-262).
    pub const PATTERN: &'static str = concat!("^ *[", letters!(), "][", letters!(), marks!(), "._-]* *$");

    /// Reads a user name.
    ///
    /// # Errors
    /// `Invalid`, without a path.
    pub fn parse(text: &str) -> Result<Self> {
        let name = text.trim_matches(' ');
        let characters_fit = name
            .chars()
            .all(|c| is_letter(c) || is_mark(c) || matches!(c, '.' | '_' | '-'));
        if characters_fit && name.starts_with(is_letter) && text.chars().count() <= Self::MAX_CHARS {
            Ok(Self(name.to_owned()))
        } else {
            let message = "must have 1 to 64 letters, digits, dots, underscores or hyphens, and begin with a letter or digit";
            Err(Error::invalid("", message))
        }
    }

    /// The name as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which names are compared.
    #[must_use]
    pub fn folded(&self) -> FoldedText {
        FoldedText::of(&self.0)
    }
}

macro_rules! parsed_text {
    ($($name:ident),*) => {$(
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

parsed_text!(Email, Username);

/// An account.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Its name for programs.
    pub id: UserId,
    /// Unique by its folded form.
    pub email: Email,
    /// Unique by its folded form.
    pub username: Username,
    /// What it may do.
    pub role: Role,
    /// Whether it may do anything at all.
    pub is_active: bool,
    /// Whether its owner has shown that the address is theirs.
    pub is_email_verified: bool,
    /// When it last signed in.
    pub last_login: Option<Timestamp>,
    /// What its owner keeps with it; bounded by the verb that takes it.
    pub metadata: Option<Map<String, Value>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed; a sign-in is no change.
    pub updated_at: Timestamp,
}

/// An account together with what opens it.
#[derive(Clone, Debug)]
pub struct Account {
    /// The account.
    pub user: User,
    /// What its password is checked against.
    pub password_hash: PasswordHash,
}

/// An account about to be made.
pub type NewAccount = Account;

/// A password about to take the place of another.
#[derive(Clone, Debug)]
pub struct PasswordReplacement {
    /// What the new password is checked against.
    pub hash: PasswordHash,
    /// The stored hash that it takes the place of; `None` for whichever there is.
    pub replaced: Option<PasswordHash>,
    /// The session that goes on; `None` when all end.
    pub kept: Option<SessionId>,
    /// Under what wrong passwords were counted (see [`crate::SessionStore`]) that don't count any more.
    pub counted_as: FoldedText,
}

/// What changes of an account; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// A new address; it is unverified then.
    pub email: Option<Email>,
    /// A new name.
    pub username: Option<Username>,
    /// New metadata in place of the old; `Some(None)` removes it.
    pub metadata: Option<Option<Map<String, Value>>>,
    /// A new role.
    pub role: Option<Role>,
    /// Active or not.
    pub is_active: Option<bool>,
}

/// Which accounts a list holds.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// Only those with this role.
    pub role: Option<Role>,
    /// Only active or only inactive ones.
    pub is_active: Option<bool>,
    /// Only those whose folded address or name contains this text, literally.
    pub contains: Option<FoldedText>,
}

/// By what a list of accounts can be sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UserSort {
    /// Time of creation (the id).
    CreatedAt,
    /// Folded address.
    Email,
    /// Folded name.
    Username,
}

/// How many accounts there are, and what they did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserOverview {
    /// All accounts.
    pub total: u64,
    /// Those that are active.
    pub active: u64,
    /// By role, in the order of [`Role::ALL`].
    pub by_role: [u64; 3],
    /// For each day of the span asked for, oldest first, without gaps.
    pub days: Vec<DailyUsers>,
}

/// One day's new and active accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DailyUsers {
    /// The day's first millisecond in UTC.
    pub day: Timestamp,
    /// Accounts made on that day.
    pub new: u64,
    /// Accounts that signed in, renewed a session or used a key on that day.
    pub active: u64,
}

/// Keeps accounts. Each method is one atomic, durable step.
#[async_trait]
pub trait UserStore: Send + Sync {
    /// Adds an account.
    ///
    /// # Errors
    /// `AlreadyExists` when another account has the folded e-mail or user name; the detail's path says
    /// which. `Unavailable` when the store can't be reached.
    async fn create_user(&self, account: &NewAccount) -> Result<()>;

    /// Adds an account on the condition that no admin exists, active or not.
    ///
    /// # Errors
    /// `Conflict` when an admin exists; else as [`Self::create_user`].
    async fn create_first_admin(&self, account: &NewAccount) -> Result<()>;

    /// Tells whether any admin exists, active or not.
    async fn has_admin(&self) -> Result<bool>;

    /// Looks an account up by id.
    async fn find_user(&self, id: UserId) -> Result<Option<User>>;

    /// Looks an account up by id, with what opens it.
    async fn find_account(&self, id: UserId) -> Result<Option<Account>>;

    /// Looks an account up by its folded e-mail, with what opens it.
    async fn find_account_by_email(&self, email: &FoldedText) -> Result<Option<Account>>;

    /// Lists accounts.
    async fn list_users(&self, filter: &UserFilter, page: &PageRequest<UserSort>) -> Result<Page<User>>;

    /// Changes an account and gives it as it is afterwards; `None` when there is none. One that is made
    /// inactive loses its sessions.
    ///
    /// # Errors
    /// `AlreadyExists` as for [`Self::create_user`]. `LastAdmin` when the change would leave no active
    /// admin; decided in the same step, so two changes at once can't remove two admins each.
    async fn update_user(&self, id: UserId, change: &UserChange, now: Timestamp) -> Result<Option<User>>;

    /// Deletes an account with its sessions, keys, and what counts its failed sign-ins; gives what was
    /// deleted. The history of its calls stays.
    ///
    /// # Errors
    /// `LastAdmin` as for [`Self::update_user`].
    async fn delete_user(&self, id: UserId) -> Result<Option<User>>;

    /// Sets a password: ends all sessions but the kept one, revokes all keys, forgets the wrong passwords
    /// that were counted, and keeps `event`.
    ///
    /// Gives false, and does nothing, when the account is gone, its hash is no longer the replaced one, or the
    /// session to be kept has ended.
    async fn set_password(
        &self,
        id: UserId,
        password: &PasswordReplacement,
        event: &SecurityEvent,
    ) -> Result<bool>;

    /// Counts accounts for the `days` days that end with the day of `now`.
    async fn user_overview(&self, now: Timestamp, days: u16) -> Result<UserOverview>;
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::other_case("ADA")]
    #[case::full_width("ａｄａ")]
    #[case::spaces_around("  ada ")]
    fn a03_texts_that_look_alike_have_one_folded_form(#[case] text: &str) {
        assert_eq!(FoldedText::of(text), FoldedText::of("ada"));
    }

    #[rstest]
    #[case("dotless ı", "DOTLESS I")]
    #[case("İstanbul", "istanbul")]
    #[case("cafe\u{301}", "CAFÉ")]
    #[case("straße", "STRASSE")]
    fn a03_letters_with_unusual_cases_are_folded_too(#[case] one: &str, #[case] other: &str) {
        assert_eq!(FoldedText::of(one), FoldedText::of(other));
    }

    #[rstest]
    #[case("ada@example.org", true)]
    #[case("ada+tag@example.co.uk", true)]
    #[case("ünïcode@exämple.org", true)]
    #[case("ada@localhost", true)]
    #[case("ada", false)]
    #[case("@example.org", false)]
    #[case("ada@", false)]
    #[case("a b@example.org", false)]
    #[case("a@b@example.org", false)]
    #[case("ada@-example.org", false)]
    #[case("ada@exa mple.org", false)]
    #[case("ada\0@example.org", false)]
    #[case("ada@example..org", false)]
    fn email_accepts_addresses_only(#[case] text: &str, #[case] is_accepted: bool) {
        assert_eq!(Email::parse(text).is_ok(), is_accepted);
    }

    #[rstest]
    #[case("ada", true)]
    #[case("Ада.Лавлейс-1", true)]
    #[case("", false)]
    #[case("  ", false)]
    #[case("a b", false)]
    #[case("a\u{202e}b", false)]
    #[case("a\u{0}", false)]
    #[case("<b>", false)]
    fn c06_username_accepts_letters_digits_and_three_signs(#[case] text: &str, #[case] is_accepted: bool) {
        assert_eq!(Username::parse(text).is_ok(), is_accepted);
    }
}
