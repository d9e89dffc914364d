//! What was acknowledged is there after `kill -9`, whenever it comes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::process::{Place, Running};

const KILLS: usize = 200;
const WRITERS: usize = 8;

/// Everything that the server said yes to.
#[derive(Default)]
struct Acknowledged {
    executions: BTreeSet<String>,
    accounts: Vec<String>,
    keys: Vec<String>,
}

#[test]
fn g01_every_acknowledged_write_survives_kill_9_at_any_moment() {
    let place = Place::embedded();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut random = Random(0x5eed_2026);
    let mut acknowledged = Acknowledged::default();
    let mut token = None;
    for kill in 0..KILLS {
        let server = start(&place);
        let token = token.get_or_insert_with(|| server.register("writer")).clone();
        runtime.block_on(require_latest(&server.url, &token, &acknowledged));
        let after = Duration::from_millis(5 + random.below(120));
        let written = runtime.block_on(async {
            let writers = write_until_it_ends(&server.url, &token, kill);
            let murder = async {
                tokio::time::timeout(after, std::future::pending::<()>())
                    .await
                    .unwrap_err();
                server.signal(Signal::SIGKILL);
            };
            futures_util::future::join(writers, murder).await.0
        });
        assert!(!server.wait().0.success());
        acknowledged.executions.extend(written.executions);
        acknowledged.accounts.extend(written.accounts);
        acknowledged.keys.extend(written.keys);
    }
    assert!(
        acknowledged.executions.len() > KILLS,
        "hardly anything was written: the loop proves nothing"
    );
    assert!(!acknowledged.accounts.is_empty() && !acknowledged.keys.is_empty());
    let server = start(&place);
    runtime.block_on(require_all(&server.url, &token.unwrap(), &acknowledged));
}

fn start(place: &Place) -> Running {
    place.start(&[
        ("RATE_LIMIT_MAX_REQUESTS", "1000000"),
        ("RATE_LIMIT_USER_MAX_REQUESTS", "10000000"),
        ("LOG_LEVEL", "info"),
    ])
}

/// Writes through several connections at once, until the server is gone.
async fn write_until_it_ends(url: &str, token: &str, round: usize) -> Acknowledged {
    let serial = AtomicUsize::new(0);
    let writers = (0..WRITERS).map(|_| async {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(10))
            .no_proxy()
            .build()
            .unwrap();
        let mut written = Acknowledged::default();
        while write_once(
            &client,
            url,
            token,
            (round, serial.fetch_add(1, Ordering::Relaxed)),
            &mut written,
        )
        .await
        .is_some()
        {}
        written
    });
    let mut all = Acknowledged::default();
    for written in futures_util::future::join_all(writers).await {
        all.executions.extend(written.executions);
        all.accounts.extend(written.accounts);
        all.keys.extend(written.keys);
    }
    all
}

/// Makes one write and notes what was acknowledged; `None` when the server doesn't answer any more.
async fn write_once(
    client: &reqwest::Client,
    url: &str,
    token: &str,
    (round, serial): (usize, usize),
    written: &mut Acknowledged,
) -> Option<()> {
    match serial % 16 {
        5 => {
            let name = format!("user-{round}-{serial}");
            let body = json!({"email": format!("{name}@example.org"), "username": name, "password": "correct horse battery"});
            let answer = post(client, url, "/api/v1/auth/register", None, &body).await?;
            written
                .accounts
                .push(answer["data"]["user"]["email"].as_str()?.to_owned());
        }
        9 if written.keys.is_empty() && round % 4 == 0 => {
            let body = json!({"name": format!("key {round} {serial}")});
            let (status, answer) =
                send(client, url, "/api/v1/auth/api-key/generate", Some(token), &body).await?;
            // The number of live keys is limited; a refusal acknowledges nothing.
            if status == 201 {
                written.keys.push(answer["data"]["key"].as_str()?.to_owned());
            }
        }
        _ => {
            let body = json!({"plugin": "sample", "action": "echo", "payload": {"message": format!("{round} {serial}")}});
            let answer = post(client, url, "/mcp/execute", Some(token), &body).await?;
            written
                .executions
                .insert(answer["data"]["executionId"].as_str()?.to_owned());
        }
    }
    Some(())
}

async fn post(
    client: &reqwest::Client,
    url: &str,
    path: &str,
    token: Option<&str>,
    body: &Value,
) -> Option<Value> {
    let (status, answer) = send(client, url, path, token, body).await?;
    assert!((200..300).contains(&status), "{path}: {status} {answer}");
    Some(answer)
}

async fn send(
    client: &reqwest::Client,
    url: &str,
    path: &str,
    token: Option<&str>,
    body: &Value,
) -> Option<(u16, Value)> {
    let mut request = client.post(format!("{url}{path}")).json(body);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.ok()?;
    Some((answer.status().as_u16(), answer.json().await.ok()?))
}

/// Checks the last writes before the kill, right after the start.
async fn require_latest(url: &str, token: &str, acknowledged: &Acknowledged) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for id in acknowledged.executions.iter().rev().take(20) {
        let answer = client
            .get(format!("{url}/mcp/history/{id}"))
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        assert_eq!(
            answer.status(),
            200,
            "execution {id} was acknowledged and is lost"
        );
    }
}

/// Checks everything: each execution is in the history once, each account signs in, each key is accepted.
async fn require_all(url: &str, token: &str, acknowledged: &Acknowledged) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut seen = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = client
            .get(format!("{url}/mcp/history?limit=100{cursor}"))
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        let page: Value = page.json().await.unwrap();
        for execution in page["data"].as_array().unwrap() {
            assert!(
                seen.insert(execution["id"].as_str().unwrap().to_owned()),
                "listed twice: {execution}"
            );
        }
        let Some(next) = page["page"]["nextCursor"].as_str() else {
            assert_eq!(
                page["page"]["total"],
                seen.len(),
                "the total and the rows disagree"
            );
            break;
        };
        cursor = format!("&cursor={next}");
    }
    let lost: Vec<_> = acknowledged.executions.difference(&seen).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    for email in &acknowledged.accounts {
        let body = json!({"email": email, "password": "correct horse battery"});
        let (status, answer) = send(&client, url, "/api/v1/auth/login", None, &body)
            .await
            .unwrap();
        assert_eq!(
            status, 200,
            "{email} was acknowledged and can't sign in: {answer}"
        );
    }
    for key in &acknowledged.keys {
        let answer = client
            .get(format!("{url}/api/v1/auth/profile"))
            .header("X-API-Key", key)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "a key was acknowledged and is refused");
    }
}

/// A small generator of numbers, so that a run can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
