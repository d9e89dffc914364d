//! What the process holds does not grow with what it did.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::process::{Place, Running};

const CALLERS: usize = 8;
const WARM_UP_CALLS: usize = 2_000;
const CALLS: usize = 8_000;

/// What a process holds of its machine.
#[derive(Debug)]
struct Holdings {
    resident_kib: u64,
    descriptors: usize,
    threads: u64,
}

#[test]
fn g12_memory_descriptors_and_threads_stay_flat_however_many_calls_come() {
    let place = Place::new();
    let server = place.start(&[
        ("RATE_LIMIT_USER_MAX_REQUESTS", "10000000"),
        ("LOG_LEVEL", "warn,server::lifecycle=info"),
    ]);
    let token = server.register("ada");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let clients: Vec<_> = (0..CALLERS)
        .map(|_| {
            reqwest::Client::builder()
                .timeout(Duration::from_secs(30))
                .no_proxy()
                .build()
                .unwrap()
        })
        .collect();

    runtime.block_on(call(&clients, &server.url, &token, WARM_UP_CALLS));
    let before = Holdings::of(&server);
    runtime.block_on(call(&clients, &server.url, &token, CALLS));
    let after = Holdings::of(&server);

    assert!(
        after.descriptors <= before.descriptors + 2,
        "{before:?} {after:?}"
    );
    assert!(after.threads <= before.threads + 2, "{before:?} {after:?}");
    // A leak of 1 KiB a call would show twice over.
    assert!(
        after.resident_kib <= before.resident_kib + 4 * 1024,
        "{before:?} {after:?}"
    );
}

async fn call(clients: &[reqwest::Client], url: &str, token: &str, calls: usize) {
    let callers = clients.iter().map(|client| async move {
        for serial in 0..calls / CALLERS {
            let body =
                json!({"plugin": "sample", "action": "echo", "payload": {"message": serial.to_string()}});
            let request = client
                .post(format!("{url}/mcp/execute"))
                .bearer_auth(token)
                .json(&body);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 200);
            answer.bytes().await.unwrap();
        }
    });
    futures_util::future::join_all(callers).await;
}

impl Holdings {
    fn of(server: &Running) -> Self {
        let process = format!("/proc/{}", server.pid());
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let number = |name: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        Self {
            resident_kib: number("VmRSS:"),
            descriptors: fs::read_dir(format!("{process}/fd")).unwrap().count(),
            threads: number("Threads:"),
        }
    }
}
