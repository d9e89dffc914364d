//! Answers and cancellations that reach another process than the one they are for.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use parking_lot::Mutex;
use protocol::{ClientAnswer, SessionKey, Sessions as _};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

use super::{
    SharedSessions,
    word::{Keys, Letter, Name, Word},
};

/// How long it is known who asked: longer than a client may take to answer.
const ASKED_FOR: Duration = Duration::from_secs(15 * 60);

/// How long an answer lies ready.
const READY_FOR: Duration = Duration::from_secs(10);

/// How long the one who brings an answer waits to hear whether it was awaited: three looks of who asked.
const REPLY_WITHIN: Duration = Duration::from_secs(4);

/// How often it is looked whether the reply is written, in case it isn't heard.
const REPLY_LOOK: Duration = Duration::from_millis(500);

/// How many answers may wait for replies; others are refused.
const MOST_WAITING: usize = 1024;

/// How many answers are remembered as handed over.
const MOST_HANDED: usize = 1024;

/// How large what lies in the memory may be; bytes.
const MAX_LETTER_BYTES: usize = 4 * 1024 * 1024;

/// For how long a cancellation is found by who wasn't told of it.
const CANCELLED_FOR: Duration = Duration::from_secs(10);

/// How many cancellations of a session are kept.
const MOST_CANCELLED: u32 = 64;

/// How long the name of a request may be to be written down; bytes.
const MAX_REQUEST_BYTES: usize = 2048;

/// Answers on their way.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// Who waits for a reply, by ticket.
    waiting: Mutex<HashMap<String, oneshot::Sender<bool>>>,
    /// The tickets of those that were handed over here, the oldest first.
    handed: Mutex<VecDeque<String>>,
}

impl Letters {
    fn wait(&self, ticket: &str) -> Option<oneshot::Receiver<bool>> {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= MOST_WAITING {
            waiting.retain(|_, waiter| !waiter.is_closed());
        }
        if waiting.len() >= MOST_WAITING {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        waiting.insert(ticket.to_owned(), sender);
        Some(receiver)
    }

    /// Hears what became of an answer.
    pub(super) fn hear(&self, ticket: &str, was_awaited: bool) {
        if let Some(waiter) = self.waiting.lock().remove(ticket) {
            // Who waited has given up.
            let _gone = waiter.send(was_awaited);
        }
    }

    /// Notes that an answer is being handed over; tells whether it is the first time.
    fn begin_to_hand(&self, ticket: &str) -> bool {
        let mut handed = self.handed.lock();
        if handed.iter().any(|other| other == ticket) {
            return false;
        }
        if handed.len() >= MOST_HANDED {
            handed.pop_front();
        }
        handed.push_back(ticket.to_owned());
        true
    }
}

impl SharedSessions {
    /// Lets the other processes know that this one asked.
    pub(super) async fn sign_question(&self, session: SessionKey, question: &str) {
        if let Some(key) = Keys::asker(session, question) {
            // While the memory is away, the question can be answered in this process only.
            let _away = self.memory().set(&key, self.process.as_bytes(), ASKED_FOR).await;
        }
    }

    /// Hands an answer to the process that asked; tells whether it was awaited there, `false` when it doesn't say so in time.
    pub(super) async fn send_answer(
        &self,
        session: SessionKey,
        question: &str,
        answer: ClientAnswer,
    ) -> bool {
        let Some(asker) = self.asker_of(session, question).await else {
            return false;
        };
        let ticket = self.fresh_name();
        let Ok(letter) = serde_json::to_vec(&Letter::new(ticket.clone(), answer)) else {
            return false;
        };
        let key = Keys::letter(session, question);
        if letter.len() > MAX_LETTER_BYTES || self.memory().set(&key, &letter, READY_FOR).await.is_err() {
            return false;
        }
        let Some(reply) = self.letters.wait(&ticket) else {
            return false;
        };
        let word = Word::Answer {
            session: Name(session),
            question: question.to_owned(),
            asker,
            ticket: ticket.clone(),
        };
        self.say(&word);
        let replied = self.wait_for_reply(&ticket, reply).await;
        self.letters.hear(&ticket, false);
        if replied.is_none() {
            // What was not taken in time is not to be taken any more.
            let _away = self.memory().remove(&key).await;
        }
        replied.unwrap_or(false)
    }

    /// The other process that asked.
    async fn asker_of(&self, session: SessionKey, question: &str) -> Option<String> {
        let signed = self.memory().get(&Keys::asker(session, question)?).await;
        let asker = String::from_utf8(signed.ok()??).ok()?;
        // This one waits no longer, or the answer would be there.
        (asker != self.process).then_some(asker)
    }

    async fn wait_for_reply(&self, ticket: &str, mut reply: oneshot::Receiver<bool>) -> Option<bool> {
        let until = Instant::now() + REPLY_WITHIN;
        while Instant::now() < until {
            if let Ok(replied) = timeout(REPLY_LOOK, &mut reply).await {
                return replied.ok();
            }
            if let Ok(Some(written)) = self.memory().get(&Keys::taken(ticket)).await {
                return Some(written == b"1");
            }
        }
        None
    }

    /// Takes an answer that another process has for this one.
    pub(super) async fn fetch_answer(&self, session: SessionKey, question: &str) {
        let key = Keys::letter(session, question);
        let Ok(Some(letter)) = self.memory().get(&key).await else {
            return;
        };
        let Ok(letter) = serde_json::from_slice::<Letter>(&letter) else {
            return;
        };
        let ticket = letter.ticket.clone();
        if self.letters.begin_to_hand(&ticket) {
            let was_awaited = self.local.answer(session, question, letter.answer()).await;
            self.reply(&ticket, was_awaited).await;
            let _away = self.memory().remove(&key).await;
        }
    }

    /// Hears of an answer, which may be for a question of this process.
    pub(super) async fn hear_answer(&self, session: SessionKey, question: &str, ticket: &str) {
        if self.local.is_asked(session, question) {
            self.fetch_answer(session, question).await;
        } else if self.letters.begin_to_hand(ticket) {
            self.reply(ticket, false).await;
        }
    }

    /// Tells what became of an answer, and writes it down in case that isn't heard.
    async fn reply(&self, ticket: &str, was_awaited: bool) {
        let word = Word::Taken {
            ticket: ticket.to_owned(),
            was_awaited,
        };
        self.say(&word);
        let written: &[u8] = if was_awaited { b"1" } else { b"0" };
        let _away = self.memory().set(&Keys::taken(ticket), written, READY_FOR).await;
    }

    /// Cancels requests wherever they run.
    pub(super) async fn cancel_everywhere(&self, session: SessionKey, request: &str) {
        let was_here = self.local.cancel_here(session, request);
        let word = Word::Cancel {
            session: Name(session),
            request: request.to_owned(),
        };
        if !was_here && request.len() <= MAX_REQUEST_BYTES {
            let set = Keys::cancelled(session);
            // A cancellation is a wish: when it can't be written, it may still be heard.
            let added = self
                .memory()
                .add_member(&set, request, MOST_CANCELLED, CANCELLED_FOR);
            let _away = added.await;
        }
        self.say(&word);
    }

    /// Hears that requests are cancelled.
    pub(super) async fn hear_cancelled(&self, session: SessionKey, request: &str) {
        if self.local.cancel_here(session, request) {
            // Another request may have this name later.
            let _away = self
                .memory()
                .remove_member(&Keys::cancelled(session), request)
                .await;
        }
    }

    /// Looks for cancellations of a session that weren't heard.
    pub(super) async fn look_for_cancelled(&self, session: SessionKey) -> model::Result<()> {
        for request in self.memory().members(&Keys::cancelled(session)).await? {
            self.hear_cancelled(session, &request).await;
        }
        Ok(())
    }
}
