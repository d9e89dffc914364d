//! People who want things done, changed and stopped, at any moment.

use std::time::Duration;

use engine::{Engine, ScheduleRequest, TaskRequest, TaskUpdate};
use model::{
    Account, ActionName, CatchUp, Credential, PasswordHash, PluginName, Principal, Priority, Result, Role,
    Scopes, SessionId, Store, Subject, Tags, Task, TaskId, TaskStatus, TaskTitle, Timestamp, UniqueKey, User,
    UserId,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    checker::Checker,
    dice::Dice,
    process::{Answer, Process},
};

/// Two people and the operator.
pub(super) struct People {
    principals: Vec<Principal>,
    /// The tasks that they were told of.
    known: Vec<TaskId>,
    submitted: u64,
}

impl People {
    /// Gives them accounts.
    pub(super) async fn settle(store: &dyn Store) -> Self {
        let mut principals = vec![Principal::command_line()];
        for (number, name) in [(1, "ada"), (2, "grace")] {
            let id = UserId::from_uuid(Uuid::from_u128(number));
            store.create_user(&account(id, name)).await.unwrap();
            principals.push(Principal {
                subject: Subject::User(id),
                role: Role::User,
                scopes: Scopes::default(),
                credential: Credential::Session(SessionId::from_uuid(Uuid::from_u128(number))),
                rate_limit: None,
            });
        }
        Self {
            principals,
            known: Vec::new(),
            submitted: 0,
        }
    }

    /// Notes that they were told of a task.
    pub(super) fn know(&mut self, id: TaskId) {
        self.known.push(id);
    }

    /// Forgets every task.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// Lets one of them ask one process for something.
    pub(super) fn wish(&mut self, dice: &mut Dice, checker: &mut Checker, process: &mut Process) {
        let engine = process.engine.clone();
        // The operator sees what belongs to everyone.
        let operator = self.principals[0].clone();
        let choice = dice.below(100);
        let Some(id) = dice.pick(&self.known).copied().filter(|_| choice >= 55) else {
            return self.submit(dice, checker, process);
        };
        match choice {
            55..68 => process.begin(async move {
                let cancelled = engine.cancel_task(&operator, id).await?;
                Ok(Answer::CalledOff(cancelled.id))
            }),
            68..76 => process.begin(async move { nothing(engine.retry_task(&operator, id).await) }),
            76..82 => {
                process.begin(async move { nothing(engine.run_task(&operator, id, Duration::ZERO).await) });
            }
            82..87 => {
                let update = any_update(dice, process);
                process.begin(async move { nothing(engine.update_task(&operator, id, update).await) });
            }
            87..90 => {
                checker.release(id);
                self.known.retain(|known| *known != id);
                process.begin(async move { nothing(engine.delete_task(&operator, id).await) });
            }
            90..97 => {
                let (id, answers) = any_answers(dice, checker).unwrap_or_else(|| (id, Map::new()));
                process.begin(async move { nothing(engine.answer_task(&operator, id, answers).await) });
            }
            _ => process.begin(async move {
                engine.pause_task(&operator, id).await?;
                nothing(engine.resume_task(&operator, id).await)
            }),
        }
    }

    fn submit(&mut self, dice: &mut Dice, checker: &Checker, process: &mut Process) {
        let principal = self.principals[dice.below(self.principals.len())].clone();
        let count = if dice.happens(20) { 3 } else { 1 };
        let requests: Vec<_> = (0..count)
            .map(|_| self.any_request(dice, checker, process, &principal))
            .collect();
        let engine = process.engine.clone();
        process.begin(async move { submit(&engine, &principal, requests).await });
    }

    fn any_request(
        &mut self,
        dice: &mut Dice,
        checker: &Checker,
        process: &Process,
        owner: &Principal,
    ) -> TaskRequest {
        self.submitted += 1;
        let is_to_do = dice.happens(5);
        let is_recurring = !is_to_do && dice.happens(6);
        let is_free = !is_to_do && !is_recurring;
        let number = |dice: &mut Dice, end| u16::try_from(dice.below(end)).unwrap();
        let plugin = if dice.happens(70) { "wide" } else { "narrow" };
        let action = if dice.happens(50) { "read" } else { "write" };
        TaskRequest {
            title: TaskTitle::parse(&format!("task {}", self.submitted)).unwrap(),
            description: None,
            priority: *dice.pick(&Priority::ALL).unwrap(),
            tags: Tags::default(),
            plugin: (!is_to_do).then(|| PluginName::parse(plugin).unwrap()),
            action: (!is_to_do).then(|| ActionName::parse(action).unwrap()),
            payload: (!is_to_do).then(|| json!({ "number": self.submitted })),
            scheduled_at: (is_free && dice.happens(25)).then(|| any_moment(dice, process)),
            max_retries: (!is_to_do).then(|| number(dice, 3)),
            max_stalls: (!is_to_do).then(|| number(dice, 3)),
            timeout: None,
            unique_key: dice
                .happens(20)
                .then(|| UniqueKey::parse(&format!("key {}", dice.below(3))).unwrap()),
            depends_on: if is_free && dice.happens(35) {
                self.any_tasks(dice, checker, owner)
            } else {
                Vec::new()
            },
            schedule: is_recurring.then(|| any_schedule(dice)),
        }
    }

    /// One or two tasks of the same owner, most of which haven't ended.
    fn any_tasks(&self, dice: &mut Dice, checker: &Checker, owner: &Principal) -> Vec<TaskId> {
        let tasks = || self.known.iter().filter_map(|id| checker.task(*id));
        let own: Vec<TaskId> = tasks()
            .filter(|task| task.user_id == owner.user_id() && !task.standing.status.is_final())
            .map(|task| task.id)
            .collect();
        let mut picked: Vec<TaskId> = (0..2).filter_map(|_| dice.pick(&own).copied()).collect();
        picked.dedup();
        picked
    }
}

async fn submit(engine: &Engine, principal: &Principal, mut requests: Vec<TaskRequest>) -> Result<Answer> {
    let submitted = match requests.pop() {
        Some(request) if requests.is_empty() => vec![engine.submit_task(principal, request, None).await?],
        Some(request) => {
            requests.push(request);
            engine.submit_tasks(principal, requests, None).await?
        }
        None => Vec::new(),
    };
    // One that was there already may be gone again.
    let new = submitted.iter().filter(|submitted| submitted.is_new);
    Ok(Answer::Submitted(
        new.map(|submitted| submitted.task.id).collect(),
    ))
}

fn nothing<T>(outcome: Result<T>) -> Result<Answer> {
    outcome.map(|_| Answer::Nothing)
}

/// Answers to all that a task asks.
pub(super) fn answers_to(task: &Task) -> Map<String, Value> {
    let open = task.inquiry.iter().flat_map(|inquiry| inquiry.open());
    open.map(|(key, _)| {
        (
            key.to_owned(),
            json!({ "action": "accept", "content": { "to": key } }),
        )
    })
    .collect()
}

/// A task that asks something, and all answers or some, with one that nobody wants.
fn any_answers(dice: &mut Dice, checker: &Checker) -> Option<(TaskId, Map<String, Value>)> {
    let asking: Vec<&Task> = checker
        .tasks()
        .filter(|task| task.standing.awaits_input)
        .collect();
    let task = *dice.pick(&asking)?;
    let mut answers = answers_to(task);
    if dice.happens(40) {
        let first = answers.keys().next().cloned();
        first.map(|key| answers.remove(&key));
    }
    answers.insert("unasked".to_owned(), json!({ "action": "decline" }));
    Some((task.id, answers))
}

fn any_moment(dice: &mut Dice, process: &Process) -> Timestamp {
    use model::Clock as _;
    let ahead = Duration::from_millis(dice.number() % 20_000);
    process.clock.now().plus(ahead)
}

fn any_schedule(dice: &mut Dice) -> ScheduleRequest {
    ScheduleRequest {
        cron: "*/30 * * * * *".to_owned(),
        timezone: None,
        catch_up: dice.pick(&CatchUp::ALL).copied(),
    }
}

fn any_update(dice: &mut Dice, process: &Process) -> TaskUpdate {
    let mut update = TaskUpdate {
        priority: dice.pick(&Priority::ALL).copied(),
        ..TaskUpdate::default()
    };
    match dice.below(4) {
        0 => update.scheduled_at = Some(Some(any_moment(dice, process))),
        1 => update.status = dice.pick(&TaskStatus::ALL).copied(),
        2 => update.max_retries = Some(2),
        _ => {}
    }
    update
}

fn account(id: UserId, name: &str) -> Account {
    let at = Timestamp::default();
    let user = User {
        id,
        email: format!("{name}@example.org").parse().unwrap(),
        username: name.parse().unwrap(),
        role: Role::User,
        is_active: true,
        is_email_verified: false,
        last_login: None,
        metadata: None,
        created_at: at,
        updated_at: at,
    };
    Account {
        user,
        password_hash: PasswordHash::new("none"),
    }
}
