//! The clients: they submit, call off and look, while the server comes and goes.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::chaos::SUBMITTERS;
use crate::chaos::ledger::{Cancel, Entry, Fate, Ledger};
use crate::chaos::lives::Stage;
use crate::chaos::plan::{Batch, USERS};
use crate::clock;
use crate::dice::Dice;
use crate::request::{Reply, Request};

/// How long a client waits before it looks again whether there is something to do.
const PAUSE: Duration = Duration::from_millis(2);

/// How long a request is repeated when everything should be there.
const INSISTENCE: Duration = Duration::from_secs(30);

/// What may be answered at all: done, refused for what it says (by what depends on a task that has failed, or calls off
/// one that has ended), and what asks for another try. 0 stands for no answer.
const EXPECTED: [u16; 8] = [0, 200, 201, 409, 422, 502, 503, 504];

/// What an operator's requests carry.
#[derive(Clone, Debug)]
pub(super) struct Admin {
    pub(super) key: String,
}

/// The clients of one run.
pub(super) struct Driver<'a> {
    stage: Stage,
    ledger: &'a Ledger,
    batches: &'a [Batch],
    bearers: Vec<String>,
    admin: Admin,
    schedule: String,
    longest_pause_millis: u64,
    next: AtomicUsize,
    allowed: AtomicUsize,
    /// How many submitters have nothing more to submit.
    done: AtomicUsize,
    answers: Answers,
}

/// How often each answer came: by status, and 0 for a connection that broke or was refused.
type Answers = Mutex<BTreeMap<u16, usize>>;

/// What came of one try to send a request.
enum Sent {
    Answered(Reply),
    /// It never left.
    Unsent,
    /// It left, and no whole answer came.
    Lost,
}

impl<'a> Driver<'a> {
    /// Makes the accounts, and a recurring task with a tick every second.
    pub(super) fn begin(
        stage: Stage,
        ledger: &'a Ledger,
        batches: &'a [Batch],
        life: Duration,
    ) -> Result<Self> {
        let address = stage.current()?;
        let mut bearers = Vec::new();
        for number in 0..USERS {
            let account = json!({
                "email": format!("chaos{number}@chaos.example"),
                "username": format!("chaos-{number}"),
                "password": "correct horse battery staple",
            });
            let reply = Request::post("/api/v1/auth/register", &account).send(address)?;
            bearers.push(format!("Bearer {}", reply.text("/data/token")?));
        }
        let recurring = json!({
            "title": "chaos every second",
            "plugin": "journal",
            "action": "append",
            "payload": {"line": "tick"},
            "maxStalls": 50,
            "schedule": {"cron": "* * * * * *", "timezone": "UTC", "catchUp": "once"},
        });
        let first = bearers.first().map(String::as_str).unwrap_or_default();
        let reply = Request::post("/api/v1/tasks", &recurring)
            .header("Authorization", first)
            .send(address)?;
        let schedule = reply
            .text("/data/id")
            .context("the recurring task was not accepted")?;
        Ok(Self {
            admin: Admin {
                key: stage.admin_key.clone(),
            },
            stage,
            ledger,
            batches,
            bearers,
            schedule,
            longest_pause_millis: longest_pause_millis(batches.len(), life),
            next: AtomicUsize::new(0),
            allowed: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            answers: Answers::default(),
        })
    }

    /// What the operator's requests carry.
    pub(super) fn admin(&self) -> Admin {
        self.admin.clone()
    }

    /// Lets that share of all requests be sent that belongs to life `number` of `lives`, counted from 0: so that
    /// the kills find the server at work until the last one.
    pub(super) fn allow(&self, number: u32, lives: u32) {
        let share = f64::from(number + 1) / f64::from(lives + 1);
        let count = u32::try_from(self.batches.len()).unwrap_or(u32::MAX);
        let allowed = (0..count).take_while(|index| f64::from(*index) < share * f64::from(count));
        self.allowed.store(allowed.count(), Ordering::Relaxed);
    }

    /// Submits one request after another until all are sent; at a pace at which some are under way at each kill.
    pub(super) fn submit(&self, is_over: &AtomicBool, mut dice: Dice) {
        while !is_over.load(Ordering::Relaxed) {
            if self.next.load(Ordering::Relaxed) >= self.allowed.load(Ordering::Relaxed) {
                if self.next.load(Ordering::Relaxed) >= self.batches.len() {
                    break;
                }
                thread::sleep(PAUSE);
                continue;
            }
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(batch) = self.batches.get(index) else {
                break;
            };
            thread::sleep(dice.millis(0, self.longest_pause_millis));
            self.submit_batch(batch, is_over);
        }
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls tasks off when it is their time, until no more can come.
    pub(super) fn cancel(&self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            let all_sent = self.done.load(Ordering::Relaxed) >= SUBMITTERS;
            match self.ledger.next_to_cancel() {
                (Some(number), _) => self.cancel_task(number, is_over),
                (None, false) if all_sent => break,
                (None, _) => thread::sleep(PAUSE),
            }
        }
    }

    /// Looks at tasks at random: one that was shown as ended must never be shown otherwise.
    pub(super) fn watch(&self, is_over: &AtomicBool, mut dice: Dice) {
        while !is_over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
            let Some(batch) = dice.pick(self.batches) else {
                return;
            };
            let Some(id) = self.ledger.id(batch.first) else {
                continue;
            };
            let path = format!("/api/v1/tasks/{id}");
            let request = Request::get(&path).header("Authorization", self.bearer(batch.user));
            let Sent::Answered(reply) = self.send(&request) else {
                continue;
            };
            let Ok(status) = reply.text("/data/status") else {
                continue;
            };
            self.ledger.note(batch.first, |entry| see(entry, &status));
        }
    }

    /// Ends the recurring task, and with it the coming of new ones.
    pub(super) fn end_schedule(&self) -> Result<()> {
        let path = format!("/api/v1/tasks/{}/cancel", self.schedule);
        let request = Request::post_nothing(&path).header("Authorization", self.bearer(0));
        let reply = self.insist(&request).context("can't end the recurring task")?;
        match reply.status {
            // A first try may have been carried out and not answered.
            200 | 409 => Ok(()),
            _ => bail!("can't end the recurring task: {} {}", reply.status, reply.body),
        }
    }

    /// Submits a few tasks that are due at once.
    pub(super) fn submit_quietly(&self) -> Result<()> {
        let task = json!({
            "title": "chaos before a quiet start", "plugin": "journal", "action": "append", "maxStalls": 50,
        });
        let body = json!({ "tasks": vec![task; 10] });
        let request = Request::post("/api/v1/tasks/bulk", &body).header("Authorization", self.bearer(0));
        match self.send(&request) {
            Sent::Answered(reply) if reply.status == 201 => Ok(()),
            Sent::Answered(reply) => bail!("tasks were refused: {} {}", reply.status, reply.body),
            Sent::Unsent | Sent::Lost => bail!("tasks were sent, and no answer came"),
        }
    }

    /// How many tasks are pending or in progress.
    pub(super) fn unfinished(&self) -> Result<u64> {
        let mut total = 0;
        for status in ["pending", "in-progress"] {
            let path = format!("/api/v1/tasks?status={status}&limit=1");
            let request = Request::get(&path).header("X-API-Key", &self.admin.key);
            let reply = self.insist(&request).with_context(|| path.clone())?;
            total += reply
                .body
                .pointer("/page/total")
                .and_then(Value::as_u64)
                .with_context(|| format!("{path}: {} {}", reply.status, reply.body))?;
        }
        Ok(total)
    }

    fn submit_batch(&self, batch: &Batch, is_over: &AtomicBool) {
        let bodies: Vec<Value> = batch
            .numbers()
            .zip(&batch.plans)
            .map(|(number, plan)| {
                // As old as the request itself: the same bytes are sent again under the same key.
                let scheduled_at = plan
                    .delay
                    .map(|delay| clock::now_millis() + i64::try_from(delay.as_millis()).unwrap_or_default());
                let parents: Vec<String> = plan
                    .parents
                    .iter()
                    .filter_map(|parent| self.ledger.id(*parent))
                    .collect();
                let body = plan.body(scheduled_at.map(clock::format_millis), &parents);
                self.ledger.note(number, |entry| {
                    entry.scheduled_at = scheduled_at;
                    entry.parents = parents;
                });
                body
            })
            .collect();
        let (path, body) = match bodies.as_slice() {
            [single] => ("/api/v1/tasks", single.clone()),
            several => ("/api/v1/tasks/bulk", json!({ "tasks": several })),
        };
        let mut request = Request::post(path, &body).header("Authorization", self.bearer(batch.user));
        if let Some(key) = &batch.key {
            request = request.header("Idempotency-Key", key);
        }
        self.deliver(batch, &request, is_over);
    }

    /// Sends a request until its answer is known, as far as it may be repeated.
    fn deliver(&self, batch: &Batch, request: &Request<'_>, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            match self.send(request) {
                Sent::Unsent => thread::sleep(PAUSE),
                Sent::Answered(reply) if is_retryable(&reply) => {
                    self.note_all(batch, &Fate::Unknown);
                    if batch.key.is_none() {
                        return;
                    }
                    thread::sleep(PAUSE);
                }
                Sent::Answered(reply) if (200..300).contains(&reply.status) => {
                    return self.acknowledge(batch, &reply);
                }
                Sent::Answered(reply) => {
                    let fate = Fate::Refused(format!("{} {}", reply.status, reply.body));
                    return self.note_all(batch, &fate);
                }
                Sent::Lost => {
                    self.note_all(batch, &Fate::Unknown);
                    if batch.key.is_none() {
                        return;
                    }
                }
            }
        }
    }

    fn acknowledge(&self, batch: &Batch, reply: &Reply) {
        for (position, (number, plan)) in batch.numbers().zip(&batch.plans).enumerate() {
            let pointer = if batch.plans.len() == 1 {
                "/data/id".to_owned()
            } else {
                format!("/data/tasks/{position}/id")
            };
            let id = reply.text(&pointer).ok();
            let is_named = id.is_some();
            self.ledger
                .note(number, |entry| entry.fate = Fate::Acknowledged(id));
            if let Some(after) = plan.cancel_after.filter(|_| is_named) {
                self.ledger.cancel_later(number, after);
            }
        }
    }

    fn note_all(&self, batch: &Batch, fate: &Fate) {
        for number in batch.numbers() {
            self.ledger.note(number, |entry| entry.fate = fate.clone());
        }
    }

    fn cancel_task(&self, number: usize, is_over: &AtomicBool) {
        let owner = self
            .batches
            .iter()
            .find(|batch| batch.numbers().contains(&number));
        let (Some(batch), Some(id)) = (owner, self.ledger.id(number)) else {
            return;
        };
        let path = format!("/api/v1/tasks/{id}/cancel");
        let request = Request::post_nothing(&path).header("Authorization", self.bearer(batch.user));
        let mut cancel = Cancel::Unknown;
        while !is_over.load(Ordering::Relaxed) {
            match self.send(&request) {
                Sent::Unsent => thread::sleep(PAUSE),
                Sent::Answered(reply) if reply.status == 200 => {
                    cancel = Cancel::Granted(clock::now_millis());
                    break;
                }
                Sent::Answered(reply) if reply.status == 409 => {
                    cancel = Cancel::Refused;
                    break;
                }
                Sent::Answered(_) | Sent::Lost => break,
            }
        }
        self.ledger.note(number, |entry| entry.cancel = cancel);
    }

    fn bearer(&self, user: usize) -> &str {
        self.bearers.get(user).map(String::as_str).unwrap_or_default()
    }

    fn send(&self, request: &Request<'_>) -> Sent {
        let Ok(address) = self.stage.current() else {
            return Sent::Unsent;
        };
        let outcome = request.send(address);
        let status = outcome.as_ref().map_or(0, |reply| reply.status);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        *answers.entry(status).or_default() += 1;
        drop(answers);
        match outcome {
            Ok(reply) => Sent::Answered(reply),
            Err(reason) if was_refused(&reason) => Sent::Unsent,
            Err(_) => Sent::Lost,
        }
    }

    /// Sends a request that may be repeated until it is answered with anything but the wish to repeat it.
    fn insist(&self, request: &Request<'_>) -> Result<Reply> {
        let begin = Instant::now();
        loop {
            match self.send(request) {
                Sent::Answered(reply) if !is_retryable(&reply) => return Ok(reply),
                Sent::Answered(reply) if begin.elapsed() > INSISTENCE => {
                    bail!("still {} {}", reply.status, reply.body)
                }
                Sent::Unsent | Sent::Lost if begin.elapsed() > INSISTENCE => bail!("no answer"),
                Sent::Answered(_) | Sent::Unsent | Sent::Lost => thread::sleep(PAUSE),
            }
        }
    }

    /// Answers that nobody should have got, and how often each answer came.
    pub(super) fn odd_answers(&self) -> (Vec<String>, String) {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let odd = answers.iter().filter(|(status, _)| !EXPECTED.contains(status));
        let odd = odd.map(|(status, count)| format!("{count} requests were answered {status}"));
        let told = answers.iter().map(|(status, count)| match status {
            0 => format!("{count} × no answer"),
            _ => format!("{count} × {status}"),
        });
        (odd.collect(), told.collect::<Vec<_>>().join(", "))
    }
}

/// Tells whether an answer asks for another try: the server, or what stands before it, couldn't do it just then.
fn is_retryable(reply: &Reply) -> bool {
    matches!(reply.status, 502..=504)
}

/// The longest pause of a submitter between two requests, so that all last for a time.
fn longest_pause_millis(requests: usize, life: Duration) -> u64 {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let life_millis = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
    2 * life_millis * count(SUBMITTERS) / count(requests).max(1)
}

/// Notes a status that was shown.
fn see(entry: &mut Entry, status: &str) {
    let is_final = matches!(status, "completed" | "failed" | "cancelled");
    match &entry.seen {
        Some(seen) if seen != status => entry.changed_its_end = true,
        None if is_final => entry.seen = Some(status.to_owned()),
        Some(_) | None => {}
    }
}

/// Tells whether nobody listened, so that nothing can have been received.
fn was_refused(reason: &anyhow::Error) -> bool {
    reason
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}
