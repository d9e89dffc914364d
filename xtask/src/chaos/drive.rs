//! The clients: they submit, call off and look, while the server comes and goes.

use std::io;
use std::net::SocketAddr;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::chaos::SUBMITTERS;
use crate::chaos::ledger::{Cancel, Entry, Fate, Ledger};
use crate::chaos::lives::{Address, Lives};
use crate::chaos::plan::{Batch, USERS};
use crate::clock;
use crate::dice::Dice;
use crate::request::{Reply, Request};

/// How long a client waits before it looks again whether there is something to do.
const PAUSE: Duration = Duration::from_millis(2);

/// What an operator's requests carry.
#[derive(Clone, Debug)]
pub(super) struct Admin {
    pub(super) key: String,
}

/// The clients of one run.
pub(super) struct Driver<'a> {
    address: Address,
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
}

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
        lives: &Lives<'_>,
        ledger: &'a Ledger,
        batches: &'a [Batch],
        kills: u32,
    ) -> Result<Self> {
        let address = lives.current()?;
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
            address: Address::clone(&lives.address),
            ledger,
            batches,
            bearers,
            admin: Admin {
                key: lives.admin_key.clone(),
            },
            schedule,
            longest_pause_millis: longest_pause_millis(batches.len(), kills),
            next: AtomicUsize::new(0),
            allowed: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
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
        match self.send(&request) {
            Sent::Answered(reply) if reply.status == 200 => Ok(()),
            Sent::Answered(reply) => bail!("can't end the recurring task: {} {}", reply.status, reply.body),
            Sent::Unsent | Sent::Lost => bail!("can't end the recurring task: no answer"),
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
            let Sent::Answered(reply) = self.send(&request) else {
                bail!("no answer to {path}");
            };
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
                Sent::Answered(reply) if reply.status == 503 && batch.key.is_some() => thread::sleep(PAUSE),
                Sent::Answered(reply) if reply.status == 503 => {
                    return self.note_all(batch, &Fate::Unknown);
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
        let Some(address) = self.address() else {
            return Sent::Unsent;
        };
        match request.send(address) {
            Ok(reply) => Sent::Answered(reply),
            Err(reason) if was_refused(&reason) => Sent::Unsent,
            Err(_) => Sent::Lost,
        }
    }

    fn address(&self) -> Option<SocketAddr> {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The longest pause of a submitter between two requests, when a server lives for 250 ms on average.
fn longest_pause_millis(requests: usize, kills: u32) -> u64 {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let lives_millis = 250 * (u64::from(kills) + 1);
    2 * lives_millis * count(SUBMITTERS) / count(requests).max(1)
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
