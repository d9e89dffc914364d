//! What is taken from somebody on one server is gone on every other one within a second; and what one server does, the
//! others see at once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::Method;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    caller::{Caller, PASSWORD, Person, Reply},
    fixture::{PATIENCE, Server},
    home::{self, Home},
};

const PROFILE: &str = "/api/v1/auth/profile";

/// From when on after a change it must hold everywhere.
const EVERYWHERE_AFTER: Duration = Duration::from_secs(1);

/// Two servers on one database, that hear of each other or don't.
struct Pair {
    one: Server,
    other: Server,
}

impl Pair {
    /// `None`, and a word about it, where there is no database.
    async fn start(is_heard: bool) -> Option<Self> {
        let home = if is_heard {
            Home::shared()?
        } else {
            Home::on(Some(home::program("MONGODB_URI")?), None)
        };
        let home = Arc::new(home);
        Some(Self {
            one: Server::start_in(&home, &[]).await,
            other: Server::start_in(&home, &[]).await,
        })
    }

    /// Whoever is signed in on one server, as a caller of the other one.
    fn elsewhere(&self, person: &Person) -> Caller {
        Caller::stranger(&self.other).with_token(&person.token)
    }

    async fn stop(self) {
        self.one.stop().await;
        self.other.stop().await;
    }
}

/// Asks the other server again and again until it refuses; fails when it accepts what is asked too long after
/// `acknowledged`, however late it answers.
async fn until_refused(caller: &Caller, path: &str, acknowledged: Instant) -> Reply {
    loop {
        let asked_after = acknowledged.elapsed();
        let reply = caller.get(path).await;
        if reply.status != 200 {
            return reply;
        }
        assert!(
            asked_after < EVERYWHERE_AFTER,
            "accepted {asked_after:?} after the change"
        );
    }
}

async fn take_away(pair: &Pair, deed: &str, ada: &Person) -> Instant {
    let operator = Caller::operator(&pair.one);
    let user = format!("/api/v1/users/{}", ada.id);
    let reply = match deed {
        "deactivated" => operator.put(&user, json!({ "isActive": false })).await,
        "deleted" => operator.delete(&user).await,
        "signed out" => ada.caller.post("/api/v1/auth/logout", json!({})).await,
        "signed out everywhere" => ada.caller.post("/api/v1/auth/logout-all", json!({})).await,
        "given a new password" => {
            let body = json!({ "currentPassword": PASSWORD, "newPassword": "another horse battery" });
            // It ends all sessions but the one that gives it.
            let again = ada.again().await;
            again.caller.put("/api/v1/auth/password", body).await
        }
        _ => unreachable!("{deed}"),
    };
    let acknowledged = Instant::now();
    assert!(reply.status < 300, "{}", reply.text);
    acknowledged
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a14_who_is_no_more_what_they_were_is_refused_on_every_server_within_a_second(
    #[values(
        "deactivated",
        "deleted",
        "signed out",
        "signed out everywhere",
        "given a new password"
    )]
    deed: &str,
    #[values(true, false)] is_heard: bool,
) {
    let Some(pair) = Pair::start(is_heard).await else {
        return;
    };
    let (ada, eve) = (
        Person::new(&pair.one, "ada", "user").await,
        Person::new(&pair.one, "eve", "user").await,
    );
    let (ada_elsewhere, eve_elsewhere) = (pair.elsewhere(&ada), pair.elsewhere(&eve));
    for caller in [&ada_elsewhere, &eve_elsewhere] {
        caller.get(PROFILE).await.expect(200);
    }
    let acknowledged = take_away(&pair, deed, &ada).await;
    until_refused(&ada_elsewhere, PROFILE, acknowledged)
        .await
        .refused(401, "invalid_token");
    eve_elsewhere.get(PROFILE).await.expect(200);
    pair.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a14_who_is_an_admin_no_more_is_refused_as_one_on_every_server_within_a_second(
    #[values(true, false)] is_heard: bool,
) {
    let Some(pair) = Pair::start(is_heard).await else {
        return;
    };
    let root = Person::new(&pair.one, "root", "admin").await;
    let ada = Person::new(&pair.one, "ada", "admin").await;
    let elsewhere = pair.elsewhere(&ada);
    elsewhere.get("/api/v1/users").await.expect(200);
    let path = format!("/api/v1/users/{}", ada.id);
    let demoted = root.caller.put(&path, json!({ "role": "user" })).await;
    let acknowledged = Instant::now();
    demoted.expect(200);
    until_refused(&elsewhere, "/api/v1/users", acknowledged)
        .await
        .refused(403, "forbidden");
    pair.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a14_a_key_that_is_revoked_is_refused_on_every_server_within_a_second(
    #[values(true, false)] is_heard: bool,
) {
    let Some(pair) = Pair::start(is_heard).await else {
        return;
    };
    let ada = Person::new(&pair.one, "ada", "user").await;
    let (id, key) = ada.key(&[]).await;
    let elsewhere = Caller::stranger(&pair.other).with_key(key.key());
    elsewhere.get(PROFILE).await.expect(200);
    let revoked = ada.caller.delete(&format!("/api/v1/auth/api-keys/{id}")).await;
    let acknowledged = Instant::now();
    revoked.expect(200);
    until_refused(&elsewhere, PROFILE, acknowledged)
        .await
        .refused(401, "invalid_token");
    pair.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_is_done_on_one_server_is_seen_by_who_waits_on_another(
    #[values(true, false)] is_heard: bool,
) {
    let Some(pair) = Pair::start(is_heard).await else {
        return;
    };
    let ada = Person::new(&pair.one, "ada", "user").await;
    let waiting = pair.elsewhere(&ada);
    for number in 0..10 {
        let task = json!({
            "title": "add", "plugin": "sample", "action": "add", "payload": { "a": number, "b": 1 },
            "scheduledAt": "2099-01-01T00:00:00Z",
        });
        let made = ada.caller.post("/api/v1/tasks", task).await.expect(201).data();
        let path = format!("/api/v1/tasks/{}/execute?wait=30s", made["id"].as_str().unwrap());
        let done = waiting.send(Method::POST, &path, None).await.expect(200).data();
        assert_eq!(done["status"], "completed", "{done}");
    }
    pair.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_is_called_off_on_one_server_stops_on_whichever_it_runs(
    #[values(true, false)] is_heard: bool,
) {
    let Some(pair) = Pair::start(is_heard).await else {
        return;
    };
    let ada = Person::new(&pair.one, "ada", "user").await;
    let elsewhere = pair.elsewhere(&ada);
    for caller in [&ada.caller, &elsewhere] {
        let task =
            json!({ "title": "long", "plugin": "sample", "action": "sleep", "payload": { "ms": 60_000 } });
        let made = caller.post("/api/v1/tasks", task).await.expect(201).data();
        let path = format!("/api/v1/tasks/{}", made["id"].as_str().unwrap());
        when(caller, &path, |task| task["status"] == "in-progress").await;
        // One of the two is not where it runs.
        let cancelled = elsewhere
            .send(Method::POST, &format!("{path}/cancel"), None)
            .await;
        cancelled.expect(200);
        let history = format!("{path}/attempts");
        when(caller, &history, |calls| calls[0]["error"]["code"] == "cancelled").await;
    }
    pair.stop().await;
}

/// Reads something again and again until it is as wanted.
async fn when(caller: &Caller, path: &str, is_wanted: impl Fn(&Value) -> bool + Send + Sync) {
    let looking = async {
        while !is_wanted(&caller.get(path).await.expect(200).data()) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, looking).await.expect("it doesn't come to that");
}
