//! Lists of tasks.

use std::sync::Arc;

use model::{
    AttemptEnd, Direction, NewTask, Page, PageRequest, Priority, Progress, Result, SortValue, Store, Tag,
    Task, TaskChange, TaskDescription, TaskFilter, TaskSort, TaskStatus, TaskTitle,
};
use serde_json::json;

use super::{claimed, end, found, submit};
use crate::{
    engine::Engine,
    make::{
        action, count, job, job_after, moment, plugin, recurring, tags, task_id, to_do, unique_key, user_id,
    },
    walk::{BOTH, directed, first_page, walk, walk_any},
};

crate::on_every_engine![
    tasks_are_listed_once_each_under_every_filter_and_page_size,
    filters_work_together,
    c10_a_search_in_tasks_is_literal_and_blind_to_the_case_of_ascii_letters,
    a_tag_is_found_whole,
    b01_a_list_of_ones_own_tells_nothing_of_others,
    a_position_of_a_list_in_another_order_is_refused,
    an_empty_list_of_tasks_has_no_next_page,
    a_page_of_long_tasks_ends_early_and_leads_on,
];

async fn list(
    store: &Arc<dyn Store>,
    filter: &TaskFilter,
    request: &PageRequest<TaskSort>,
) -> Result<Page<Task>> {
    store.list_tasks(filter, request).await
}

async fn total(store: &Arc<dyn Store>, filter: &TaskFilter) -> u64 {
    let request = first_page(TaskSort::CreatedAt, Direction::Descending, 1);
    list(store, filter, &request).await.unwrap().total
}

const OWNERS: u64 = 3;

fn member(number: u64) -> NewTask {
    let mut task = match number % 5 {
        0 => to_do(number),
        1 => recurring(number, 90_000),
        _ => job(number),
    };
    task.user_id = (!number.is_multiple_of(OWNERS)).then(|| user_id(number % OWNERS));
    task.priority = Priority::ALL[usize::try_from(number % 4).unwrap()];
    task.title =
        TaskTitle::parse(["Weekly report", "deploy", "ÉCLAIR Report"][usize::try_from(number % 3).unwrap()])
            .unwrap();
    if number.is_multiple_of(7) {
        task.description = Some(TaskDescription::parse("about the Deployment").unwrap());
    }
    if let Some(job) = &mut task.job
        && number.is_multiple_of(2)
    {
        (job.plugin, job.action) = (plugin("other"), action("run"));
    }
    task.tags = tags(&[["a", "b", "ab"][usize::try_from(number % 3).unwrap()], "all"]);
    task.scheduled_at = (number % 4 == 1).then(|| moment(1_000 + count(number)));
    task.schedule_id = (number % 6 == 2).then(|| task_id(1));
    task.unique_key = number
        .is_multiple_of(8)
        .then(|| unique_key(&format!("key {number}")))
        .flatten();
    task
}

/// Stores tasks of all kinds in all states, and gives them as they are.
async fn crowd(store: &Arc<dyn Store>) -> Vec<Task> {
    const SIZE: u64 = 60;
    for number in 1..=SIZE {
        submit(store, member(number)).await;
    }
    let mut dependent = job_after(&[], SIZE + 1);
    dependent.user_id = None;
    dependent.depends_on = vec![task_id(3)];
    submit(store, dependent).await;
    for (index, held) in claimed(store, 500, 12).await.iter().enumerate() {
        let ending = match index % 4 {
            0 => AttemptEnd::Succeeded,
            1 => AttemptEnd::FailedForGood,
            2 => AttemptEnd::Failed {
                retry_at: moment(9_000),
            },
            _ => {
                let progress = Progress {
                    fraction: 0.5,
                    message: Some("half".into()),
                };
                store
                    .report_progress(held.hold(), progress, moment(600))
                    .await
                    .unwrap();
                continue;
            }
        };
        end(store, held, ending, 600).await.unwrap();
    }
    for number in [5, 10, 15, 20, 25] {
        let status = TaskStatus::ALL[usize::try_from(number / 5).unwrap() % 5];
        let change = TaskChange {
            status: Some(status),
            ..TaskChange::default()
        };
        store
            .update_task(task_id(number), None, change, moment(700))
            .await
            .unwrap();
    }
    for number in [11, 30, 35, 52] {
        store
            .cancel_task(task_id(number), None, moment(800))
            .await
            .unwrap();
    }
    let mut tasks = Vec::new();
    for number in 1..=SIZE + 1 {
        tasks.push(found(store, number).await);
    }
    tasks
}

fn fits(filter: &TaskFilter, task: &Task) -> bool {
    let is = |condition: bool| condition;
    let plugin = task.job.as_ref().map(|job| &job.plugin);
    let text = format!(
        "{}\n{}",
        task.title,
        task.description
            .as_ref()
            .map_or("", |description| description.as_str())
    );
    let contains = |part: &String| text.to_ascii_lowercase().contains(&part.to_ascii_lowercase());
    is(filter.user_id.is_none_or(|user| task.user_id == Some(user)))
        && filter.status.is_none_or(|status| task.standing.status == status)
        && filter.priority.is_none_or(|priority| task.priority == priority)
        && filter.plugin.as_ref().is_none_or(|wanted| plugin == Some(wanted))
        && filter
            .tag
            .as_ref()
            .is_none_or(|tag| task.tags.iter().any(|other| other == tag))
        && filter.q.as_ref().is_none_or(contains)
        && filter
            .scheduled_before
            .is_none_or(|end| task.scheduled_at.is_some_and(|at| at < end))
        && filter
            .scheduled_after
            .is_none_or(|begin| task.scheduled_at.is_some_and(|at| at >= begin))
        && filter
            .recurring
            .is_none_or(|recurring| task.recurrence.is_some() == recurring)
        && filter.schedule_id.is_none_or(|id| task.schedule_id == Some(id))
}

/// One filter for each thing that can be filtered by, with each of its values.
fn single_filters() -> Vec<TaskFilter> {
    let none = TaskFilter::default;
    let mut filters = vec![none()];
    filters.extend([1, 2, 404].map(|user| TaskFilter {
        user_id: Some(user_id(user)),
        ..none()
    }));
    filters.extend(TaskStatus::ALL.map(|status| TaskFilter {
        status: Some(status),
        ..none()
    }));
    filters.extend(Priority::ALL.map(|priority| TaskFilter {
        priority: Some(priority),
        ..none()
    }));
    filters.extend(["sample", "other", "absent"].map(|name| TaskFilter {
        plugin: Some(plugin(name)),
        ..none()
    }));
    filters.extend(["a", "all", "x"].map(|tag| TaskFilter {
        tag: Some(Tag::parse(tag).unwrap()),
        ..none()
    }));
    filters.extend(["REPORT", "deploy", "Écl", "nothing"].map(|q| TaskFilter {
        q: Some(q.into()),
        ..none()
    }));
    filters.extend([1_001, 1_029].map(|at| TaskFilter {
        scheduled_before: Some(moment(at)),
        ..none()
    }));
    filters.extend([1_029, 9_999].map(|at| TaskFilter {
        scheduled_after: Some(moment(at)),
        ..none()
    }));
    filters.extend([true, false].map(|recurring| TaskFilter {
        recurring: Some(recurring),
        ..none()
    }));
    filters.extend([1, 2].map(|number| TaskFilter {
        schedule_id: Some(task_id(number)),
        ..none()
    }));
    filters
}

/// A filter by all that either of two filters by.
fn both(one: &TaskFilter, other: &TaskFilter) -> TaskFilter {
    let (one, other) = (one.clone(), other.clone());
    TaskFilter {
        user_id: one.user_id.or(other.user_id),
        status: one.status.or(other.status),
        priority: one.priority.or(other.priority),
        plugin: one.plugin.or(other.plugin),
        tag: one.tag.or(other.tag),
        q: one.q.or(other.q),
        scheduled_before: one.scheduled_before.or(other.scheduled_before),
        scheduled_after: one.scheduled_after.or(other.scheduled_after),
        recurring: one.recurring.or(other.recurring),
        schedule_id: one.schedule_id.or(other.schedule_id),
    }
}

async fn check(store: &Arc<dyn Store>, tasks: &[Task], filter: &TaskFilter, limits: &[u16]) {
    let fitting: Vec<Task> = tasks.iter().filter(|task| fits(filter, task)).cloned().collect();
    for direction in BOTH {
        let expected = directed(fitting.clone(), direction);
        for limit in limits {
            let request = first_page(TaskSort::CreatedAt, direction, *limit);
            let pages = async |request: &_| list(store, filter, request).await;
            let (found, total) = walk(request, pages).await;
            assert_eq!(found, expected, "{filter:?} {direction:?} {limit}");
            assert_eq!(total, u64::try_from(expected.len()).unwrap(), "{filter:?}");
        }
    }
}

async fn tasks_are_listed_once_each_under_every_filter_and_page_size(engine: impl Engine) {
    let store = engine.open().await;
    let tasks = crowd(&store).await;
    for status in TaskStatus::ALL {
        assert!(
            tasks.iter().any(|task| task.standing.status == status),
            "{status:?}"
        );
    }
    for filter in single_filters() {
        check(&store, &tasks, &filter, &[1, 7, 61, 100]).await;
    }
}

async fn filters_work_together(engine: impl Engine) {
    let store = engine.open().await;
    let tasks = crowd(&store).await;
    let filters = single_filters();
    for (index, one) in filters.iter().enumerate() {
        for other in &filters[..index] {
            check(&store, &tasks, &both(one, other), &[5]).await;
        }
    }
    let all = filters
        .iter()
        .fold(TaskFilter::default(), |sum, filter| both(&sum, filter));
    check(&store, &tasks, &all, &[5]).await;
}

async fn c10_a_search_in_tasks_is_literal_and_blind_to_the_case_of_ascii_letters(engine: impl Engine) {
    let store = engine.open().await;
    let mut special = job(1);
    special.title = TaskTitle::parse("a%b_C'd\\e [x*y] É").unwrap();
    special.description = Some(TaskDescription::parse("Second\nLINE").unwrap());
    submit(&store, special).await;
    submit(&store, job(2)).await;
    for (text, expected) in [
        ("%", 1),
        ("_", 1),
        ("'", 1),
        ("\\E", 1),
        ("B_c'D", 1),
        ("[X*Y]", 1),
        ("É", 1),
        ("second\nline", 1),
        ("e [x*y] É\nSecond", 0),
        ("éSecond", 0),
        ("ÉSecond", 0),
        ("TASK 2", 1),
        ("' OR 1=1 --", 0),
        (".*", 0),
        (&"x".repeat(10_000), 0),
    ] {
        let filter = TaskFilter {
            q: Some(text.into()),
            ..TaskFilter::default()
        };
        assert_eq!(total(&store, &filter).await, expected, "{text:.20}");
    }
}

async fn a_tag_is_found_whole(engine: impl Engine) {
    let store = engine.open().await;
    for (number, tag) in [
        (1, "a\"b"),
        (2, "a"),
        (3, "A"),
        (4, "[\"a\"]"),
        (5, "a,b"),
        (6, "ä\\"),
    ] {
        let mut task = job(number);
        task.tags = tags(&[tag, "common"]);
        submit(&store, task).await;
    }
    for tag in ["a\"b", "a", "A", "[\"a\"]", "a,b", "ä\\"] {
        let filter = TaskFilter {
            tag: Some(Tag::parse(tag).unwrap()),
            ..TaskFilter::default()
        };
        assert_eq!(total(&store, &filter).await, 1, "{tag}");
    }
    for tag in [",", "common\"", "mon", "[", "b"] {
        let filter = TaskFilter {
            tag: Some(Tag::parse(tag).unwrap()),
            ..TaskFilter::default()
        };
        assert_eq!(total(&store, &filter).await, 0, "{tag}");
    }
}

async fn b01_a_list_of_ones_own_tells_nothing_of_others(engine: impl Engine) {
    let store = engine.open().await;
    let tasks = crowd(&store).await;
    for filter in single_filters() {
        let own = both(
            &TaskFilter {
                user_id: Some(user_id(2)),
                ..TaskFilter::default()
            },
            &filter,
        );
        check(&store, &tasks, &own, &[3]).await;
    }
}

async fn a_position_of_a_list_in_another_order_is_refused(engine: impl Engine) {
    let store = engine.open().await;
    crowd(&store).await;
    for value in [SortValue::Text("x".into()), SortValue::Integer(7)] {
        let mut request = first_page(TaskSort::CreatedAt, Direction::Ascending, 5);
        let filter = TaskFilter::default();
        let mut position = list(&store, &filter, &request).await.unwrap().next.unwrap();
        position.value = value;
        request.after = Some(position);
        let error = list(&store, &filter, &request).await.unwrap_err();
        assert_eq!(error.details()[0].path, "cursor");
    }
}

async fn an_empty_list_of_tasks_has_no_next_page(engine: impl Engine) {
    let store = engine.open().await;
    check(&store, &[], &TaskFilter::default(), &[1]).await;
}

async fn a_page_of_long_tasks_ends_early_and_leads_on(engine: impl Engine) {
    const MEBIBYTE: usize = 1024 * 1024;
    let store = engine.open().await;
    for (number, mebibytes) in [(1, 3), (2, 3), (3, 3), (4, 9), (5, 1), (6, 6)] {
        let mut task = job(number);
        task.job.as_mut().unwrap().payload = json!("x".repeat(mebibytes * MEBIBYTE));
        submit(&store, task).await;
    }
    for (direction, lengths) in [
        (Direction::Ascending, vec![2, 1, 1, 2]),
        (Direction::Descending, vec![2, 1, 2, 1]),
    ] {
        let request = first_page(TaskSort::CreatedAt, direction, 100);
        let filter = TaskFilter::default();
        let walked = walk_any(request, async |request| list(&store, &filter, request).await).await;
        assert_eq!(walked.0, lengths, "one is on a page even if it alone is too long");
        let ids: Vec<_> = walked.1.iter().map(|task| task.id).collect();
        assert_eq!(ids, directed((1..=6).map(task_id).collect(), direction));
    }
}
