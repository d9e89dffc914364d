//! Passwords: what is accepted, how it is stored, and how much of that work goes on at once.

use std::{
    str::FromStr as _,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use bcrypt::HashParts;
use model::{Entropy, Error, ErrorCode, Observation, Observer, PasswordHash, Result, Secret};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use crate::seal::hmac_sha384;

/// The fewest characters of a new password.
const MIN_CHARS: usize = 8;
/// The most bytes of a new password.
const MAX_BYTES: usize = 1024;
/// What bcrypt takes: 72 bytes, of which the last is the NUL that ends the text.
const BCRYPT_BYTES: usize = 71;
/// The costs that can be set, and the greatest that a stored hash may ask for.
const COSTS: std::ops::RangeInclusive<u32> = 4..=16;
/// Marks a stored hash whose password went through HMAC-SHA-384 first.
const PREHASHED: &str = "hmac-sha384$";
/// Keys that HMAC. Constant, since hashes must outlive every secret of the server; it only separates them from
/// plain SHA-384 values that other systems may have lost.
const PREHASH_LABEL: &[u8] = b"mcp-server password 1";

/// How many may wait for their turn, for each worker and at least. At 60 ms a hash (cost 10) a full room of 32
/// a worker is empty after two seconds.
const WAITING_PER_WORKER: usize = 32;
const MIN_WAITING: usize = 64;
/// How long anyone waits for its turn at most.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Hashes and checks passwords on blocking threads, as many at once as there are workers.
pub(crate) struct PasswordHasher {
    cost: u32,
    /// One permit for each hash that is being computed.
    workers: Arc<Semaphore>,
    /// One permit for each that is being computed or waits.
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    entropy: Arc<dyn Entropy>,
    observer: Arc<dyn Observer>,
}

/// The right to do one piece of password work; the next in line comes when it is dropped.
pub(crate) struct Turn {
    _room: OwnedSemaphorePermit,
    _worker: OwnedSemaphorePermit,
    waited: Duration,
}

/// What became of checking a password.
pub(crate) struct Verdict {
    /// Whether it is the right one.
    pub(crate) is_right: bool,
    /// The hash of the same password at the present cost, when it is right and was stored at a lower one.
    pub(crate) renewed: Option<PasswordHash>,
}

impl PasswordHasher {
    /// # Errors
    /// `Invalid` for a cost outside 4 to 16, and for no workers.
    pub(crate) fn new(
        cost: u8,
        workers: usize,
        tasks: TaskTracker,
        entropy: Arc<dyn Entropy>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self> {
        let cost = u32::from(cost);
        if !COSTS.contains(&cost) {
            return Err(Error::invalid("passwordCost", "must be from 4 to 16"));
        }
        // A semaphore has a limit of its own, far above any number of processors.
        if !(1..=1024).contains(&workers) {
            return Err(Error::invalid("passwordWorkers", "must be from 1 to 1024"));
        }
        let waiting = MIN_WAITING.max(workers * WAITING_PER_WORKER);
        Ok(Self {
            cost,
            workers: Arc::new(Semaphore::new(workers)),
            room: Arc::new(Semaphore::new(workers + waiting)),
            tasks,
            entropy,
            observer,
        })
    }

    /// Waits for a turn, 5 seconds at most.
    ///
    /// # Errors
    /// `Overloaded` when as many wait as can be held, and when the wait was too long.
    pub(crate) async fn await_turn(&self) -> Result<Turn> {
        let begun = Instant::now();
        let room = Arc::clone(&self.room)
            .try_acquire_owned()
            .map_err(|_| self.overloaded())?;
        let worker = tokio::time::timeout(MAX_WAIT, Arc::clone(&self.workers).acquire_owned());
        let Ok(Ok(worker)) = worker.await else {
            return Err(self.overloaded());
        };
        Ok(Turn {
            _room: room,
            _worker: worker,
            waited: begun.elapsed(),
        })
    }

    /// Hashes a password for storing.
    ///
    /// # Errors
    /// `Bug` when the library refuses, which it has no reason to.
    pub(crate) async fn hash(&self, turn: Turn, password: &Secret) -> Result<PasswordHash> {
        let (cost, salt, password) = (self.cost, self.salt(), copy(password));
        self.work(turn, move || hash(&password, cost, salt)).await?
    }

    /// Checks a password against a stored hash. Without one, and whatever the cost of the stored one, a wrong
    /// password takes the same work.
    ///
    /// # Errors
    /// `Bug` when the library refuses, which it has no reason to.
    pub(crate) async fn check(
        &self,
        turn: Turn,
        password: &Secret,
        stored: Option<&PasswordHash>,
    ) -> Result<Verdict> {
        let (cost, salt, password) = (self.cost, self.salt(), copy(password));
        let stored = stored.cloned();
        self.work(turn, move || check(&password, stored.as_ref(), cost, salt))
            .await?
    }

    /// Does `work` on a thread that may block, and keeps the turn until it is done, even when nobody waits for it.
    async fn work<T: Send + 'static>(
        &self,
        turn: Turn,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let observer = Arc::clone(&self.observer);
        let job = self.tasks.spawn_blocking(move || {
            let begun = Instant::now();
            let result = work();
            observer.observe(Observation::PasswordWork {
                waited: turn.waited,
                worked: begun.elapsed(),
            });
            drop(turn);
            result
        });
        job.await.map_err(Error::bug)
    }

    fn salt(&self) -> [u8; 16] {
        let mut salt = [0; 16];
        self.entropy.fill(&mut salt);
        salt
    }

    fn overloaded(&self) -> Error {
        self.observer.observe(Observation::PasswordWorkRefused);
        Error::new(
            ErrorCode::Overloaded,
            "too many passwords are being checked right now; try again in a few seconds",
        )
        .retry_after(MAX_WAIT)
    }
}

/// Passes for a password that can be set: at least 8 characters, at most 1,024 bytes.
///
/// # Errors
/// `Invalid` without a path, with the limit.
pub(crate) fn require_acceptable(password: &Secret) -> Result<()> {
    let text = password.expose();
    if text.chars().count() < MIN_CHARS {
        return Err(Error::invalid("", "must have at least 8 characters"));
    }
    if text.len() > MAX_BYTES {
        return Err(Error::invalid("", "must have at most 1,024 bytes"));
    }
    Ok(())
}

fn copy(password: &Secret) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(password.expose().as_bytes().to_vec())
}

/// Tells whether bcrypt takes every byte of the password into account.
fn fits_bcrypt(password: &[u8]) -> bool {
    password.len() <= BCRYPT_BYTES && !password.contains(&0)
}

/// Turns a password of any length and content into 64 characters that bcrypt takes all of.
fn prehash(password: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(STANDARD_NO_PAD.encode(hmac_sha384(PREHASH_LABEL, password).as_slice()))
}

fn hash(password: &[u8], cost: u32, salt: [u8; 16]) -> Result<PasswordHash> {
    let stored = if fits_bcrypt(password) {
        bcrypt::non_truncating_hash_with_salt(password, cost, salt).map(|parts| parts.to_string())
    } else {
        bcrypt::non_truncating_hash_with_salt(prehash(password).as_bytes(), cost, salt)
            .map(|parts| format!("{PREHASHED}{parts}"))
    };
    stored.map(PasswordHash::new).map_err(Error::bug)
}

fn check(password: &[u8], stored: Option<&PasswordHash>, cost: u32, salt: [u8; 16]) -> Result<Verdict> {
    let (is_right, stored_cost) = match stored {
        Some(stored) => compare(password, stored.as_str()),
        None => (false, None),
    };
    if !is_right {
        // Each cost doubles the work, so all costs from the stored one up add up to what is missing.
        let missing = stored_cost.map_or(cost..=cost, |stored| stored..=cost.saturating_sub(1));
        for cost in missing {
            let input = prehash(password);
            bcrypt::non_truncating_hash_with_salt(input.as_bytes(), cost, salt).map_err(Error::bug)?;
        }
        return Ok(Verdict {
            is_right,
            renewed: None,
        });
    }
    let is_outdated = stored_cost.is_some_and(|stored| stored < cost);
    let renewed = if is_outdated {
        Some(hash(password, cost, salt)?)
    } else {
        None
    };
    Ok(Verdict { is_right, renewed })
}

/// Compares a password with a stored hash; gives the cost at which the work was done, `None` when none was.
fn compare(password: &[u8], stored: &str) -> (bool, Option<u32>) {
    let (plain, is_prehashed) = match stored.strip_prefix(PREHASHED) {
        Some(rest) => (rest, true),
        None => (stored, false),
    };
    let cost = HashParts::from_str(plain).ok().map(|parts| parts.get_cost());
    let Some(cost) = cost.filter(|cost| COSTS.contains(cost)) else {
        tracing::error!("a stored password hash can't be used");
        return (false, None);
    };
    let is_taken_as_it_is = !is_prehashed && fits_bcrypt(password);
    let matches = if is_taken_as_it_is {
        bcrypt::non_truncating_verify(password, plain)
    } else {
        bcrypt::non_truncating_verify(prehash(password).as_bytes(), plain)
    };
    // What bcrypt would have cut off was never stored as it is; the work is done all the same.
    let is_of_one_form = is_prehashed || is_taken_as_it_is;
    (matches.unwrap_or(false) && is_of_one_form, Some(cost))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const COST: u32 = 4;
    const SALT: [u8; 16] = [7; 16];

    fn is_right(password: &[u8], stored: &PasswordHash) -> bool {
        check(password, Some(stored), COST, SALT).unwrap().is_right
    }

    #[rstest]
    #[case::shortest(b"12345678".to_vec())]
    #[case::longest_that_bcrypt_takes(vec![b'a'; 71])]
    #[case::one_longer(vec![b'a'; 72])]
    #[case::two_longer(vec![b'a'; 73])]
    #[case::longest(vec![b'a'; 1024])]
    #[case::nul_inside(b"before\0after".to_vec())]
    #[case::nul_at_the_end(b"12345678\0".to_vec())]
    #[case::emoji("\u{1f511}".repeat(8).into_bytes())]
    #[case::emoji_beyond_bcrypt("\u{1f511}".repeat(18).into_bytes())]
    fn a05_a24_every_byte_of_a_password_matters(#[case] password: Vec<u8>) {
        let stored = hash(&password, COST, SALT).unwrap();
        assert!(is_right(&password, &stored));
        let (positions, length) = (0..password.len(), password.len());
        for position in positions.filter(|p| length < 100 || p % 97 == 0 || *p > length - 3) {
            let mut changed = password.clone();
            changed[position] ^= 1;
            assert!(!is_right(&changed, &stored), "changed at {position}");
        }
        assert!(!is_right(&password[..length - 1], &stored), "cut");
        assert!(!is_right(&[&password[..], b"x"].concat(), &stored), "longer");
        assert!(
            !is_right(&[&password[..], b"\0"].concat(), &stored),
            "longer by a NUL"
        );
    }

    #[test]
    fn a24_a_plain_hash_of_72_bytes_does_not_open_to_what_begins_alike() {
        // What a library that cuts at 72 bytes would have stored.
        let cut = bcrypt::hash_with_salt([b'a'; 100], COST, SALT)
            .unwrap()
            .to_string();
        let stored = PasswordHash::new(cut);
        assert!(!is_right(&[b'a'; 72], &stored));
        assert!(!is_right(&[b'a'; 100], &stored));
    }

    #[test]
    fn long_passwords_are_marked_and_short_ones_are_plain_bcrypt() {
        let short = hash(&[b'a'; 71], COST, SALT).unwrap();
        let long = hash(&[b'a'; 72], COST, SALT).unwrap();
        assert!(short.as_str().starts_with("$2b$04$"), "{}", short.as_str());
        assert!(
            long.as_str().starts_with("hmac-sha384$$2b$04$"),
            "{}",
            long.as_str()
        );
    }

    #[rstest]
    #[case("$2a$")]
    #[case("$2b$")]
    #[case("$2y$")]
    fn hashes_of_other_systems_are_taken_over(#[case] version: &str) {
        let own = hash(b"correct horse", COST, SALT).unwrap();
        let foreign = PasswordHash::new(own.as_str().replacen("$2b$", version, 1));
        assert!(is_right(b"correct horse", &foreign));
        assert!(!is_right(b"correct horsf", &foreign));
    }

    #[rstest]
    #[case("")]
    #[case("$2b$31$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]
    #[case("hmac-sha384$")]
    #[case("plain text")]
    #[case("$2b$04$\u{e9}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]
    fn a_stored_hash_that_is_none_opens_to_nothing(#[case] stored: &str) {
        let stored = PasswordHash::new(stored);
        assert!(!is_right(b"", &stored));
        assert!(!is_right(b"plain text", &stored));
    }

    #[test]
    fn a_hash_of_a_lower_cost_is_renewed_when_the_password_is_right() {
        let stored = hash(b"correct horse", 4, SALT).unwrap();
        let verdict = check(b"correct horse", Some(&stored), 5, SALT).unwrap();
        let renewed = verdict.renewed.unwrap();
        assert!(renewed.as_str().starts_with("$2b$05$"));
        assert!(is_right(b"correct horse", &renewed));
        assert!(check(b"wrong", Some(&stored), 5, SALT).unwrap().renewed.is_none());
        let current = check(b"correct horse", Some(&stored), 4, SALT).unwrap();
        assert!(current.is_right && current.renewed.is_none());
    }

    #[rstest]
    #[case::too_short("1234567".into(), Some("8 characters"))]
    #[case::shortest("12345678".into(), None)]
    #[case::characters_count_not_bytes("\u{1f511}".repeat(7), Some("8 characters"))]
    #[case::longest("a".repeat(1024), None)]
    #[case::too_long("a".repeat(1025), Some("1,024 bytes"))]
    fn a05_the_limits_are_named(#[case] password: String, #[case] limit: Option<&str>) {
        let refusal = require_acceptable(&Secret::new(password)).err();
        assert_eq!(refusal.is_some(), limit.is_some());
        if let (Some(refusal), Some(limit)) = (refusal, limit) {
            assert!(refusal.message().contains(limit), "{refusal}");
        }
    }
}
