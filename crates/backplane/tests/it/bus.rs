//! What every bus does: another one joins by one more line at the end.

use std::sync::Arc;

use backplane::LocalBus;
use futures_util::FutureExt as _;
use model::{Bus, Notice, TaskId, UserId};
use uuid::Uuid;

type Process = Arc<dyn Bus>;

pub(crate) fn message(body: impl Into<String>) -> Notice {
    Notice::Message {
        topic: "test".to_owned(),
        body: body.into(),
    }
}

/// A notice of every kind.
pub(crate) fn all_kinds() -> Vec<Notice> {
    let task = TaskId::from_uuid(Uuid::from_u128(2));
    vec![
        Notice::AccessChanged {
            user: UserId::from_uuid(Uuid::from_u128(1)),
        },
        Notice::WorkReady,
        Notice::TaskChanged { task },
        Notice::TaskAsks { task },
        Notice::TaskEnded { task },
        Notice::AttemptStopped { task, attempt: 3 },
        message("\u{0}\"\n… and more"),
    ]
}

async fn a_process_does_not_hear_itself(processes: [Process; 2]) {
    let mut listener = processes[0].listen();
    for notice in all_kinds() {
        processes[0].announce(notice);
    }
    assert!(listener.next().now_or_never().is_none());
}

async fn announcing_never_waits_and_never_fails(processes: [Process; 2]) {
    for number in 0..100_000_u32 {
        let task = TaskId::from_uuid(Uuid::from_u128(number.into()));
        processes[0].announce(Notice::TaskEnded { task });
    }
    processes[0].announce(message("x".repeat(Notice::MAX_BODY_BYTES + 1)));
}

async fn a_wait_that_is_given_up_leaves_nothing_out(processes: [Process; 2]) {
    let mut listener = processes[0].listen();
    for _ in 0..10 {
        assert!(listener.next().now_or_never().is_none());
    }
}

macro_rules! contract {
    ($(#[$condition:meta])? $bus:ident, $make:expr; $($promise:ident)*) => {
        $(#[$condition])?
        mod $bus {
            $(#[tokio::test]
            async fn $promise() {
                if let Some(processes) = $make {
                    super::$promise(processes).await;
                }
            })*
        }
    };
    ($($(#[$condition:meta])? $bus:ident: $make:expr;)*) => {$(
        contract! { $(#[$condition])? $bus, $make;
            a_process_does_not_hear_itself
            announcing_never_waits_and_never_fails
            a_wait_that_is_given_up_leaves_nothing_out
        }
    )*};
}

contract! {
    local: Some([super::alone(), super::alone()]);
    #[cfg(feature = "redis")]
    redis: crate::redis::bus::two_processes().await.map(|two| two.map(|process| process as _));
}

fn alone() -> Process {
    Arc::new(LocalBus)
}
