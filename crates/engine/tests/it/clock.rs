//! Clocks that jump: no task is lost, starts before its time by more than the jump, or runs for ever.

use std::time::Duration;

use engine::{ScheduleRequest, TaskRequest};
use model::{Principal, TaskFilter, TaskKind, TaskSort};

use crate::{
    fixture::first_page,
    order::{Queue, at, medium},
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// How many jobs came of recurring tasks, and how many of them have ended.
async fn jobs(queue: &Queue) -> (usize, usize) {
    let engine = &queue.world.engine;
    let page = first_page(TaskSort::CreatedAt);
    let listing = engine
        .list_tasks(&Principal::command_line(), TaskFilter::default(), page)
        .await
        .unwrap();
    let jobs = || {
        listing
            .items
            .iter()
            .filter(|task| task.standing.kind == TaskKind::Job)
    };
    let ended = jobs().filter(|task| task.standing.status.is_final());
    (jobs().count(), ended.count())
}

#[tokio::test]
async fn g07_after_a_jump_back_a_task_starts_at_its_time_and_not_before() {
    let queue = Queue::new();
    let due = queue.now().plus(10 * SECOND);
    queue.submit(&Principal::command_line(), at("later", due)).await;
    queue.world.clock.set_back(HOUR);
    assert!(queue.run(1).await.is_empty());
    queue
        .world
        .clock
        .advance(HOUR + 10 * SECOND - Duration::from_millis(1));
    assert!(queue.run(1).await.is_empty());
    queue.world.clock.advance(Duration::from_millis(1));
    assert_eq!(queue.run(1).await, ["later"]);
}

#[tokio::test]
async fn g07_a_jump_ahead_starts_a_task_before_its_time_by_no_more_than_the_jump() {
    let queue = Queue::new();
    let due = queue.now().plus(HOUR + 10 * SECOND);
    queue.submit(&Principal::command_line(), at("later", due)).await;
    queue.world.clock.advance(HOUR);
    assert!(queue.run(1).await.is_empty());
    queue.world.clock.advance(10 * SECOND);
    assert_eq!(queue.run(1).await, ["later"]);
}

#[tokio::test]
async fn g07_what_was_ready_before_a_jump_back_starts_after_it_in_its_order() {
    let queue = Queue::new();
    let operator = Principal::command_line();
    queue.submit(&operator, medium("before")).await;
    queue.world.clock.set_back(HOUR);
    queue.submit(&operator, medium("after")).await;
    assert_eq!(queue.run(5).await, ["before", "after"]);
}

#[tokio::test]
async fn g07_a_task_whose_worker_died_is_taken_over_after_a_jump_back_all_the_same() {
    let queue = Queue::new();
    queue.submit(&Principal::command_line(), medium("orphan")).await;
    let claim = model::ClaimRequest {
        worker: model::WorkerId::from_uuid(uuid::Uuid::from_u128(1)),
        now: queue.now(),
        lease_until: queue.now().plus(15 * SECOND),
        limit: 1,
        room: Vec::new(),
    };
    let claimed = queue.world.store.claim_tasks(claim).await.unwrap();
    assert_eq!(claimed.tasks.len(), 1);
    queue.world.clock.set_back(HOUR);
    for _ in 0..3_700 {
        queue.worker.sweep().await.unwrap();
        if queue.run(1).await == ["orphan"] {
            return;
        }
        queue.world.clock.advance(SECOND);
    }
    panic!("it was never taken over");
}

#[tokio::test]
async fn g07_a_schedule_comes_once_for_each_tick_however_the_clock_jumps() {
    let queue = Queue::new();
    let hourly = TaskRequest {
        schedule: Some(ScheduleRequest {
            cron: "0 * * * *".to_owned(),
            timezone: None,
            catch_up: None,
        }),
        ..medium("hourly")
    };
    queue.submit(&Principal::command_line(), hourly).await;
    let fire = async |expected: usize| {
        queue.world.engine.fire_due_schedules().await.unwrap();
        queue.run(5).await;
        assert_eq!(jobs(&queue).await, (expected, expected));
    };
    fire(0).await;
    queue.world.clock.advance(HOUR);
    fire(1).await;
    queue.world.clock.set_back(HOUR);
    fire(1).await;
    queue.world.clock.advance(HOUR);
    fire(1).await;
    queue.world.clock.advance(3 * HOUR);
    fire(2).await;
}
