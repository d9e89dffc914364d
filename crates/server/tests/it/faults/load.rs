//! A client that hands in one task after another, each until it is acknowledged.

use std::collections::BTreeMap;

use serde_json::json;
use tokio::sync::watch;

use crate::{caller::Caller, fixture::PATIENCE};

const TASKS: &str = "/api/v1/tasks";

/// How far it has come; shared by the client and by whoever makes trouble for it.
pub(super) struct Load {
    acknowledged: watch::Sender<usize>,
    refused: watch::Sender<usize>,
    is_over: watch::Sender<bool>,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            acknowledged: watch::Sender::new(0),
            refused: watch::Sender::new(0),
            is_over: watch::Sender::new(false),
        }
    }
}

impl Load {
    /// Submits until it is enough; gives the ids that were acknowledged, by their titles.
    ///
    /// What is refused for now says when to come again, and is sent again as it was, under the same key.
    pub(super) async fn submit(&self, caller: &Caller) -> BTreeMap<String, String> {
        let mut acknowledged = BTreeMap::new();
        while !*self.is_over.borrow() {
            let title = format!("task-{}", acknowledged.len());
            let key: &'static str = Box::leak(title.clone().into_boxed_str());
            let caller = caller.with_header("idempotency-key", key);
            let reply = loop {
                let reply = caller.post(TASKS, json!({ "title": title })).await;
                if reply.status != 503 {
                    break reply.expect(201);
                }
                assert!(!reply.header("retry-after").is_empty(), "{}", reply.text);
                self.refused.send_modify(|count| *count += 1);
            };
            let id = reply.data()["id"].as_str().unwrap().to_owned();
            acknowledged.insert(title, id);
            self.acknowledged.send_modify(|count| *count += 1);
        }
        acknowledged
    }

    /// Waits until so many more are acknowledged.
    pub(super) async fn until_more(&self, count: usize) {
        until_more(&self.acknowledged, count, "acknowledged").await;
    }

    /// Waits until so many more are refused for now.
    pub(super) async fn until_refused(&self, count: usize) {
        until_more(&self.refused, count, "refused").await;
    }

    /// Lets it end with what it is at.
    pub(super) fn end(&self) {
        self.is_over.send_replace(true);
    }
}

async fn until_more(counter: &watch::Sender<usize>, count: usize, what: &str) {
    let wanted = *counter.borrow() + count;
    let mut counter = counter.subscribe();
    let reached = tokio::time::timeout(2 * PATIENCE, counter.wait_for(|now| *now >= wanted)).await;
    reached
        .unwrap_or_else(|_| panic!("nothing more is {what}"))
        .unwrap();
}

/// Each acknowledged task is there under its id, and no title is there twice.
pub(super) async fn require_each_once(caller: &Caller, acknowledged: &BTreeMap<String, String>) {
    let mut found = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = caller
            .get(&format!("{TASKS}?limit=100{cursor}"))
            .await
            .expect(200);
        for task in page.body["data"].as_array().unwrap() {
            let text = |name: &str| task[name].as_str().unwrap().to_owned();
            let before = found.insert(text("title"), text("id"));
            assert_eq!(before, None, "there twice: {task}");
        }
        match page.body["page"]["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(&found, acknowledged);
}
