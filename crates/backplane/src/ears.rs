//! Those who listen in this process, each with what it hasn't heard yet.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use model::{BusListener, Heard, Notice};
use parking_lot::Mutex;
use tokio::{sync::Notify, task::consume_budget};

/// How many notices one listener may leave waiting.
const MOST_WAITING: usize = 8_192;

/// How many bytes of messages one listener may leave waiting.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Everyone who listens.
#[derive(Default)]
pub(crate) struct Ears(Mutex<Vec<Weak<Ear>>>);

/// What one listener hasn't heard yet.
#[derive(Default)]
struct Ear {
    inbox: Mutex<Inbox>,
    /// Rung when something was put in.
    bell: Notify,
}

#[derive(Default)]
struct Inbox {
    waiting: VecDeque<Arc<Notice>>,
    bytes: usize,
    has_missed: bool,
}

impl Ears {
    /// Begins to listen.
    pub(crate) fn listen(&self) -> Box<dyn BusListener> {
        let ear = Arc::new(Ear::default());
        let mut listening = self.0.lock();
        listening.retain(|ear| ear.strong_count() > 0);
        listening.push(Arc::downgrade(&ear));
        Box::new(Listener(ear))
    }

    /// Lets everyone hear a notice.
    pub(crate) fn tell(&self, notice: Notice) {
        let notice = Arc::new(notice);
        self.each(|inbox| inbox.put(&notice));
    }

    /// Lets everyone hear that something was missed.
    pub(crate) fn miss(&self) {
        self.each(|inbox| inbox.has_missed = true);
    }

    fn each(&self, put: impl Fn(&mut Inbox)) {
        for ear in self.0.lock().iter().filter_map(Weak::upgrade) {
            put(&mut ear.inbox.lock());
            ear.bell.notify_one();
        }
    }
}

impl Inbox {
    fn put(&mut self, notice: &Arc<Notice>) {
        self.waiting.push_back(Arc::clone(notice));
        self.bytes = self.bytes.saturating_add(bytes_of(notice));
        if self.waiting.len() > MOST_WAITING || self.bytes > MOST_BYTES {
            self.waiting.clear();
            self.bytes = 0;
            self.has_missed = true;
        }
    }

    fn take(&mut self) -> Option<Heard> {
        if std::mem::take(&mut self.has_missed) {
            return Some(Heard::Missed);
        }
        let notice = self.waiting.pop_front()?;
        self.bytes = self.bytes.saturating_sub(bytes_of(&notice));
        Some(Heard::Notice(Arc::unwrap_or_clone(notice)))
    }
}

/// How much room a notice takes besides that of all.
pub(crate) fn bytes_of(notice: &Notice) -> usize {
    if let Notice::Message { topic, body } = notice {
        topic.len().saturating_add(body.len())
    } else {
        0
    }
}

struct Listener(Arc<Ear>);

#[async_trait]
impl BusListener for Listener {
    async fn next(&mut self) -> Heard {
        // One that always finds something must let others work as well.
        consume_budget().await;
        loop {
            let heard = self.0.inbox.lock().take();
            match heard {
                Some(heard) => return heard,
                None => self.0.bell.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str) -> Notice {
        Notice::Message {
            topic: "test".into(),
            body: body.into(),
        }
    }

    #[tokio::test]
    async fn each_listener_hears_everything_in_its_order() {
        let ears = Ears::default();
        let mut listeners = [ears.listen(), ears.listen()];
        ears.tell(message("first"));
        ears.tell(message("second"));
        for listener in &mut listeners {
            assert_eq!(listener.next().await, Heard::Notice(message("first")));
            assert_eq!(listener.next().await, Heard::Notice(message("second")));
        }
    }

    #[tokio::test]
    async fn one_that_does_not_listen_hears_once_that_it_missed_something() {
        let ears = Ears::default();
        let mut listener = ears.listen();
        for _ in 0..=MOST_WAITING {
            ears.tell(Notice::WorkReady);
        }
        ears.tell(message("last"));
        assert_eq!(listener.next().await, Heard::Missed);
        assert_eq!(listener.next().await, Heard::Notice(message("last")));
    }

    #[tokio::test]
    async fn long_messages_take_no_more_than_a_bounded_room() {
        let ears = Ears::default();
        let mut listener = ears.listen();
        let long = "x".repeat(Notice::MAX_BODY_BYTES);
        for _ in 0..MOST_BYTES / long.len() {
            ears.tell(message(&long));
        }
        assert_eq!(listener.next().await, Heard::Missed);
        ears.miss();
        ears.miss();
        ears.tell(Notice::WorkReady);
        assert_eq!(listener.next().await, Heard::Missed);
        assert_eq!(listener.next().await, Heard::Notice(Notice::WorkReady));
    }

    #[test]
    fn nothing_is_kept_of_those_who_listen_no_more() {
        let ears = Ears::default();
        drop(ears.listen());
        drop(ears.listen());
        assert_eq!(ears.0.lock().len(), 1);
    }
}
