//! What is to be told to the other processes, until it is sent.

use std::collections::{HashSet, VecDeque};

use model::Notice;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::ears::bytes_of;

/// How many notices wait to be sent at most.
const MOST_WAITING: usize = 8_192;

/// How many bytes of messages wait to be sent at most.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// How many notices are sent together at most.
const MOST_TOGETHER: usize = 1_024;

/// From how many bytes of messages on nothing is added to what is sent together.
const ENOUGH_TOGETHER: usize = 256 * 1024;

/// Keeps notices until they are sent, each only once.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    bell: Notify,
}

#[derive(Default)]
struct Waiting {
    notices: VecDeque<Notice>,
    /// What waits, but for messages.
    known: HashSet<Notice>,
    bytes: usize,
    /// The number of the batch that was taken last.
    number: u64,
    has_lost: bool,
}

/// Notices that are sent together.
pub(super) struct Batch {
    /// One more than that of the batch before, and two more when something between them was lost.
    pub(super) number: u64,
    /// In their order.
    pub(super) notices: Vec<Notice>,
}

impl Outbox {
    /// Puts a notice in, unless it waits already or there is no room.
    pub(super) fn put(&self, notice: Notice) {
        let mut waiting = self.waiting.lock();
        let is_message = matches!(notice, Notice::Message { .. });
        if !is_message && waiting.known.contains(&notice) {
            return;
        }
        let bytes = waiting.bytes.saturating_add(bytes_of(&notice));
        if waiting.notices.len() >= MOST_WAITING || bytes > MOST_BYTES {
            waiting.has_lost = true;
            return;
        }
        waiting.bytes = bytes;
        if !is_message {
            waiting.known.insert(notice.clone());
        }
        waiting.notices.push_back(notice);
        drop(waiting);
        self.bell.notify_one();
    }

    /// Notes that something is lost that others should have heard.
    pub(super) fn lose(&self) {
        self.waiting.lock().has_lost = true;
    }

    /// Takes what is sent next; `None` when nothing waits.
    pub(super) fn take(&self) -> Option<Batch> {
        let mut waiting = self.waiting.lock();
        let (mut notices, mut bytes) = (Vec::new(), 0);
        while notices.len() < MOST_TOGETHER
            && bytes < ENOUGH_TOGETHER
            && let Some(notice) = waiting.notices.pop_front()
        {
            waiting.known.remove(&notice);
            bytes += bytes_of(&notice);
            notices.push(notice);
        }
        if notices.is_empty() {
            return None;
        }
        waiting.bytes = waiting.bytes.saturating_sub(bytes);
        let step = if std::mem::take(&mut waiting.has_lost) {
            2
        } else {
            1
        };
        waiting.number = waiting.number.saturating_add(step);
        Some(Batch {
            number: waiting.number,
            notices,
        })
    }

    /// Waits until something was put in; what was since the last wait counts.
    pub(super) async fn filled(&self) {
        self.bell.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use model::TaskId;
    use uuid::Uuid;

    use super::*;

    fn changed(number: usize) -> Notice {
        Notice::TaskChanged {
            task: TaskId::from_uuid(Uuid::from_u128(number.try_into().unwrap())),
        }
    }

    fn message(body: &str) -> Notice {
        Notice::Message {
            topic: "test".into(),
            body: body.into(),
        }
    }

    #[test]
    fn what_waits_already_is_sent_once_and_messages_as_often_as_they_are_announced() {
        let outbox = Outbox::default();
        for notice in [changed(1), message("a"), changed(1), message("a"), changed(2)] {
            outbox.put(notice);
        }
        let batch = outbox.take().unwrap();
        assert_eq!(
            batch.notices,
            [changed(1), message("a"), message("a"), changed(2)]
        );
        assert!(outbox.take().is_none());
        outbox.put(changed(1));
        assert_eq!(outbox.take().unwrap().notices, [changed(1)]);
    }

    #[test]
    fn what_there_is_no_room_for_is_lost_and_the_next_number_tells_it() {
        let outbox = Outbox::default();
        outbox.put(changed(0));
        assert_eq!(outbox.take().unwrap().number, 1);
        (0..=MOST_WAITING).for_each(|number| outbox.put(changed(number)));
        let mut numbers = Vec::new();
        let mut count = 0;
        while let Some(batch) = outbox.take() {
            numbers.push(batch.number);
            count += batch.notices.len();
        }
        assert_eq!(count, MOST_WAITING);
        assert_eq!(numbers.first(), Some(&3));
        assert_eq!(numbers.last(), Some(&(2 + u64::try_from(numbers.len()).unwrap())));
    }

    #[test]
    fn long_messages_are_sent_apart_and_wait_in_a_bounded_room() {
        let outbox = Outbox::default();
        let long = message(&"x".repeat(Notice::MAX_BODY_BYTES));
        (0..100).for_each(|_| outbox.put(long.clone()));
        let mut batches = 0;
        while let Some(batch) = outbox.take() {
            assert_eq!(batch.notices.len(), 1);
            batches += 1;
        }
        assert!((16..=MOST_BYTES / Notice::MAX_BODY_BYTES).contains(&batches));
    }
}
