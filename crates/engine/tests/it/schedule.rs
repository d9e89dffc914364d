//! Recurring tasks: when jobs come of them, and when none do.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use engine::{Engine, ScheduleRequest, ScheduleUpdate, TaskRequest, TaskUpdate};
use futures_util::future::{join, join_all};
use model::{
    CatchUp, Clock as _, Credential, Error, ErrorCode, KeyId, PageLimit, Principal, Priority, Recurrence,
    Result, Scopes, Tag, Tags, Task, TaskFilter, TaskId, TaskSort, TaskStatus, TaskTitle, Timestamp,
    UniqueKey, UserChange,
};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use crate::{
    faulty::Faulty,
    fixture::{Person, World, WorldBuilder, code, first_page, refusal},
    lab::Lab,
};

/// When every world begins.
const START: &str = "2026-06-01T12:00:00.000Z";

fn world() -> World {
    builder().build()
}

fn builder() -> WorldBuilder {
    WorldBuilder {
        runtimes: vec![Arc::new(Lab::default())],
        ..WorldBuilder::default()
    }
}

fn schedule(cron: &str) -> ScheduleRequest {
    ScheduleRequest {
        cron: cron.to_owned(),
        timezone: None,
        catch_up: None,
    }
}

fn recurring(schedule: ScheduleRequest) -> TaskRequest {
    TaskRequest {
        title: TaskTitle::parse("the nightly report").unwrap(),
        description: None,
        priority: Priority::High,
        tags: Tags::new([Tag::parse("report").unwrap()]).unwrap(),
        plugin: Some("lab".parse().unwrap()),
        action: Some("echo".parse().unwrap()),
        payload: Some(json!({ "for": "the board" })),
        scheduled_at: None,
        max_retries: Some(7),
        max_stalls: Some(2),
        timeout: Some(Duration::from_secs(9)),
        unique_key: None,
        depends_on: Vec::new(),
        schedule: Some(schedule),
    }
}

/// A world, somebody in it, and a recurring task of theirs.
struct Scene {
    world: World,
    person: Person,
    task: Task,
}

impl Scene {
    async fn with(request: ScheduleRequest) -> Self {
        Self::on(world(), recurring(request)).await
    }

    async fn on(world: World, request: TaskRequest) -> Self {
        let person = world.person("ada").await;
        let submitted = world.engine.submit_task(&person.principal, request, None).await;
        Self {
            task: submitted.unwrap().task,
            world,
            person,
        }
    }

    fn engine(&self) -> &Engine {
        &self.world.engine
    }

    fn principal(&self) -> &Principal {
        &self.person.principal
    }

    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    /// Moves the clock on, lets jobs come, and gives when to do so next.
    async fn after(&self, span: Duration) -> Option<Timestamp> {
        self.world.clock.advance(span);
        self.engine().fire_due_schedules().await.unwrap()
    }

    /// The jobs that have come of the task, whoever may see them.
    async fn jobs(&self) -> Vec<Task> {
        let filter = TaskFilter {
            schedule_id: Some(self.task.id),
            ..TaskFilter::default()
        };
        let mut page = first_page(TaskSort::CreatedAt);
        page.limit = PageLimit::new(100).unwrap();
        let operator = Principal::command_line();
        let listing = self.engine().list_tasks(&operator, filter, page).await.unwrap();
        assert_eq!(listing.next_cursor, None, "more jobs than are looked at");
        listing.items
    }

    /// The ticks of the jobs that have come, as the times of their day.
    async fn ticks(&self) -> Vec<String> {
        let jobs = self.jobs().await;
        jobs.iter()
            .map(|job| time_of_day(job.scheduled_at.unwrap()))
            .collect()
    }

    async fn recurrence(&self) -> Recurrence {
        let task = self
            .engine()
            .read_task(self.principal(), self.task.id)
            .await
            .unwrap();
        task.recurrence.unwrap()
    }

    async fn next(&self) -> Option<String> {
        self.recurrence().await.next_at.map(time_of_day)
    }

    async fn update(&self, schedule: ScheduleUpdate) -> Result<Task> {
        let update = TaskUpdate {
            schedule: Some(schedule),
            ..TaskUpdate::default()
        };
        self.engine()
            .update_task(self.principal(), self.task.id, update)
            .await
    }
}

/// `12:00:10`, and with milliseconds if there are any.
fn time_of_day(moment: Timestamp) -> String {
    moment.to_string()[11..]
        .trim_end_matches('Z')
        .trim_end_matches(".000")
        .to_owned()
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_job_comes_at_each_tick_and_is_like_its_task() {
    let scene = Scene::with(schedule("*/10 * * * * *")).await;
    assert_eq!(
        scene.after(9 * SECOND).await.map(time_of_day).unwrap(),
        "12:00:10"
    );
    assert!(scene.jobs().await.is_empty());
    assert_eq!(scene.after(SECOND).await.map(time_of_day).unwrap(), "12:00:20");
    let [job] = <[Task; 1]>::try_from(scene.jobs().await).unwrap();
    assert_eq!(job.scheduled_at, Some(scene.now()));
    assert_eq!(
        (job.job, job.title),
        (scene.task.job.clone(), scene.task.title.clone())
    );
    assert_eq!(
        (job.priority, job.tags),
        (scene.task.priority, scene.task.tags.clone())
    );
    assert_eq!(
        (job.timeout, job.user_id),
        (scene.task.timeout, scene.task.user_id)
    );
    assert_eq!((job.standing.max_retries, job.standing.max_stalls), (7, 2));
    assert_eq!((job.standing.status, job.recurrence), (TaskStatus::Pending, None));
    assert_eq!(scene.recurrence().await.last_at, Some(scene.now()));
}

#[tokio::test]
async fn a_tick_counts_once_however_often_the_step_is_done() {
    let scene = Scene::with(schedule("*/10 * * * * *")).await;
    for _ in 0..3 {
        scene.after(10 * SECOND).await;
        scene.after(Duration::ZERO).await;
    }
    assert_eq!(scene.ticks().await, ["12:00:10", "12:00:20", "12:00:30"]);
}

#[tokio::test]
async fn i10_a_tick_counts_once_though_two_processes_fire_at_once() {
    let scene = Scene::with(schedule("* * * * * *")).await;
    let other = scene.world.another_engine();
    for _ in 0..10 {
        scene.world.clock.advance(3 * SECOND);
        let (first, second) = join(scene.engine().fire_due_schedules(), other.fire_due_schedules()).await;
        first.unwrap();
        second.unwrap();
        scene.after(Duration::ZERO).await;
    }
    let ticks = scene.ticks().await;
    let expected: Vec<String> = (1..=30).map(|second| format!("12:00:{second:02}")).collect();
    assert_eq!(ticks, expected);
}

#[tokio::test]
async fn a_tick_of_up_to_a_minute_ago_is_not_missed() {
    let once_a_day = Scene::with(schedule("0 13 * * *")).await;
    once_a_day.after(HOUR + MINUTE).await;
    assert_eq!(once_a_day.ticks().await, ["13:00:00"]);
    let often = Scene::with(schedule("*/20 * * * * *")).await;
    often.after(MINUTE).await;
    assert_eq!(often.ticks().await, ["12:00:20", "12:00:40", "12:01:00"]);
}

#[tokio::test]
async fn one_job_makes_up_for_all_ticks_of_a_down_time() {
    let scene = Scene::with(schedule("0 * * * *")).await;
    scene.after(5 * HOUR + 30 * MINUTE).await;
    assert_eq!(scene.ticks().await, ["13:00:00"]);
    assert_eq!(scene.next().await.unwrap(), "18:00:00");
    scene.after(30 * MINUTE).await;
    assert_eq!(scene.ticks().await, ["13:00:00", "18:00:00"]);
}

#[tokio::test]
async fn one_job_makes_up_for_a_down_time_that_ends_at_a_tick() {
    let scene = Scene::with(schedule("0 * * * *")).await;
    scene.after(5 * HOUR + 10 * SECOND).await;
    assert_eq!(scene.ticks().await, ["13:00:00"]);
    assert_eq!(scene.next().await.unwrap(), "18:00:00");
}

#[tokio::test]
async fn ticks_of_a_down_time_are_skipped_where_that_is_wanted() {
    let skipping = ScheduleRequest {
        catch_up: Some(CatchUp::Skip),
        ..schedule("0 * * * *")
    };
    let scene = Scene::with(skipping).await;
    let next = scene.after(5 * HOUR + 30 * MINUTE).await;
    assert_eq!(next.map(time_of_day).unwrap(), "18:00:00");
    assert!(scene.jobs().await.is_empty());
    // Of the ticks that pass now, 18:00 to 20:00 are missed, and 21:00 is a minute late at most.
    scene.after(3 * HOUR + 31 * MINUTE).await;
    assert_eq!(scene.ticks().await, ["21:00:00"]);
    assert_eq!(scene.next().await.unwrap(), "22:00:00");
}

#[tokio::test]
async fn a_tick_that_passes_while_the_server_is_down_is_made_up_for_after_its_start() {
    let scene = Scene::with(schedule("0 13 * * *")).await;
    scene.world.clock.advance(10 * HOUR);
    let Scene { world, person, task } = scene;
    let world = world.restarted().await;
    let scene = Scene { world, person, task };
    scene.after(Duration::ZERO).await;
    assert_eq!(scene.ticks().await, ["13:00:00"]);
}

#[tokio::test]
async fn no_job_comes_of_a_paused_task_and_none_is_made_up_for() {
    let scene = Scene::with(schedule("0 * * * *")).await;
    let paused = scene
        .engine()
        .pause_task(scene.principal(), scene.task.id)
        .await
        .unwrap();
    let recurrence = paused.recurrence.unwrap();
    assert!(recurrence.is_paused);
    assert!(scene.engine().upcoming_ticks(&recurrence, 5).is_empty());
    assert_eq!(scene.after(5 * HOUR + MINUTE).await, None);
    let resumed = scene
        .engine()
        .resume_task(scene.principal(), scene.task.id)
        .await
        .unwrap();
    assert!(!resumed.recurrence.unwrap().is_paused);
    assert_eq!(
        scene.after(Duration::ZERO).await.map(time_of_day).unwrap(),
        "18:00:00"
    );
    assert!(scene.jobs().await.is_empty());
    scene.after(HOUR).await;
    assert_eq!(scene.ticks().await, ["18:00:00"]);
}

#[tokio::test]
async fn pausing_and_resuming_twice_changes_nothing_more() {
    let scene = Scene::with(schedule("0 * * * *")).await;
    for _ in 0..2 {
        let paused = scene
            .engine()
            .pause_task(scene.principal(), scene.task.id)
            .await
            .unwrap();
        assert_eq!(paused.recurrence.unwrap().next_at, None);
    }
    for _ in 0..2 {
        let resumed = scene
            .engine()
            .resume_task(scene.principal(), scene.task.id)
            .await
            .unwrap();
        assert_eq!(
            resumed.recurrence.unwrap().next_at.map(time_of_day).unwrap(),
            "13:00:00"
        );
    }
}

#[tokio::test]
async fn i10_a_tick_never_comes_back_though_the_clock_is_set_back() {
    let scene = Scene::with(schedule("0 * * * *")).await;
    scene.after(HOUR).await;
    scene.world.clock.set_back(30 * MINUTE);
    scene
        .engine()
        .pause_task(scene.principal(), scene.task.id)
        .await
        .unwrap();
    scene
        .engine()
        .resume_task(scene.principal(), scene.task.id)
        .await
        .unwrap();
    assert_eq!(scene.next().await.unwrap(), "14:00:00");
    let half_hours = ScheduleUpdate {
        cron: Some("*/30 * * * *".to_owned()),
        ..ScheduleUpdate::default()
    };
    scene.update(half_hours).await.unwrap();
    scene.after(90 * MINUTE).await;
    assert_eq!(scene.ticks().await, ["13:00:00", "13:30:00"]);
}

#[tokio::test]
async fn no_job_comes_of_a_cancelled_or_deleted_task() {
    let scene = Scene::with(schedule("0 * * * *")).await;
    scene
        .engine()
        .cancel_task(scene.principal(), scene.task.id)
        .await
        .unwrap();
    assert_eq!(scene.after(HOUR).await, None);
    assert!(scene.jobs().await.is_empty());
    let refused = scene.engine().resume_task(scene.principal(), scene.task.id).await;
    assert_eq!(code(refused), ErrorCode::Conflict);
    let another = recurring(schedule("0 * * * *"));
    let another = scene
        .engine()
        .submit_task(scene.principal(), another, None)
        .await
        .unwrap();
    scene
        .engine()
        .delete_task(scene.principal(), another.task.id)
        .await
        .unwrap();
    assert_eq!(scene.after(HOUR).await, None);
}

#[tokio::test]
async fn another_expression_counts_from_its_first_tick_ahead() {
    let scene = Scene::with(schedule("0 * * * *")).await;
    let half_hours = ScheduleUpdate {
        cron: Some("*/30 * * * *".to_owned()),
        ..ScheduleUpdate::default()
    };
    let changed = scene.update(half_hours).await.unwrap().recurrence.unwrap();
    assert_eq!(changed.cron, "*/30 * * * *");
    assert_eq!(scene.next().await.unwrap(), "12:30:00");
    scene.after(30 * MINUTE).await;
    assert_eq!(scene.ticks().await, ["12:30:00"]);
}

#[tokio::test]
async fn another_time_zone_moves_the_ticks() {
    let scene = Scene::with(schedule("0 18 * * *")).await;
    assert_eq!(scene.next().await.unwrap(), "18:00:00");
    let in_berlin = ScheduleUpdate {
        timezone: Some("Europe/Berlin".to_owned()),
        ..ScheduleUpdate::default()
    };
    scene.update(in_berlin).await.unwrap();
    assert_eq!(scene.next().await.unwrap(), "16:00:00");
}

#[tokio::test]
async fn another_way_to_catch_up_leaves_a_missed_tick_to_be_made_up_for() {
    let skipping = ScheduleRequest {
        catch_up: Some(CatchUp::Skip),
        ..schedule("0 * * * *")
    };
    let scene = Scene::with(skipping).await;
    scene.world.clock.advance(5 * HOUR);
    let once = ScheduleUpdate {
        catch_up: Some(CatchUp::Once),
        ..ScheduleUpdate::default()
    };
    scene.update(once).await.unwrap();
    scene.after(Duration::ZERO).await;
    assert_eq!(scene.ticks().await, ["13:00:00"]);
}

#[tokio::test]
async fn a_paused_task_stays_paused_when_its_schedule_is_changed() {
    let scene = Scene::with(schedule("0 * * * *")).await;
    scene
        .engine()
        .pause_task(scene.principal(), scene.task.id)
        .await
        .unwrap();
    let every_minute = ScheduleUpdate {
        cron: Some("* * * * *".to_owned()),
        ..ScheduleUpdate::default()
    };
    assert!(
        scene
            .update(every_minute)
            .await
            .unwrap()
            .recurrence
            .unwrap()
            .is_paused
    );
    assert_eq!(scene.after(HOUR).await, None);
    scene
        .engine()
        .resume_task(scene.principal(), scene.task.id)
        .await
        .unwrap();
    assert_eq!(scene.next().await.unwrap(), "13:01:00");
}

#[rstest]
#[case("0 0 31 2 *", "UTC", "schedule.cron never comes true")]
#[case("0 0 * * L", "UTC", "schedule.cron must be a cron expression")]
#[case("0 0 * * *", "Mars/Olympus", "schedule.timezone must be a name")]
#[tokio::test]
async fn c13_a_schedule_that_cannot_be_is_refused(
    #[case] cron: &str,
    #[case] zone: &str,
    #[case] says: &str,
) {
    let scene = Scene::with(schedule("0 * * * *")).await;
    let request = ScheduleRequest {
        timezone: Some(zone.to_owned()),
        ..schedule(cron)
    };
    let submitted = scene
        .engine()
        .submit_task(scene.principal(), recurring(request), None)
        .await;
    let change = ScheduleUpdate {
        cron: Some(cron.to_owned()),
        timezone: Some(zone.to_owned()),
        catch_up: None,
    };
    for (code, message) in [refusal(submitted), refusal(scene.update(change).await)] {
        assert_eq!(code, ErrorCode::ValidationFailed);
        assert!(message.starts_with(says), "{message}");
    }
    assert_eq!(scene.next().await.unwrap(), "13:00:00");
}

#[tokio::test]
async fn c13_the_next_ticks_are_told_across_a_change_of_the_clock() {
    let in_berlin = ScheduleRequest {
        timezone: Some("Europe/Berlin".to_owned()),
        ..schedule("30 2 * * *")
    };
    let scene = Scene::with(in_berlin).await;
    scene.after(145 * 24 * HOUR).await;
    let ticks = scene.engine().upcoming_ticks(&scene.recurrence().await, 3);
    let texts: Vec<String> = ticks.iter().map(Timestamp::to_string).collect();
    let expected = [
        "2026-10-25T00:30:00.000Z",
        "2026-10-26T01:30:00.000Z",
        "2026-10-27T01:30:00.000Z",
    ];
    assert_eq!(texts, expected);
    scene.after(12 * HOUR + 30 * MINUTE).await;
    scene.after(HOUR).await;
    assert_eq!(
        scene.next().await.unwrap(),
        "01:30:00",
        "once only, though 02:30 comes twice"
    );
}

#[tokio::test]
async fn c13_every_second_is_fired_every_second() {
    let scene = Scene::with(schedule("* * * * * *")).await;
    for _ in 0..5 {
        scene.after(SECOND).await;
    }
    assert_eq!(
        scene.ticks().await,
        ["12:00:01", "12:00:02", "12:00:03", "12:00:04", "12:00:05"]
    );
}

#[tokio::test]
async fn b01_another_persons_task_can_be_neither_paused_nor_resumed() {
    let scene = Scene::with(schedule("0 * * * *")).await;
    let other = scene.world.person("eve").await.principal;
    let id = scene.task.id;
    let refusals = [
        refusal(scene.engine().pause_task(&other, id).await),
        refusal(scene.engine().resume_task(&other, id).await),
        refusal(scene.engine().pause_task(&other, absent(&scene)).await),
    ];
    for refusal in refusals {
        assert_eq!(refusal, (ErrorCode::NotFound, "there is no such task".to_owned()));
    }
    let admin = scene.world.admin("root").await.principal;
    assert!(scene.engine().pause_task(&admin, id).await.is_ok());
}

#[tokio::test]
async fn a16_what_a_key_may_not_call_it_cannot_resume_either() {
    let scene = Scene::with(schedule("0 * * * *")).await;
    let admin = scene.world.admin("root").await.principal;
    let narrowed = |scopes: &[&str]| Principal {
        scopes: Scopes::new(scopes.iter().map(|scope| scope.parse().unwrap()).collect()).unwrap(),
        credential: Credential::Key(KeyId::from_uuid(uuid::Uuid::from_u128(1))),
        ..Principal::clone(&admin)
    };
    let id = scene.task.id;
    let narrow = narrowed(&["tasks:write"]);
    scene.engine().pause_task(&narrow, id).await.unwrap();
    let refused = scene.engine().resume_task(&narrow, id).await;
    assert_eq!(code(refused), ErrorCode::InsufficientScope);
    assert!(scene.recurrence().await.is_paused);
    let wide = narrowed(&["tasks:write", "plugins:execute:lab"]);
    assert!(scene.engine().resume_task(&wide, id).await.is_ok());
}

fn absent(scene: &Scene) -> TaskId {
    let mut uuid = scene.task.id.as_uuid().as_u128();
    uuid ^= 1 << 20;
    TaskId::from_uuid(uuid::Uuid::from_u128(uuid))
}

#[tokio::test]
async fn only_a_recurring_task_can_be_paused() {
    let scene = Scene::with(schedule("0 * * * *")).await;
    let once = TaskRequest {
        schedule: None,
        ..recurring(schedule("0 * * * *"))
    };
    let once = scene
        .engine()
        .submit_task(scene.principal(), once, None)
        .await
        .unwrap();
    let refused = scene.engine().pause_task(scene.principal(), once.task.id).await;
    assert_eq!(code(refused), ErrorCode::Conflict);
}

#[tokio::test]
async fn no_job_comes_for_an_account_that_is_not_active() {
    let scene = Scene::with(schedule("0 * * * *")).await;
    set_active(&scene, false).await;
    scene.after(HOUR).await;
    assert!(scene.jobs().await.is_empty());
    set_active(&scene, true).await;
    scene.after(HOUR).await;
    assert_eq!(scene.ticks().await, ["14:00:00"]);
}

async fn set_active(scene: &Scene, is_active: bool) {
    let change = UserChange {
        is_active: Some(is_active),
        ..UserChange::default()
    };
    let id = scene.principal().user_id().unwrap();
    scene
        .engine()
        .update_user(&Principal::command_line(), id, change)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_schedule_of_an_account_that_is_gone_ends() {
    let scene = Scene::with(schedule("0 * * * *")).await;
    let id = scene.principal().user_id().unwrap();
    scene.world.store.delete_user(id).await.unwrap();
    assert_eq!(scene.after(HOUR).await, None);
    assert!(scene.jobs().await.is_empty());
}

#[tokio::test]
async fn jobs_of_a_task_with_a_unique_key_never_overlap() {
    let request = TaskRequest {
        unique_key: Some(UniqueKey::parse("the report").unwrap()),
        ..recurring(schedule("0 * * * *"))
    };
    let scene = Scene::on(world(), request).await;
    scene.after(HOUR).await;
    scene.after(HOUR).await;
    assert_eq!(scene.ticks().await, ["13:00:00"]);
    let job = scene.jobs().await.remove(0);
    scene
        .engine()
        .cancel_task(scene.principal(), job.id)
        .await
        .unwrap();
    scene.after(HOUR).await;
    assert_eq!(scene.ticks().await, ["13:00:00", "15:00:00"]);
}

#[tokio::test]
async fn hundreds_of_tasks_due_at_once_are_fired_in_one_step() {
    let scene = Scene::with(schedule("0 13 * * *")).await;
    let many: Vec<TaskRequest> = (0..250).map(|_| recurring(schedule("0 13 * * *"))).collect();
    scene
        .engine()
        .submit_tasks(scene.principal(), many, None)
        .await
        .unwrap();
    scene.after(HOUR).await;
    let filter = TaskFilter {
        recurring: Some(false),
        ..TaskFilter::default()
    };
    let page = first_page(TaskSort::CreatedAt);
    let listing = scene
        .engine()
        .list_tasks(scene.principal(), filter, page)
        .await
        .unwrap();
    assert_eq!(listing.total, 251);
}

#[tokio::test]
async fn the_duty_fires_without_a_worker() {
    let scene = Scene::with(schedule("0 13 * * *")).await;
    let duties = scene.engine().duties();
    let duty = duties
        .iter()
        .find(|duty| duty.name() == "fire schedules")
        .unwrap();
    duty.step().await.unwrap();
    assert!(scene.jobs().await.is_empty());
    scene.world.clock.advance(HOUR);
    // The tick is now, so the duty doesn't wait for its next look.
    duty.woken().await;
    duty.step().await.unwrap();
    assert_eq!(scene.ticks().await, ["13:00:00"]);
}

/// A world whose store fails where a test says so.
fn faulty_world() -> (World, Arc<Faulty>) {
    let slot = Arc::new(parking_lot::Mutex::new(None));
    let kept = Arc::clone(&slot);
    let world = WorldBuilder {
        wrap_store: Box::new(move |store| {
            let faulty = Arc::new(Faulty::new(store));
            *kept.lock() = Some(Arc::clone(&faulty));
            faulty
        }),
        ..builder()
    }
    .build();
    let faulty = slot.lock().take().unwrap();
    (world, faulty)
}

#[rstest]
#[case("due_schedules")]
#[case("find_user")]
#[case("fire_schedule")]
#[tokio::test]
async fn a_tick_is_neither_lost_nor_counted_twice_when_the_store_fails(#[case] method: &'static str) {
    let (world, faulty) = faulty_world();
    let scene = Scene::on(world, recurring(schedule("0 * * * *"))).await;
    scene.world.clock.advance(HOUR);
    faulty.fail(method);
    faulty.forget(method);
    for _ in 0..2 {
        let failed: Result<Option<Timestamp>, Error> = scene.engine().fire_due_schedules().await;
        assert_eq!(code(failed), ErrorCode::Unavailable);
    }
    scene.after(Duration::ZERO).await;
    assert_eq!(scene.ticks().await, ["13:00:00"]);
    assert_eq!(scene.next().await.unwrap(), "14:00:00");
}

#[tokio::test]
async fn a_change_that_meets_a_tick_is_made_all_the_same() {
    let (world, faulty) = faulty_world();
    let scene = Scene::on(world, recurring(schedule("0 * * * *"))).await;
    scene.world.clock.advance(HOUR);
    let hold = faulty.hold("change_recurrence");
    let meeting = async {
        hold.reached().await;
        scene.engine().fire_due_schedules().await.unwrap();
        hold.release();
        hold.reached().await;
        hold.release();
    };
    let once = ScheduleUpdate {
        catch_up: Some(CatchUp::Skip),
        ..ScheduleUpdate::default()
    };
    let (changed, ()) = join(scene.update(once), meeting).await;
    assert_eq!(
        changed
            .unwrap()
            .recurrence
            .unwrap()
            .next_at
            .map(time_of_day)
            .unwrap(),
        "14:00:00"
    );
    scene.after(Duration::ZERO).await;
    assert_eq!(scene.ticks().await, ["13:00:00"]);
}

/// What may happen to a recurring task.
#[derive(Clone, Debug)]
enum Event {
    TimePasses(u64),
    FiredBy(Vec<usize>),
    Paused,
    Resumed,
    CaughtUp(CatchUp),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..200_000_u64).prop_map(Event::TimePasses),
        4 => proptest::collection::vec(0..2_usize, 1..4).prop_map(Event::FiredBy),
        1 => Just(Event::Paused),
        1 => Just(Event::Resumed),
        1 => prop_oneof![Just(CatchUp::Skip), Just(CatchUp::Once)].prop_map(Event::CaughtUp),
    ]
}

/// Lets events happen, and gives the ticks of the jobs that came, in the order in which they did.
async fn play(events: &[Event]) -> Vec<Timestamp> {
    let scene = Scene::with(schedule("*/15 * * * * *")).await;
    let engines = [scene.engine().clone(), scene.world.another_engine()];
    let id = scene.task.id;
    for event in events {
        match event {
            Event::TimePasses(millis) => scene.world.clock.advance(Duration::from_millis(*millis)),
            Event::FiredBy(whose) => {
                let steps = whose.iter().map(|whose| engines[*whose].fire_due_schedules());
                for step in join_all(steps).await {
                    step.unwrap();
                }
            }
            Event::Paused => drop(engines[0].pause_task(scene.principal(), id).await.unwrap()),
            Event::Resumed => drop(engines[1].resume_task(scene.principal(), id).await.unwrap()),
            Event::CaughtUp(catch_up) => {
                let update = ScheduleUpdate {
                    catch_up: Some(*catch_up),
                    ..ScheduleUpdate::default()
                };
                drop(scene.update(update).await.unwrap());
            }
        }
    }
    let jobs = scene.jobs().await;
    jobs.iter().map(|job| job.scheduled_at.unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn i10_each_tick_has_one_job_at_most_whatever_happens(events in proptest::collection::vec(event(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ticks = runtime.block_on(play(&events));
        let start: Timestamp = START.parse().unwrap();
        let distinct: BTreeSet<Timestamp> = ticks.iter().copied().collect();
        prop_assert_eq!(distinct.len(), ticks.len());
        for tick in ticks {
            prop_assert!(tick > start && tick.as_millis() % 15_000 == 0, "{}", tick);
        }
    }
}
