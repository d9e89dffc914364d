//! Rounds of chance, each followed by calm in which everything must end.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use model::{
    Clock as _, Error, ErrorCode, ErrorKind, ExecutionId, Question, QuestionKind, Questions, Reply, Result,
    Store, Task, TaskId, TaskKind, Timestamp,
};
use serde_json::{Map, json};
use stores::{SqliteOptions, SqliteStore};
use tokio::{task::yield_now, time::advance};

use super::{
    checker::Checker,
    dice::Dice,
    people::{People, answers_to},
    process::{Answer, Process, Step},
};
use crate::{
    faulty::{Fate, Method},
    fixture::ManualClock,
};

/// How many events chance brings in one round.
const EVENTS: usize = 80;

/// How many steps of calm may pass until everything has ended.
const CALM_STEPS: usize = 400;

/// How many steps of calm pass before the clocks go faster, for what a jump of an hour left behind.
const SLOW_STEPS: usize = 15;

/// How many times in a row nothing may happen before it counts as quiet.
const QUIET_YIELDS: usize = 4;

/// Calls that change no task: what they do isn't looked at.
const HARMLESS: [Method; 9] = [
    "find_user",
    "find_account",
    "find_task",
    "list_tasks",
    "list_attempts",
    "due_schedules",
    "queue_depth",
    "record_execution",
    "close_interrupted_executions",
];

/// Several processes on one store, and chance.
pub(super) struct Simulation {
    dice: Dice,
    store: Arc<dyn Store>,
    people: People,
    checker: Checker,
    processes: Vec<Process>,
    /// How many processes there ever were.
    started: u64,
    /// How many processes use the store at once; when it is one, the store says that it isn't shared.
    size: usize,
    /// Of 100 calls of the store, how many fail.
    faults: usize,
    /// The latest moment that any clock showed.
    now: Timestamp,
}

impl Simulation {
    /// Opens an empty store in `directory`, and starts processes on it.
    pub(super) async fn begin(directory: &Path, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(directory, &SqliteOptions::default()).unwrap());
        let mut simulation = Self {
            people: People::settle(store.as_ref()).await,
            checker: Checker::default(),
            processes: Vec::new(),
            started: 0,
            size: 1 + dice.below(3),
            faults: 0,
            now: "2026-06-01T12:00:00Z".parse().unwrap(),
            store,
            dice,
        };
        simulation.checker.is_shared = simulation.size > 1;
        for _ in 0..simulation.size {
            simulation.start_process();
        }
        simulation
    }

    /// Plays a round, to its end and that of all tasks.
    pub(super) async fn play(&mut self) {
        self.faults = if self.dice.happens(70) { 10 } else { 0 };
        for _ in 0..EVENTS {
            self.event().await;
            self.take_note().await;
        }
        if self.dice.happens(50) {
            self.set_clocks();
        }
        self.calm_down().await;
        self.end_schedules().await;
        self.close_the_past().await;
        self.checker.count(self.store.as_ref()).await;
        self.checker.read_history(self.store.as_ref()).await;
        self.clear().await;
    }

    /// Ends the processes and closes the store; gives what was seen.
    pub(super) async fn end(self) -> BTreeMap<&'static str, u64> {
        for process in self.processes {
            process.kill();
        }
        self.store.close().await.unwrap();
        self.checker.seen
    }

    fn start_process(&mut self) {
        // Two machines are never quite of one mind about the time.
        let skew = Duration::from_millis(self.dice.number() % 5_000);
        let clock = Arc::new(ManualClock::at(self.now.minus(skew)));
        self.started += 1;
        let process = Process::start(&self.store, self.size > 1, clock, self.started);
        self.processes.push(process);
    }

    /// Lets something happen.
    async fn event(&mut self) {
        let place = self.dice.below(self.processes.len());
        match self.dice.below(1_000) {
            0..510 => self.answer_store(place).await,
            510..650 => self.work(place),
            650..780 => {
                let steps = if self.dice.happens(50) {
                    self.processes[place].steps_of_tasks()
                } else {
                    self.processes[place].steps()
                };
                self.processes[place].step(*self.dice.pick(&steps).unwrap());
            }
            780..900 => self
                .people
                .wish(&mut self.dice, &mut self.checker, &mut self.processes[place]),
            900..985 => self.pass_time().await,
            985..992 => self.jump(place),
            _ => self.kill(place).await,
        }
    }

    /// Lets one call of the store come about, or fail.
    async fn answer_store(&mut self, place: usize) {
        let waiting = self.processes[place].desk.waiting().len();
        if waiting == 0 {
            return;
        }
        let call = self.dice.below(waiting);
        let fate = if !self.dice.happens(self.faults) {
            Fate::Done
        } else if self.dice.happens(50) {
            Fate::Refused
        } else {
            Fate::Forgotten
        };
        self.settle(place, call, fate).await;
    }

    async fn settle(&mut self, place: usize, call: usize, fate: Fate) {
        let (method, is_changed) = self.processes[place].desk.settle(call, fate).await;
        if fate != Fate::Refused && is_changed && !HARMLESS.contains(&method) {
            self.checker.latest = self.now;
            self.checker.look(self.store.as_ref(), method).await;
            if self.dice.happens(7) {
                self.checker.count(self.store.as_ref()).await;
            }
        }
    }

    /// Lets one call of a plugin end, or go on.
    fn work(&mut self, place: usize) {
        let workshop = &self.processes[place].workshop;
        let going = workshop.going();
        if going.is_empty() {
            return;
        }
        let call = self.dice.below(going.len());
        if self.dice.happens(10) {
            let percent = u32::try_from(self.dice.below(100)).unwrap();
            workshop.report(call, f64::from(percent) / 100.0);
        } else {
            self.end_call(place, call);
        }
    }

    /// Lets a call of a plugin end, in one way or another.
    fn end_call(&mut self, place: usize, call: usize) {
        let workshop = &self.processes[place].workshop;
        let id = workshop.going()[call];
        let outcome = match self.dice.below(100) {
            0..50 => Ok(Reply::Done(json!({ "by": id.to_string() }))),
            50..65 => Ok(Reply::Asks(any_questions(&mut self.dice, id))),
            65..90 => Err(Error::new(ErrorCode::PluginUnavailable, "not now")),
            _ => Err(Error::new(ErrorCode::PluginFailed, "never")),
        };
        workshop.end(call, outcome);
    }

    async fn pass_time(&mut self) {
        let longest = *self.dice.pick(&[100, 100, 1_000, 1_000, 5_000, 20_000]).unwrap();
        let span = Duration::from_millis(1 + self.dice.number() % longest);
        self.pass(span).await;
    }

    /// Lets time pass on every clock, and for every timer.
    async fn pass(&mut self, span: Duration) {
        for process in &self.processes {
            process.clock.advance(span);
        }
        self.now = self.now.plus(span);
        advance(span).await;
    }

    /// Puts one clock, or all of them, forward or back by up to an hour.
    fn jump(&mut self, place: usize) {
        let span = i64::try_from(self.dice.below(7_200_000)).unwrap() - 3_600_000;
        let is_everywhere = self.dice.happens(50);
        for (other, process) in self.processes.iter().enumerate() {
            if is_everywhere || other == place {
                process.shift(span);
            }
        }
        let clocks = self.processes.iter().map(|process| process.clock.now());
        self.now = clocks.fold(self.now, Timestamp::max);
    }

    /// Sets every clock right: none was ever ahead of this.
    fn set_clocks(&self) {
        for process in &self.processes {
            process.clock.advance(self.now.since(process.clock.now()));
        }
    }

    /// Ends a process at once, in the middle of whatever it does, and starts another.
    async fn kill(&mut self, place: usize) {
        if self.dice.happens(50) {
            let waiting = self.processes[place].desk.waiting().len();
            if waiting > 0 {
                let call = self.dice.below(waiting);
                self.settle(place, call, Fate::Unheard).await;
            }
        }
        self.processes.swap_remove(place).kill();
        self.start_process();
    }

    /// Waits until nothing goes on by itself, and notes what was answered.
    async fn take_note(&mut self) {
        let mut quiet = 0;
        let mut before = self.activity();
        while quiet < QUIET_YIELDS {
            yield_now().await;
            let now = self.activity();
            quiet = if now == before { quiet + 1 } else { 0 };
            before = now;
        }
        for process in &mut self.processes {
            for (tried, answers) in process.workshop.begun() {
                let attempt = (tried.attempt, &answers);
                self.checker.has_begun(tried.task_id, attempt, process.number);
            }
            for answer in process.ended() {
                note(&mut self.checker, &mut self.people, process.number, answer);
            }
        }
    }

    fn activity(&self) -> usize {
        self.processes.iter().map(|process| process.desk.arrived()).sum()
    }

    /// Stops the faults, and lets everything end: I11.
    async fn calm_down(&mut self) {
        self.faults = 0;
        let mut steps = 0;
        while self.is_open() {
            assert!(steps < CALM_STEPS, "I11: {:#?}", self.open_tasks());
            steps += 1;
            self.end_schedules().await;
            self.answer_questions().await;
            let seconds = if steps < SLOW_STEPS { 5 } else { 60 };
            self.pass(Duration::from_secs(seconds)).await;
            self.step_all(Process::steps_of_tasks).await;
        }
    }

    fn is_waiting(&self) -> bool {
        let waits =
            |process: &Process| !process.desk.waiting().is_empty() || !process.workshop.going().is_empty();
        self.processes.iter().any(waits)
    }

    /// Answers every call that waits, of stores and of plugins.
    async fn answer_all(&mut self) {
        for place in 0..self.processes.len() {
            for _ in 0..self.processes[place].desk.waiting().len() {
                if !self.processes[place].desk.waiting().is_empty() {
                    self.settle(place, 0, Fate::Done).await;
                }
            }
            for _ in self.processes[place].workshop.going() {
                self.end_call(place, 0);
            }
        }
    }

    fn is_open(&self) -> bool {
        !self.open_tasks().is_empty() || self.processes.iter().any(Process::is_busy)
    }

    /// What is to end by itself and hasn't.
    fn open_tasks(&self) -> Vec<&Task> {
        let is_open = |task: &&Task| task.standing.kind == TaskKind::Job && !task.standing.status.is_final();
        self.checker.tasks().filter(is_open).collect()
    }

    /// Lets so much time pass that whatever a killed process left open in the history is closed.
    async fn close_the_past(&mut self) {
        self.set_clocks();
        self.pass(Duration::from_secs(3_600)).await;
        self.step_all(Process::steps).await;
    }

    /// Lets every process do what it does again and again, and answers all that waits.
    async fn step_all(&mut self, steps: fn(&Process) -> Vec<Step>) {
        for process in &mut self.processes {
            for step in steps(process) {
                process.step(step);
            }
        }
        self.take_note().await;
        while self.is_waiting() {
            self.answer_all().await;
            self.take_note().await;
        }
    }

    /// Ends what would go on for ever.
    async fn end_schedules(&mut self) {
        let is_open = |task: &&Task| task.standing.kind != TaskKind::Job && !task.standing.status.is_final();
        let endless: Vec<TaskId> = self.checker.tasks().filter(is_open).map(|task| task.id).collect();
        for id in endless {
            self.store.cancel_task(id, None, self.now).await.unwrap();
            self.checker.look(self.store.as_ref(), "cancel_task").await;
        }
    }

    /// Answers whatever is asked.
    async fn answer_questions(&mut self) {
        let asking = self.checker.tasks().filter(|task| task.standing.awaits_input);
        let asking: Vec<TaskId> = asking.map(|task| task.id).collect();
        for id in asking {
            let answers = self.checker.task(id).map(answers_to).unwrap_or_default();
            self.store
                .answer_task(id, None, &answers, self.now)
                .await
                .unwrap();
            self.checker.look(self.store.as_ref(), "answer_task").await;
        }
    }

    /// Empties the store for the next round.
    async fn clear(&mut self) {
        while self
            .store
            .remove_finished_tasks(Timestamp::MAX, 1_000)
            .await
            .unwrap()
            > 0
        {}
        self.checker.forget();
        self.people.forget();
        self.checker
            .look(self.store.as_ref(), "remove_finished_tasks")
            .await;
        assert_eq!(self.checker.tasks().count(), 0);
    }
}

/// One or two questions; now and then by a key that may have been used before, for which the task fails.
fn any_questions(dice: &mut Dice, call: ExecutionId) -> Questions {
    let question = || Question {
        kind: QuestionKind::Elicitation,
        params: Map::new(),
    };
    let mut asked = vec![(call.to_string(), question())];
    if dice.happens(40) {
        let key = if dice.happens(30) {
            "again".to_owned()
        } else {
            format!("{call}.2")
        };
        asked.push((key, question()));
    }
    Questions {
        asked,
        state: dice.happens(50).then(|| json!({ "of": call.to_string() })),
    }
}

/// Notes what a verb or a step has given.
fn note(checker: &mut Checker, people: &mut People, process: u64, answer: Result<Answer>) {
    match answer {
        Ok(Answer::Submitted(ids)) => {
            for id in ids {
                checker.promise(id);
                people.know(id);
            }
        }
        Ok(Answer::CalledOff(id)) => checker.called_off(id, process),
        Ok(Answer::Nothing | Answer::Stepped(_, Ok(()))) => {}
        Ok(Answer::Stepped(_, Err(error))) | Err(error) => {
            let source = std::error::Error::source(&error);
            assert_ne!(error.kind(), ErrorKind::Bug, "{error}: {source:?}");
        }
    }
}
