//! Two engines on one store that says of itself that it is shared: what one does matters to the other.

use std::{sync::Arc, time::Duration};

use engine::{Duty, Engine, Presented};
use model::{ErrorCode, Notice, Principal, TaskStatus, UserChange};
use serde_json::json;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    ether::Ether,
    fixture::{Person, client, code},
    shop::{Shop, admin},
    worker::job,
};

/// How long something may be waited for; reached only when it never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two processes.
struct Pair {
    ether: Ether,
    one: Shop,
    other: Engine,
    reading: Arc<dyn Duty>,
}

impl Pair {
    fn open() -> Self {
        let ether = Ether::default();
        let one = Shop::open_shared(&ether);
        let other = one.another_engine();
        let reading = reading_of(&other);
        Self {
            ether,
            one,
            other,
            reading,
        }
    }

    async fn is_accepted(&self, person: &Person) -> bool {
        let presented = Presented::Bearer(person.token());
        match self.other.authenticate(presented).await {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.code(), ErrorCode::InvalidToken);
                false
            }
        }
    }

    /// How often a credential was looked up in the store until now.
    fn look_ups(&self) -> usize {
        self.one.seen.count("CredentialChecked { cached: false }")
    }

    /// Tells whether the other one asks the store about somebody who is accepted.
    async fn asks_about(&self, person: &Person) -> bool {
        let before = self.look_ups();
        assert!(self.is_accepted(person).await);
        self.look_ups() > before
    }

    async fn deactivate(&self, person: &Person) -> model::Result<()> {
        let id = person.signed_in.user.id;
        let update = UserChange {
            is_active: Some(false),
            ..UserChange::default()
        };
        self.one.engine.update_user(&admin(), id, update).await.map(drop)
    }

    /// Lets the other one listen.
    async fn listen(&self) -> Listening {
        let (other, stop) = (self.other.clone(), CancellationToken::new());
        let stopped = stop.clone();
        let before = self.ether.listeners();
        #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
        let task = tokio::spawn(async move { other.listen(stopped).await });
        while self.ether.listeners() == before {
            tokio::task::yield_now().await;
        }
        Listening { stop, task }
    }
}

struct Listening {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Listening {
    async fn end(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

fn reading_of(engine: &Engine) -> Arc<dyn Duty> {
    let mut duties = engine.own_duties().into_iter();
    duties
        .find(|duty| duty.name() == "read whose access has changed")
        .unwrap()
}

#[tokio::test]
async fn a14_a_process_that_reads_no_changes_asks_the_store_each_time() {
    let pair = Pair::open();
    let ada = pair.one.person("ada").await;
    for _ in 0..3 {
        assert!(pair.asks_about(&ada).await);
    }
    pair.deactivate(&ada).await.unwrap();
    assert!(!pair.is_accepted(&ada).await);
}

#[tokio::test]
async fn a14_a_change_on_one_process_holds_on_another_once_it_has_read_of_it() {
    let pair = Pair::open();
    let (ada, eve) = (pair.one.person("ada").await, pair.one.person("eve").await);
    pair.reading.step().await.unwrap();
    assert!(pair.is_accepted(&ada).await && pair.is_accepted(&eve).await);
    pair.deactivate(&ada).await.unwrap();
    pair.reading.step().await.unwrap();
    assert!(!pair.is_accepted(&ada).await);
    assert!(pair.is_accepted(&eve).await);
}

#[tokio::test]
async fn a14_a_reading_that_fails_lets_nothing_be_missed_later() {
    let pair = Pair::open();
    let ada = pair.one.person("ada").await;
    pair.reading.step().await.unwrap();
    assert!(pair.is_accepted(&ada).await);
    pair.deactivate(&ada).await.unwrap();
    pair.one.store.fail("access_changes");
    assert_eq!(code(pair.reading.step().await), ErrorCode::Unavailable);
    pair.reading.step().await.unwrap();
    assert!(!pair.is_accepted(&ada).await);
}

#[tokio::test]
async fn a14_a_process_that_can_not_read_what_changed_trusts_nothing_for_longer_than_a_second() {
    let pair = Pair::open();
    let ada = pair.one.person("ada").await;
    pair.reading.step().await.unwrap();
    pair.deactivate(&ada).await.unwrap();
    let refused = async {
        while pair.is_accepted(&ada).await {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, refused).await.unwrap();
}

#[tokio::test]
async fn a14_a_change_is_noted_before_it_is_acknowledged_also_when_that_fails_at_first() {
    let pair = Pair::open();
    let ada = pair.one.person("ada").await;
    pair.reading.step().await.unwrap();
    assert!(pair.is_accepted(&ada).await);
    pair.one.store.fail("note_access_change");
    pair.deactivate(&ada).await.unwrap();
    pair.reading.step().await.unwrap();
    assert!(!pair.is_accepted(&ada).await);
}

#[tokio::test]
async fn a14_when_a_change_can_not_be_noted_its_caller_is_told_to_repeat_it() {
    let pair = Pair::open();
    let ada = pair.one.person("ada").await;
    (0..100).for_each(|_| pair.one.store.fail("note_access_change"));
    let error = pair.deactivate(&ada).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert!(error.is_retryable() && error.message().contains("repeat it"));
    assert!(!pair.is_accepted(&ada).await);
}

#[tokio::test]
async fn a14_a_change_whose_outcome_is_unknown_is_noted_too() {
    let pair = Pair::open();
    let ada = pair.one.person("ada").await;
    pair.reading.step().await.unwrap();
    assert!(pair.is_accepted(&ada).await);
    pair.one.store.forget("update_user");
    assert_eq!(code(pair.deactivate(&ada).await), ErrorCode::Unavailable);
    pair.reading.step().await.unwrap();
    assert!(!pair.is_accepted(&ada).await);
}

#[tokio::test]
async fn a13_a_renewal_does_not_fail_for_want_of_a_word_to_others() {
    let pair = Pair::open();
    let ada = pair.one.person("ada").await;
    (0..100).for_each(|_| pair.one.store.fail("note_access_change"));
    let client = client();
    let renewed = pair.one.engine.renew_session(ada.refresh_token(), &client);
    assert!(renewed.await.is_ok());
}

#[tokio::test]
async fn a14_what_another_process_announces_is_looked_up_anew() {
    let pair = Pair::open();
    let ada = pair.one.person("ada").await;
    let listening = pair.listen().await;
    let third = pair.ether.process();
    pair.reading.step().await.unwrap();
    pair.is_accepted(&ada).await;
    let user = ada.signed_in.user.id;
    third.announce(Notice::AccessChanged { user });
    let asked = async {
        loop {
            tokio::task::yield_now().await;
            // Nothing new is noted, so only what was announced is a reason to ask.
            pair.reading.step().await.unwrap();
            if pair.asks_about(&ada).await {
                return;
            }
        }
    };
    timeout(PATIENCE, asked).await.unwrap();
    listening.end().await;
}

#[tokio::test]
async fn a_task_that_is_called_off_on_one_process_stops_at_once_on_another() {
    let pair = Pair::open();
    let operator = Principal::command_line();
    let submitted = pair
        .one
        .engine
        .submit_task(&operator, job("lab", "wait", json!({})), None);
    let id = submitted.await.unwrap().task.id;
    let listening = pair.listen().await;
    let worker = pair.other.worker();
    assert_eq!(worker.claim().await.unwrap().begun, 1);
    pair.one.lab.begun().await;
    pair.one.engine.cancel_task(&operator, id).await.unwrap();
    // Nothing is renewed here: only what was announced can stop it.
    timeout(PATIENCE, worker.idle()).await.unwrap();
    assert_eq!(pair.one.lab.dropped(), 1);
    let task = pair.one.engine.read_task(&operator, id).await.unwrap();
    assert_eq!(task.standing.status, TaskStatus::Cancelled);
    listening.end().await;
}

#[tokio::test]
async fn a_task_that_is_called_off_on_one_process_stops_on_another_at_its_next_renewal_without_a_word() {
    let pair = Pair::open();
    let operator = Principal::command_line();
    let submitted = pair
        .one
        .engine
        .submit_task(&operator, job("lab", "wait", json!({})), None);
    let id = submitted.await.unwrap().task.id;
    let worker = pair.other.worker();
    assert_eq!(worker.claim().await.unwrap().begun, 1);
    pair.one.lab.begun().await;
    pair.one.engine.cancel_task(&operator, id).await.unwrap();
    assert_eq!(pair.one.lab.dropped(), 0);
    assert_eq!(worker.renew().await.unwrap(), 1);
    timeout(PATIENCE, worker.idle()).await.unwrap();
    assert_eq!(pair.one.lab.dropped(), 1);
}

#[tokio::test]
async fn on_a_store_of_its_own_a_process_listens_to_nobody() {
    let shop = Shop::open();
    timeout(PATIENCE, shop.engine.listen(CancellationToken::new()))
        .await
        .unwrap();
    let names: Vec<_> = shop.engine.own_duties().iter().map(|duty| duty.name()).collect();
    assert_eq!(names, ["write down the use of keys"]);
}
