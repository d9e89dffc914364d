//! In which order tasks start, and when: on a clock that moves by hand.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use engine::{TaskRequest, Worker};
use model::{
    Action, ActionName, Annotations, Call, Clock as _, Health, Plugin, PluginName, Principal, Priority,
    Reply, Result, ResultForm, Runtime, Span, Tags, TaskTitle, Timestamp,
};
use parking_lot::Mutex;
use rstest::rstest;
use serde_json::{Value, json};

use crate::fixture::{World, WorldBuilder};

const SECOND: Duration = Duration::from_secs(1);

/// A plugin that keeps the names of what it is called for, in their order.
#[derive(Default)]
pub(crate) struct Starts(Mutex<Vec<String>>);

impl Starts {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

#[async_trait]
impl Runtime for Starts {
    fn kind(&self) -> &'static str {
        "starts"
    }

    fn plugins(&self) -> Vec<Plugin> {
        let note = Action {
            name: ActionName::parse("note").unwrap(),
            title: "note".to_owned(),
            description: String::new(),
            input_schema: json!({ "type": "object" }),
            output_schema: None,
            result_form: ResultForm::Value,
            annotations: Annotations::PURE,
            span: Span::Short,
            timeout: Duration::from_secs(60),
        };
        vec![Plugin {
            name: PluginName::parse("starts").unwrap(),
            title: "starts".to_owned(),
            description: String::new(),
            version: "1.0.0".to_owned(),
            actions: vec![note],
            prompts: Vec::new(),
            resources: Vec::new(),
            resource_templates: Vec::new(),
            max_concurrency: 100,
        }]
    }

    fn health(&self, _: &PluginName) -> Health {
        Health::Healthy
    }

    async fn call(&self, call: Call) -> Result<Reply<Value>> {
        let name = call.payload["name"].as_str().unwrap_or_default();
        self.0.lock().push(name.to_owned());
        Ok(Reply::Done(json!({})))
    }
}

/// A world with one worker that does one task at a time.
pub(crate) struct Queue {
    pub(crate) world: World,
    pub(crate) worker: Worker,
    starts: Arc<Starts>,
}

impl Queue {
    pub(crate) fn new() -> Self {
        let starts = Arc::new(Starts::default());
        let mut builder = WorldBuilder {
            runtimes: vec![Arc::clone(&starts) as _],
            ..WorldBuilder::default()
        };
        builder.settings.worker_concurrency = 1;
        let world = builder.build();
        Self {
            worker: world.engine.worker(),
            world,
            starts,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    pub(crate) async fn submit(&self, principal: &Principal, request: TaskRequest) {
        self.world
            .engine
            .submit_task(principal, request, None)
            .await
            .unwrap();
    }

    /// Lets the worker do up to `count` tasks, one after the other; gives their names in the order of their starts.
    pub(crate) async fn run(&self, count: usize) -> Vec<String> {
        for _ in 0..count {
            let step = self.worker.claim().await.unwrap();
            self.worker.idle().await;
            if step.begun == 0 {
                break;
            }
        }
        self.starts.take()
    }
}

pub(crate) fn named(name: &str, priority: Priority) -> TaskRequest {
    TaskRequest {
        title: TaskTitle::parse(name).unwrap(),
        description: None,
        priority,
        tags: Tags::default(),
        plugin: Some(PluginName::parse("starts").unwrap()),
        action: Some(ActionName::parse("note").unwrap()),
        payload: Some(json!({ "name": name })),
        scheduled_at: None,
        max_retries: None,
        max_stalls: None,
        timeout: None,
        unique_key: None,
        depends_on: Vec::new(),
        schedule: None,
    }
}

pub(crate) fn medium(name: &str) -> TaskRequest {
    named(name, Priority::Medium)
}

pub(crate) fn at(name: &str, scheduled_at: Timestamp) -> TaskRequest {
    TaskRequest {
        scheduled_at: Some(scheduled_at),
        ..medium(name)
    }
}

#[tokio::test]
async fn a_task_starts_in_the_very_millisecond_it_is_due_and_not_before() {
    let queue = Queue::new();
    let due = queue.now().plus(10 * SECOND);
    queue.submit(&Principal::command_line(), at("later", due)).await;
    queue.world.clock.advance(10 * SECOND - Duration::from_millis(1));
    let step = queue.worker.claim().await.unwrap();
    assert_eq!((step.begun, step.next_due), (0, Some(due)));
    queue.world.clock.advance(Duration::from_millis(1));
    assert_eq!(queue.run(1).await, ["later"]);
}

#[tokio::test]
async fn no_task_of_many_is_late_when_each_look_is_at_the_time_that_the_look_before_named() {
    let queue = Queue::new();
    let begin = queue.now();
    let requests = (0..200_u64).map(|number| {
        // Spread over 4 s without order: 1,009 is prime.
        let millis = 1 + number * 1_009 % 4_000;
        at(&format!("{millis}"), begin.plus(Duration::from_millis(millis)))
    });
    let operator = Principal::command_line();
    queue
        .world
        .engine
        .submit_tasks(&operator, requests.collect(), None)
        .await
        .unwrap();
    let mut started = Vec::new();
    loop {
        let step = queue.worker.claim().await.unwrap();
        queue.worker.idle().await;
        let elapsed = queue.now().since(begin).as_millis().to_string();
        for name in queue.starts.take() {
            assert_eq!(
                name, elapsed,
                "due after so many milliseconds, and started after so many"
            );
            started.push(name);
        }
        if step.begun == 0 {
            let Some(next_due) = step.next_due else { break };
            queue.world.clock.advance(next_due.since(queue.now()));
        }
    }
    assert_eq!(started.len(), 200);
}

#[tokio::test]
async fn the_more_urgent_task_starts_first_and_of_equals_the_older() {
    let queue = Queue::new();
    let operator = Principal::command_line();
    for (number, priority) in [(1, Priority::Low), (2, Priority::High), (3, Priority::Critical)] {
        queue
            .submit(&operator, named(&format!("first {number}"), priority))
            .await;
        queue.world.clock.advance(Duration::from_millis(1));
        queue
            .submit(&operator, named(&format!("second {number}"), priority))
            .await;
    }
    queue.submit(&operator, medium("medium")).await;
    let expected = [
        "first 3", "second 3", "first 2", "second 2", "medium", "first 1", "second 1",
    ];
    assert_eq!(queue.run(10).await, expected);
}

#[tokio::test]
async fn a_low_task_starts_within_four_under_an_endless_flood_of_critical_ones() {
    let queue = Queue::new();
    let operator = Principal::command_line();
    queue.submit(&operator, named("low", Priority::Low)).await;
    let mut started = Vec::new();
    for number in 0..80 {
        for part in ["a", "b"] {
            let name = format!("critical {number} {part}");
            queue.submit(&operator, named(&name, Priority::Critical)).await;
        }
        started.extend(queue.run(1).await);
        queue.world.clock.advance(SECOND);
    }
    let place = started.iter().position(|name| name == "low").unwrap();
    assert!((30..=34).contains(&place), "after {place} s");
}

#[tokio::test]
async fn of_four_starts_three_are_the_most_urgent_however_long_others_wait() {
    let queue = Queue::new();
    let operator = Principal::command_line();
    for number in 0..20 {
        queue
            .submit(&operator, named(&format!("low {number}"), Priority::Low))
            .await;
    }
    queue.world.clock.advance(60 * SECOND);
    for number in 0..20 {
        let name = format!("critical {number}");
        queue.submit(&operator, named(&name, Priority::Critical)).await;
    }
    let started = queue.run(16).await;
    for four in started.chunks(4) {
        let low = four.iter().filter(|name| name.starts_with("low")).count();
        assert_eq!(low, 1, "{started:?}");
    }
}

#[rstest]
#[case::before_any_of_them(0)]
#[case::after_some_of_them(8)]
#[tokio::test]
async fn d06_ten_thousand_tasks_of_one_user_hold_up_nobody_else(#[case] done_before: usize) {
    let queue = Queue::new();
    let (ada, grace) = (queue.world.person("ada").await, queue.world.person("grace").await);
    for batch in 0..10 {
        let requests = (0..1_000).map(|number| medium(&format!("ada {batch} {number}")));
        let engine = &queue.world.engine;
        engine
            .submit_tasks(&ada.principal, requests.collect(), None)
            .await
            .unwrap();
        queue.world.clock.advance(SECOND);
    }
    queue.run(done_before).await;
    queue.submit(&grace.principal, medium("grace")).await;
    let started = queue.run(3).await;
    assert!(started[..2].contains(&"grace".to_owned()), "{started:?}");
}

#[tokio::test]
async fn d06_owners_take_turns_whatever_each_has_waiting() {
    let queue = Queue::new();
    let mut people = Vec::new();
    for name in ["ada", "grace", "mary"] {
        people.push((name, queue.world.person(name).await));
    }
    for (name, person) in &people {
        let requests = (0..30).map(|number| medium(&format!("{name} {number}")));
        let engine = &queue.world.engine;
        engine
            .submit_tasks(&person.principal, requests.collect(), None)
            .await
            .unwrap();
    }
    let started = queue.run(30).await;
    for three in started.chunks(3) {
        for (name, _) in &people {
            let turns = three.iter().filter(|started| started.starts_with(name)).count();
            assert_eq!(turns, 1, "{started:?}");
        }
    }
}
#[tokio::test]
async fn a_task_that_becomes_due_while_every_worker_is_busy_starts_before_newer_ones() {
    let queue = Queue::new();
    let operator = Principal::command_line();
    queue.submit(&operator, at("due", queue.now().plus(SECOND))).await;
    queue.world.clock.advance(2 * SECOND);
    queue.submit(&operator, medium("new")).await;
    assert_eq!(queue.run(10).await, ["due", "new"]);
}
