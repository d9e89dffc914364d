//! The history of calls.

mod list;

use std::{sync::Arc, time::Duration};

use model::{
    CallStatistics, CallTry, ErrorCode, Execution, ExecutionFilter, ExecutionId, ExecutionOutcome,
    ExecutionStatus, Source, Store, TaskId, ToolName,
};
use serde_json::{Value, json};

use super::user::at_once;
use crate::{
    engine::Engine,
    make::{account, action, count, execution, failure, moment, plugin, running, tool, user_id, uuid},
    walk::{BOTH, first_page},
};

crate::on_every_engine![
    executions_are_found_as_they_were_stored,
    b01_an_execution_is_found_by_its_owner_alone_unless_all_are_asked_for,
    c08_payload_and_result_come_back_exactly,
    a_value_too_deep_to_be_read_again_is_refused,
    an_end_is_recorded_once,
    of_many_ends_one_is_recorded,
    an_execution_is_recorded_once,
    statistics_count_what_ended,
    interrupted_executions_are_ended_in_portions,
    many_records_at_once_are_all_kept_and_counted,
];

async fn found(store: &Arc<dyn Store>, id: ExecutionId) -> Execution {
    store.find_execution(id, None).await.unwrap().unwrap()
}

/// What is counted of the actions that the cases call.
async fn counted(store: &Arc<dyn Store>) -> Vec<CallStatistics> {
    let tools = [tool("echo"), tool("add")];
    store.call_statistics(&tools, None).await.unwrap()
}

async fn executions_are_found_as_they_were_stored(engine: impl Engine) {
    let store = engine.open().await;
    let mut bare = execution(1);
    (bare.user_id, bare.ip_address, bare.user_agent) = (None, None, None);
    let mut full = execution(2);
    full.task = Some(CallTry {
        task_id: TaskId::from_uuid(uuid(9, 9)),
        attempt: 7,
    });
    full.source = Source::Task;
    full.user_agent = Some("ünï/1.0 'quoted\" \\".into());
    let mut failed = execution(3);
    failed.outcome = failure();
    failed.source = Source::Mcp;
    for stored in [bare, full, failed, running(4)] {
        store.record_execution(stored.clone()).await.unwrap();
        assert_eq!(found(&store, stored.id).await, stored);
    }
    let mut fine = execution(5);
    fine.duration = Duration::from_nanos(1_234_567_891);
    store.record_execution(fine.clone()).await.unwrap();
    assert_eq!(
        found(&store, fine.id).await.duration,
        Duration::from_micros(1_234_567)
    );
}

async fn b01_an_execution_is_found_by_its_owner_alone_unless_all_are_asked_for(engine: impl Engine) {
    let store = engine.open().await;
    let mut operators = execution(2);
    operators.user_id = None;
    store.record_execution(execution(1)).await.unwrap();
    store.record_execution(operators).await.unwrap();
    let sees = async |number, owner| {
        store
            .find_execution(execution(number).id, owner)
            .await
            .unwrap()
            .is_some()
    };
    assert!(sees(1, None).await && sees(1, Some(user_id(1))).await && sees(2, None).await);
    assert!(!sees(1, Some(user_id(2))).await && !sees(2, Some(user_id(1))).await && !sees(404, None).await);
}

async fn c08_payload_and_result_come_back_exactly(engine: impl Engine) {
    let store = engine.open().await;
    let mut payload = json!({
        "z": {"$where": "1", "a.b": [[], {}, ""]}, "a": null, "__proto__": 1, "": {"": ""},
        "text": "\u{0}\u{7f}\u{202e}\u{1F469}\u{200D}\u{1F680} e\u{301} \\ \" '",
        "numbers": [0, -0.0, 0.1, 1e-300, 1.797_693_134_862_315_7e308, u64::MAX, i64::MIN, 5e-324],
        "long": "x".repeat(1_000_000),
    });
    for number in 0..10_000 {
        payload[format!("k{}.{number}$", number % 7)] = Value::from(number);
    }
    let mut stored = execution(1);
    stored.outcome = ExecutionOutcome::Success(json!([payload]));
    stored.payload = payload;
    let text = |execution: &Execution| format!("{:?}{}", execution.outcome, execution.payload);
    store.record_execution(stored.clone()).await.unwrap();
    let kept = found(&store, stored.id).await;
    assert!(text(&kept) == text(&stored), "the order of keys counts too");
}

async fn a_value_too_deep_to_be_read_again_is_refused(engine: impl Engine) {
    let store = engine.open().await;
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    let mut deep = execution(1);
    deep.payload = nested(127);
    store.record_execution(deep.clone()).await.unwrap();
    assert_eq!(found(&store, deep.id).await, deep);
    let mut deeper = execution(2);
    deeper.payload = nested(128);
    let error = store.record_execution(deeper).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ValidationFailed);
    assert_eq!(error.details()[0].path, "payload");
}

async fn complete(store: &Arc<dyn Store>, number: u64, outcome: ExecutionOutcome) -> model::Result<()> {
    let duration = Duration::from_micros(7000);
    store
        .complete_execution(execution(number).id, outcome, duration)
        .await
}

async fn an_end_is_recorded_once(engine: impl Engine) {
    let store = engine.open().await;
    for number in [1, 2] {
        store.record_execution(running(number)).await.unwrap();
    }
    let success = ExecutionOutcome::Success(json!({"b": 1, "a": 2}));
    complete(&store, 1, success.clone()).await.unwrap();
    complete(&store, 2, failure()).await.unwrap();
    for (number, outcome) in [(1, success), (2, failure())] {
        let ended = found(&store, execution(number).id).await;
        let expected = Execution {
            outcome,
            duration: Duration::from_micros(7000),
            ..execution(number)
        };
        assert_eq!(ended, expected);
    }
    store.record_execution(execution(3)).await.unwrap();
    for number in [1, 2, 3, 404] {
        let error = complete(&store, number, failure()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Conflict, "{number}");
    }
    assert_eq!(found(&store, execution(3).id).await, execution(3));
}

async fn of_many_ends_one_is_recorded(engine: impl Engine) {
    let store = engine.open().await;
    store.record_execution(running(1)).await.unwrap();
    let works = (0..20).map(|number| {
        let store = Arc::clone(&store);
        async move {
            complete(&store, 1, ExecutionOutcome::Success(json!(number)))
                .await
                .map(|()| number)
        }
    });
    let ended: Vec<u64> = at_once(works).await.into_iter().filter_map(Result::ok).collect();
    assert_eq!(ended.len(), 1);
    assert_eq!(
        found(&store, execution(1).id).await.outcome,
        ExecutionOutcome::Success(json!(ended[0]))
    );
    assert_eq!(counted(&store).await[0].successes, 1);
}

async fn an_execution_is_recorded_once(engine: impl Engine) {
    let store = engine.open().await;
    store.record_execution(execution(1)).await.unwrap();
    let mut other = execution(1);
    other.plugin = plugin("other");
    assert!(store.record_execution(other).await.is_err());
    assert_eq!(found(&store, execution(1).id).await, execution(1));
    let page = store
        .list_executions(&ExecutionFilter::default(), &first_page((), BOTH[0], 10))
        .await
        .unwrap();
    assert_eq!(page.total, 1);
    let other = ToolName {
        plugin: plugin("other"),
        ..tool("echo")
    };
    let statistics = store.call_statistics(&[other, tool("echo")], None).await.unwrap();
    assert_eq!(statistics.len(), 1);
}

async fn statistics_count_what_ended(engine: impl Engine) {
    let store = engine.open().await;
    assert!(counted(&store).await.is_empty());
    for number in 1..=6 {
        let mut stored = execution(number);
        stored.duration = Duration::from_micros(number);
        stored.action = action(if number <= 4 { "echo" } else { "add" });
        stored.user_id = (number % 2 == 0).then(|| user_id(number));
        if number == 3 {
            stored.outcome = failure();
        }
        store.record_execution(stored).await.unwrap();
    }
    store.record_execution(running(9)).await.unwrap();
    store.record_execution(running(10)).await.unwrap();
    complete(&store, 9, failure()).await.unwrap();
    let statistics = |name, successes, failures, micros, last| CallStatistics {
        plugin: plugin("sample"),
        action: action(name),
        successes,
        failures,
        total_duration: Duration::from_micros(micros),
        last_called_at: Some(moment(last)),
    };
    let (echo, add) = (statistics("echo", 3, 2, 7010, 9), statistics("add", 2, 0, 11, 6));
    assert_eq!(counted(&store).await, [echo.clone(), add.clone()]);
    let asked = [tool("add"), tool("never"), tool("echo")];
    assert_eq!(store.call_statistics(&asked, None).await.unwrap(), [add, echo]);
    let of = async |caller| {
        store
            .call_statistics(&asked, Some(user_id(caller)))
            .await
            .unwrap()
    };
    assert_eq!(of(1).await, [statistics("echo", 0, 1, 7000, 9)]);
    assert_eq!(of(4).await, [statistics("echo", 1, 0, 4, 4)]);
    assert_eq!(of(6).await, [statistics("add", 1, 0, 6, 6)]);
    assert!(of(5).await.is_empty());
}

async fn interrupted_executions_are_ended_in_portions(engine: impl Engine) {
    let store = engine.open().await;
    for number in 10..20 {
        let mut stored = running(number);
        stored.action = action(if number % 2 == 0 { "echo" } else { "add" });
        store.record_execution(stored).await.unwrap();
    }
    store.record_execution(execution(5)).await.unwrap();
    let close = async |limit| {
        store
            .close_interrupted_executions(moment(16), limit)
            .await
            .unwrap()
    };
    assert_eq!(close(4).await, 4);
    assert_eq!(close(100).await, 2);
    assert_eq!(close(100).await, 0);
    for number in 10..20 {
        let kept = found(&store, execution(number).id).await;
        match kept.outcome {
            ExecutionOutcome::Running => assert!(number >= 16),
            ExecutionOutcome::Failure(failure) => {
                assert!(number < 16);
                assert_eq!(failure.code, "interrupted");
            }
            ExecutionOutcome::Success(_) => panic!("nothing succeeded"),
        }
    }
    let failures: u64 = counted(&store).await.iter().map(|entry| entry.failures).sum();
    assert_eq!(failures, 6);
}

async fn many_records_at_once_are_all_kept_and_counted(engine: impl Engine) {
    const CALLERS: u64 = 32;
    const EACH: u64 = 25;
    let store = engine.open().await;
    store.create_user(&account(1)).await.unwrap();
    let works = (0..CALLERS).map(|caller| {
        let store = Arc::clone(&store);
        async move {
            for number in 1..=EACH {
                let mut stored = execution(caller * EACH + number);
                stored.user_id = Some(user_id(caller % 3));
                store.record_execution(stored.clone()).await.unwrap();
                let kept = store.find_execution(stored.id, None).await.unwrap();
                assert_eq!(kept, Some(stored), "what was acknowledged is there");
            }
        }
    });
    at_once(works).await;
    let total = async |filter: &ExecutionFilter| {
        let page = store.list_executions(filter, &first_page((), BOTH[0], 1)).await;
        page.unwrap().total
    };
    assert_eq!(total(&ExecutionFilter::default()).await, CALLERS * EACH);
    let mut sum = 0;
    for number in 0..3 {
        let filter = ExecutionFilter {
            user_id: Some(user_id(number)),
            status: Some(ExecutionStatus::Success),
            ..ExecutionFilter::default()
        };
        sum += total(&filter).await;
    }
    assert_eq!(count(sum), count(CALLERS * EACH));
    assert_eq!(counted(&store).await[0].successes, CALLERS * EACH);
}
