//! One process: an engine with a clock of its own, on a store that it shares.

use std::{collections::HashSet, sync::Arc, time::Duration};

use backplane::{LocalBus, LocalRateLimiter};
use engine::{Duty, Engine, Ports, Worker};
use model::{NoObserver, Result, Store, TaskId};
use tokio::task::JoinSet;

use super::{desk::Desk, workshop::Workshop};
use crate::{
    faulty::Faulty,
    fixture::{CountingIds, ManualClock, SeededEntropy, WorldBuilder},
};

/// How many tasks one process does at once.
pub(super) const CONCURRENCY: u16 = 3;

/// Duties that have nothing to do with tasks.
const OTHER_DUTIES: [&str; 3] = [
    "write down the use of keys",
    "remove what is expired",
    "read whose access has changed",
];

/// The duty that lets tasks go on that wait for others.
const SETTLING: &str = "tell tasks what became of those that they depend on";

/// What a verb or a step gave.
pub(super) enum Answer {
    /// These tasks are promised.
    Submitted(Vec<TaskId>),
    /// This task is called off.
    CalledOff(TaskId),
    /// Nothing that is to be remembered.
    Nothing,
    /// The step is over.
    Stepped(Step, Result<()>),
}

/// What a process does again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// Takes over what the process before left behind.
    Void,
    /// Claims tasks.
    Claim,
    /// Renews leases.
    Renew,
    /// Looks for tasks of processes that are gone.
    Sweep,
    /// The duty in this place.
    Duty(usize),
}

/// A process that is alive.
pub(super) struct Process {
    pub(super) number: u64,
    pub(super) engine: Engine,
    pub(super) clock: Arc<ManualClock>,
    pub(super) desk: Arc<Desk>,
    pub(super) workshop: Arc<Workshop>,
    worker: Worker,
    duties: Vec<Arc<dyn Duty>>,
    has_voided: bool,
    stepping: HashSet<Step>,
    going: JoinSet<Result<Answer>>,
}

impl Process {
    /// Starts a process, the `number`th one in this simulation.
    pub(super) fn start(
        inner: &Arc<dyn Store>,
        is_shared: bool,
        clock: Arc<ManualClock>,
        number: u64,
    ) -> Self {
        let desk = Arc::new(Desk::default());
        let workshop = Arc::new(Workshop::default());
        let director = Arc::clone(&desk) as _;
        let ports = Ports {
            store: Arc::new(Faulty::directed(Arc::clone(inner), director, is_shared)),
            limiter: Arc::new(LocalRateLimiter::new(1)),
            bus: Arc::new(LocalBus),
            runtimes: vec![Arc::clone(&workshop) as _],
            clock: Arc::clone(&clock) as _,
            ids: Arc::new(CountingIds::counting_from(number << 32, Arc::clone(&clock))),
            entropy: Arc::new(SeededEntropy::new(number)),
            observer: Arc::new(NoObserver),
        };
        let mut settings = WorldBuilder::default().settings;
        settings.worker_concurrency = CONCURRENCY;
        let engine = Engine::new(ports, settings).unwrap();
        let mut duties = engine.duties();
        duties.retain(|duty| !OTHER_DUTIES.contains(&duty.name()));
        Self {
            number,
            worker: engine.worker(),
            engine,
            clock,
            desk,
            workshop,
            duties,
            has_voided: false,
            stepping: HashSet::new(),
            going: JoinSet::new(),
        }
    }

    /// Everything that it does again and again.
    pub(super) fn steps(&self) -> Vec<Step> {
        let duties = (0..self.duties.len()).map(Step::Duty);
        if self.has_voided {
            [Step::Claim, Step::Renew, Step::Sweep]
                .into_iter()
                .chain(duties)
                .collect()
        } else {
            [Step::Void].into_iter().chain(duties).collect()
        }
    }

    /// What of that moves tasks that are there.
    pub(super) fn steps_of_tasks(&self) -> Vec<Step> {
        let mut steps = self.steps();
        steps.retain(|step| match step {
            Step::Duty(place) => self.duties[*place].name() == SETTLING,
            Step::Void | Step::Claim | Step::Renew | Step::Sweep => true,
        });
        steps
    }

    /// Begins a step, unless the same is going on.
    pub(super) fn step(&mut self, step: Step) {
        if !self.stepping.insert(step) {
            return;
        }
        let worker = self.worker.clone();
        let duty = match step {
            Step::Duty(place) => self.duties.get(place).map(Arc::clone),
            Step::Void | Step::Claim | Step::Renew | Step::Sweep => None,
        };
        self.going.spawn(async move {
            let outcome = match (step, duty) {
                (Step::Claim, _) => worker.claim().await.map(drop),
                (Step::Renew, _) => worker.renew().await.map(drop),
                (Step::Sweep, _) => worker.sweep().await.map(drop),
                (Step::Void | Step::Duty(_), None) => worker.void_leases().await.map(drop),
                (Step::Void | Step::Duty(_), Some(duty)) => duty.step().await,
            };
            Ok(Answer::Stepped(step, outcome))
        });
    }

    /// Begins a verb.
    pub(super) fn begin(&mut self, verb: impl Future<Output = Result<Answer>> + Send + 'static) {
        self.going.spawn(verb);
    }

    /// What has ended since this was asked last.
    pub(super) fn ended(&mut self) -> Vec<Result<Answer>> {
        let mut ended = Vec::new();
        while let Some(done) = self.going.try_join_next() {
            let answer = done.unwrap();
            if let Ok(Answer::Stepped(step, outcome)) = &answer {
                self.stepping.remove(step);
                self.has_voided |= *step == Step::Void && outcome.is_ok();
            }
            ended.push(answer);
        }
        ended
    }

    /// Tells whether a verb or a step is going on.
    pub(super) fn is_busy(&self) -> bool {
        !self.going.is_empty()
    }

    /// Moves the clock, either way.
    pub(super) fn shift(&self, millis: i64) {
        let span = Duration::from_millis(millis.unsigned_abs());
        if millis < 0 {
            self.clock.set_back(span);
        } else {
            self.clock.advance(span);
        }
    }

    /// Ends it at once, as `kill -9` does.
    pub(super) fn kill(mut self) {
        self.desk.die();
        self.going.abort_all();
    }
}
