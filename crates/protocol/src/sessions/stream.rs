//! One event stream in memory: what was said, until it was heard or is too old.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{Batch, Full, Weight};

/// How many events a stream holds before notices are dropped.
const MAX_EVENTS: usize = 256;
/// How many bytes of events a stream holds before notices are dropped.
const MAX_BYTES: usize = 1024 * 1024;

/// A stream: events in order, of which the oldest that were read give way to new ones.
#[derive(Debug, Default)]
pub(super) struct EventStream {
    events: VecDeque<(u64, Bytes)>,
    bytes: usize,
    last_number: u64,
    /// Up to here a reader has got everything.
    read_up_to: u64,
    reader: u64,
    pub(super) is_ended: bool,
    pub(super) changed: Arc<Notify>,
}

impl EventStream {
    /// How many bytes it holds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds an event, for which those make room that were read; a notice is dropped when that isn't enough.
    pub(super) fn append(&mut self, weight: Weight, event: Bytes) -> Result<(), Full> {
        if self.is_ended {
            return Err(Full);
        }
        if event.is_empty() {
            self.is_ended = weight == Weight::Last;
            self.changed.notify_waiters();
            return Ok(());
        }
        while self.events.len() >= MAX_EVENTS || self.bytes.saturating_add(event.len()) > MAX_BYTES {
            let read_up_to = self.read_up_to;
            let Some(oldest) = self.events.pop_front_if(|event| event.0 <= read_up_to) else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(oldest.1.len());
        }
        let is_full = self.events.len() >= MAX_EVENTS || self.bytes.saturating_add(event.len()) > MAX_BYTES;
        if is_full && weight == Weight::Notice {
            return Err(Full);
        }
        self.last_number += 1;
        self.bytes += event.len();
        self.events.push_back((self.last_number, event));
        self.is_ended = weight == Weight::Last;
        self.changed.notify_waiters();
        Ok(())
    }

    /// Lets a new reader in, and the one before out.
    pub(super) fn attach(&mut self) -> u64 {
        self.reader += 1;
        self.changed.notify_waiters();
        self.reader
    }

    /// What there is after `after`: `None` when the reader is superseded, or what it lacks was given up; a batch without events when it must wait.
    pub(super) fn read(&mut self, reader: u64, after: u64) -> Option<Batch> {
        let oldest = self
            .events
            .front()
            .map_or(self.last_number + 1, |(number, _)| *number);
        if reader != self.reader || after > self.last_number || after + 1 < oldest {
            return None;
        }
        self.read_up_to = self.read_up_to.max(after);
        Some(self.peek(after))
    }

    /// What there is after `after`, which counts as unread all the same.
    pub(super) fn peek(&self, after: u64) -> Batch {
        let events = self.events.iter().filter(|(number, _)| *number > after);
        Batch {
            events: events.cloned().collect(),
            is_last: self.is_ended,
        }
    }
}
