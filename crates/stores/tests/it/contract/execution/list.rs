//! Lists of executions, compared with a list that is made by looking at each.

use std::sync::Arc;

use model::{
    CallTry, Direction, ErrorCode, Execution, ExecutionFilter, ExecutionOutcome, ExecutionStatus, SortValue,
    Source, Store,
};
use proptest::{
    prelude::{Just, Strategy, any},
    sample::select,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::json;

use crate::{
    engine::Engine,
    make::{action, count, execution, failure, moment, plugin, task_id, user_id, uuid},
    walk::{BOTH, directed, first_page, walk, walk_any},
};

crate::on_every_engine![
    executions_are_listed_once_each_under_every_filter_order_and_page_size,
    an_execution_that_ends_moves_between_the_lists_of_statuses,
    a_list_goes_on_where_it_was_though_new_ones_arrive,
    a_position_of_a_list_in_another_order_is_refused,
    a_page_of_long_executions_ends_early_and_leads_on,
    of_long_attempts_the_latest_that_fit_are_listed,
];

fn rows() -> impl Strategy<Value = Vec<Execution>> {
    let row = (
        0..4_u64,
        select(vec!["sample", "llm"]),
        select(vec!["echo", "add", "chat"]),
        select(Source::ALL.to_vec()),
        select(ExecutionStatus::ALL.to_vec()),
        // The times within ids and those beside them: mostly close, as from two looks at one clock.
        (0..40_i64, 0..4_i64, any::<bool>()),
    );
    proptest::collection::vec(row, 0..50).prop_map(|rows| {
        let numbered = (1_u64..).zip(rows);
        numbered
            .map(
                |(number, (user, plugin_name, action_name, source, status, (at, skew, is_behind)))| {
                    let id_time = if is_behind { at - skew } else { at + skew };
                    Execution {
                        id: model::ExecutionId::from_uuid(uuid(id_time, number * 7919 % 101)),
                        plugin: plugin(plugin_name),
                        action: action(action_name),
                        user_id: (user > 0).then(|| user_id(user)),
                        source,
                        outcome: match status {
                            ExecutionStatus::Running => ExecutionOutcome::Running,
                            ExecutionStatus::Success => ExecutionOutcome::Success(json!({"n": number})),
                            ExecutionStatus::Failure => failure(),
                        },
                        duration: std::time::Duration::ZERO,
                        created_at: moment(at),
                        ..execution(number)
                    }
                },
            )
            .collect()
    })
}

fn filters() -> impl Strategy<Value = ExecutionFilter> {
    let maybe = proptest::option::of::<proptest::sample::Select<i64>>;
    let names = (
        proptest::option::of(1..4_u64),
        proptest::option::of(select(vec!["sample", "llm", "absent"])),
        proptest::option::of(select(vec!["echo", "add", "absent"])),
        proptest::option::of(select(ExecutionStatus::ALL.to_vec())),
        proptest::option::of(select(Source::ALL.to_vec())),
    );
    let times = (
        maybe(select((-2..42).collect::<Vec<i64>>())),
        maybe(select((-2..42).collect::<Vec<i64>>())),
    );
    (names, times).prop_map(
        |((user, plugin_name, action_name, status, source), (since, until))| ExecutionFilter {
            user_id: user.map(user_id),
            plugin: plugin_name.map(plugin),
            action: action_name.map(action),
            status,
            source,
            since: since.map(moment),
            until: until.map(moment),
        },
    )
}

fn fits(filter: &ExecutionFilter, execution: &Execution) -> bool {
    filter.user_id.is_none_or(|id| execution.user_id == Some(id))
        && filter
            .plugin
            .as_ref()
            .is_none_or(|name| execution.plugin == *name)
        && filter
            .action
            .as_ref()
            .is_none_or(|name| execution.action == *name)
        && filter
            .status
            .is_none_or(|status| execution.outcome.status() == status)
        && filter.source.is_none_or(|source| execution.source == source)
        && filter.since.is_none_or(|since| execution.created_at >= since)
        && filter.until.is_none_or(|until| execution.created_at < until)
}

async fn store_all(store: &Arc<dyn Store>, rows: &[Execution]) {
    for row in rows {
        store.record_execution(row.clone()).await.unwrap();
    }
}

async fn executions_are_listed_once_each_under_every_filter_order_and_page_size<E: Engine>(_: E) {
    let question = (filters(), select(BOTH.to_vec()), select(vec![1_u16, 2, 5, 100]));
    let case = (rows(), proptest::collection::vec(question, 60), Just(()));
    let config = Config {
        cases: 24,
        failure_persistence: None,
        max_shrink_iters: 64,
        ..Config::default()
    };
    let handle = tokio::runtime::Handle::current();
    let check = |(rows, questions, ()): (Vec<Execution>, Vec<(ExecutionFilter, Direction, u16)>, ())| {
        handle.block_on(async {
            let engine = E::default();
            let store = engine.open().await;
            store_all(&store, &rows).await;
            for (filter, direction, limit) in questions {
                let mut expected: Vec<_> = rows.iter().filter(|row| fits(&filter, row)).cloned().collect();
                expected.sort_by_key(|row| row.id);
                let list = async |request: &_| store.list_executions(&filter, request).await;
                let (found, total) = walk(first_page((), direction, limit), list).await;
                if count(total) != count(u64::try_from(expected.len()).unwrap()) {
                    return Err(TestCaseError::fail(format!("total {total} under {filter:?}")));
                }
                if found != directed(expected, direction) {
                    return Err(TestCaseError::fail(format!("{found:?} under {filter:?}")));
                }
            }
            Ok(())
        })
    };
    tokio::task::block_in_place(|| TestRunner::new(config).run(&case, check)).unwrap();
}

async fn an_execution_that_ends_moves_between_the_lists_of_statuses(engine: impl Engine) {
    let store = engine.open().await;
    for number in 1..=5 {
        store
            .record_execution(crate::make::running(number))
            .await
            .unwrap();
    }
    let outcome = ExecutionOutcome::Success(json!(1));
    let ended = store.complete_execution(execution(3).id, outcome, std::time::Duration::from_micros(5));
    ended.await.unwrap();
    for user in [None, Some(user_id(1))] {
        for (status, expected) in [
            (ExecutionStatus::Running, 4),
            (ExecutionStatus::Success, 1),
            (ExecutionStatus::Failure, 0),
        ] {
            let filter = ExecutionFilter {
                user_id: user,
                status: Some(status),
                ..ExecutionFilter::default()
            };
            let list = async |request: &_| store.list_executions(&filter, request).await;
            let (found, total) = walk(first_page((), Direction::Descending, 2), list).await;
            assert_eq!(
                (found.len(), total),
                (expected, u64::try_from(expected).unwrap()),
                "{status:?}"
            );
        }
    }
}

async fn a_list_goes_on_where_it_was_though_new_ones_arrive(engine: impl Engine) {
    let store = engine.open().await;
    for number in 1..=6 {
        store.record_execution(execution(number)).await.unwrap();
    }
    let filter = ExecutionFilter::default();
    let mut request = first_page((), Direction::Descending, 4);
    let first = store.list_executions(&filter, &request).await.unwrap();
    store.record_execution(execution(7)).await.unwrap();
    request.after = first.next;
    let second = store.list_executions(&filter, &request).await.unwrap();
    let ids: Vec<_> = first
        .items
        .iter()
        .chain(&second.items)
        .map(|item| item.id)
        .collect();
    assert_eq!(ids, [6, 5, 4, 3, 2, 1].map(|number| execution(number).id));
}

async fn a_position_of_a_list_in_another_order_is_refused(engine: impl Engine) {
    let store = engine.open().await;
    for number in 1..=3 {
        store.record_execution(execution(number)).await.unwrap();
    }
    let filter = ExecutionFilter::default();
    let mut request = first_page((), Direction::Ascending, 1);
    let mut position = store
        .list_executions(&filter, &request)
        .await
        .unwrap()
        .next
        .unwrap();
    position.value = SortValue::Text("x".into());
    request.after = Some(position);
    let error = store.list_executions(&filter, &request).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ValidationFailed);
}

const MEBIBYTE: usize = 1024 * 1024;

/// A call with so much in payload and result together.
fn long(number: u64, mebibytes: usize) -> Execution {
    let half = json!("x".repeat(mebibytes * MEBIBYTE / 2));
    Execution {
        payload: half.clone(),
        outcome: ExecutionOutcome::Success(half),
        ..execution(number)
    }
}

async fn a_page_of_long_executions_ends_early_and_leads_on(engine: impl Engine) {
    let store = engine.open().await;
    for (number, mebibytes) in [(1, 3), (2, 3), (3, 3), (4, 9), (5, 1), (6, 6)] {
        store.record_execution(long(number, mebibytes)).await.unwrap();
    }
    let of_a_tool = ExecutionFilter {
        plugin: Some(plugin("sample")),
        ..ExecutionFilter::default()
    };
    let of_a_caller = ExecutionFilter {
        user_id: Some(user_id(1)),
        ..ExecutionFilter::default()
    };
    for filter in [ExecutionFilter::default(), of_a_tool, of_a_caller] {
        for (direction, lengths) in [
            (Direction::Ascending, vec![2, 1, 1, 2]),
            (Direction::Descending, vec![2, 1, 2, 1]),
        ] {
            let request = first_page((), direction, 100);
            let list = async |request: &_| store.list_executions(&filter, request).await;
            let (pages, calls) = walk_any(request, list).await;
            assert_eq!(pages, lengths, "one is on a page even if it alone is too long");
            let ids: Vec<_> = calls.iter().map(|call| call.id).collect();
            let all = (1..=6).map(|number| execution(number).id).collect();
            assert_eq!(ids, directed(all, direction));
        }
    }
}

async fn of_long_attempts_the_latest_that_fit_are_listed(engine: impl Engine) {
    let store = engine.open().await;
    let add = async |number, mebibytes| {
        let mut call = long(u64::from(number), mebibytes);
        call.task = Some(CallTry {
            task_id: task_id(1),
            attempt: number,
        });
        store.record_execution(call).await.unwrap();
    };
    let listed = async || {
        let calls = store.list_attempts(task_id(1), 100).await.unwrap();
        let attempts = calls.iter().map(|call| call.task.unwrap().attempt);
        attempts.collect::<Vec<_>>()
    };
    for number in 1..=3 {
        add(number, 3).await;
    }
    assert_eq!(listed().await, [3, 2]);
    add(4, 9).await;
    assert_eq!(listed().await, [4]);
}
