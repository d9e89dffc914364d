//! What sessions are subscribed to, and who listens for them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use model::Result;
use parking_lot::Mutex;
use protocol::{Full, Interests, SessionKey, Sessions as _};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::{
    LOOK, SharedSessions,
    later::Write,
    word::{Keys, Name, Word},
    written::{self, Written},
};

/// How long a member of a set may be; bytes.
const MAX_MEMBER_BYTES: usize = 2048;

/// After how long without being asked for anything an ear counts as gone.
const GONE_AFTER: Duration = Duration::from_secs(300);

/// Who listens in this process, by session.
#[derive(Debug, Default)]
pub(super) struct Ears(Mutex<HashMap<SessionKey, Arc<Ear>>>);

/// One that listens.
#[derive(Debug)]
struct Ear {
    /// Its number among those of this process.
    number: u64,
    /// What it is called among all processes.
    name: String,
    /// All have been told.
    is_written: AtomicBool,
    /// When it was last made sure that it is the one, and to what.
    looked_at: Mutex<Option<Instant>>,
    /// When its listener last asked.
    asked_at: Mutex<Instant>,
    /// Something may have changed.
    nudge: Notify,
}

impl Ear {
    fn look_again_at(&self) -> Option<Instant> {
        self.looked_at.lock().map(|at| at + LOOK)
    }

    fn wake(&self) {
        *self.looked_at.lock() = None;
        self.nudge.notify_one();
    }
}

impl Ears {
    fn of(&self, session: SessionKey, number: u64) -> Option<Arc<Ear>> {
        let ear = self.0.lock().get(&session).cloned();
        ear.filter(|ear| ear.number == number)
    }

    /// Forgets who listens; tells whether somebody did.
    pub(super) fn remove(&self, session: SessionKey) -> bool {
        self.0.lock().remove(&session).is_some()
    }

    pub(super) fn wake(&self, session: SessionKey) {
        if let Some(ear) = self.0.lock().get(&session) {
            ear.wake();
        }
    }

    pub(super) fn wake_all(&self) {
        for ear in self.0.lock().values() {
            ear.wake();
        }
    }

    /// Forgets those that have gone without a word.
    pub(super) fn sweep(&self) {
        let is_there = |ear: &Ear| ear.asked_at.lock().elapsed() < GONE_AFTER;
        self.0.lock().retain(|_, ear| is_there(ear));
    }
}

impl SharedSessions {
    pub(super) async fn add_interest(&self, session: SessionKey, uri: &str) -> Result<(), Full> {
        if self.local.standing(session).await.ended || written::subscription(uri).len() > MAX_MEMBER_BYTES {
            return Err(Full);
        }
        let write = Write::Subscribe {
            session,
            uri: uri.to_owned(),
        };
        match self.later.write(self.memory(), write).await {
            Some(false) => return Err(Full),
            Some(true) => {
                // All that counts is what is written; this is for when the memory goes away.
                let _no_room = self.local.subscribe(session, uri).await;
            }
            None => self.local.subscribe(session, uri).await?,
        }
        self.ears.wake(session);
        Ok(())
    }

    pub(super) async fn drop_interest(&self, session: SessionKey, uri: &str) {
        self.local.unsubscribe(session, uri).await;
        if written::subscription(uri).len() <= MAX_MEMBER_BYTES {
            let uri = uri.to_owned();
            let write = Write::Unsubscribe { session, uri };
            self.later.write(self.memory(), write).await;
        }
        self.ears.wake(session);
    }

    /// Begins to listen in this process, in place of whoever does anywhere.
    pub(super) async fn open_ear(&self, session: SessionKey) -> Result<u64, Full> {
        let number = self.local.listen(session).await?;
        let ear = Arc::new(Ear {
            number,
            name: self.fresh_name(),
            is_written: AtomicBool::new(false),
            looked_at: Mutex::new(None),
            asked_at: Mutex::new(Instant::now()),
            nudge: Notify::new(),
        });
        self.ears.0.lock().insert(session, Arc::clone(&ear));
        // What can't be written or read now is when it is looked at next.
        let _away = self.look(session, &ear).await;
        let word = Word::Listen {
            session: Name(session),
            ear: ear.name.clone(),
        };
        self.say(&word);
        Ok(number)
    }

    /// Hears that somebody listens elsewhere.
    pub(super) async fn hear_listening(&self, session: SessionKey, ear: &str) {
        let is_other = self
            .ears
            .0
            .lock()
            .get(&session)
            .is_some_and(|own| own.name != ear);
        if is_other {
            self.silence(session).await;
        }
    }

    async fn silence(&self, session: SessionKey) {
        if self.ears.remove(session) {
            // Who listened here is superseded by one who isn't there; when the session has ended it knows already.
            let _ended = self.local.listen(session).await;
        }
    }

    pub(super) async fn wait_for_interests(
        &self,
        session: SessionKey,
        listener: u64,
        seen: u64,
    ) -> Option<Interests> {
        loop {
            let Some(ear) = self.ears.of(session, listener) else {
                // Superseded, or as good as forgotten.
                return self.local.interests(session, listener, seen).await;
            };
            *ear.asked_at.lock() = Instant::now();
            let look_at = match ear.look_again_at() {
                Some(at) if Instant::now() < at => at,
                _ => {
                    match self.look(session, &ear).await {
                        Ok(true) => {}
                        Ok(false) => {
                            self.silence(session).await;
                            return None;
                        }
                        Err(_) => *ear.looked_at.lock() = Some(Instant::now()),
                    }
                    Instant::now() + LOOK
                }
            };
            tokio::select! {
                biased;
                interests = self.local.interests(session, listener, seen) => return interests,
                _nudged_or_due = timeout_at(look_at, ear.nudge.notified()) => {}
            }
        }
    }

    /// Makes what is known here of a session's subscriptions what is written; tells whether it is this one who listens.
    async fn look(&self, session: SessionKey, ear: &Ear) -> Result<bool> {
        let began_at = Instant::now();
        let memory = self.memory();
        self.later.catch_up(memory).await?;
        if !ear.is_written.load(Ordering::Acquire) {
            written::note_ear(memory, session, &ear.name).await?;
            ear.is_written.store(true, Ordering::Release);
        }
        let set = Keys::interests(session);
        let (written, members) = tokio::join!(Written::read(memory, session), memory.members(&set));
        let (written, members) = (written?, members?);
        if let Some(until_ms) = written.ended_until {
            self.end_here(session, until_ms).await;
            return Ok(false);
        }
        match written.ears.iter().max() {
            // The memory has lost it.
            None => ear.is_written.store(false, Ordering::Release),
            Some(_) if !written.ears.contains(&ear.name) => return Ok(false),
            Some(last) if *last > ear.name => return Ok(false),
            Some(_) => {}
        }
        self.follow(session, ear, &members).await?;
        *ear.looked_at.lock() = Some(began_at);
        Ok(true)
    }

    async fn follow(&self, session: SessionKey, ear: &Ear, members: &[String]) -> Result<()> {
        let here = self.local.interests(session, ear.number, 0).await;
        let here: BTreeSet<String> = here
            .map(|here| here.uris)
            .unwrap_or_default()
            .into_iter()
            .collect();
        if !members.iter().any(|member| member == written::MARK) {
            // Nothing was written ever, or all was lost.
            for uri in &here {
                written::note_subscription(self.memory(), session, uri).await?;
            }
            return Ok(());
        }
        let written: BTreeSet<String> = members
            .iter()
            .filter_map(|member| member.strip_prefix("u/").map(str::to_owned))
            .collect();
        for uri in here.difference(&written) {
            self.local.unsubscribe(session, uri).await;
        }
        for uri in written.difference(&here) {
            // What has no room here has ended.
            let _ended = self.local.subscribe(session, uri).await;
        }
        Ok(())
    }
}
