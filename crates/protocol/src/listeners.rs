//! How many streams of changes are open, in all and for each principal.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

/// Counts streams, so that nobody can hold the process full of them.
#[derive(Debug)]
pub(crate) struct Listeners {
    most: usize,
    most_per_principal: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_principal: HashMap<String, usize>,
}

/// Why there is no room for another stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crowded {
    /// The process keeps as many as it can.
    Process,
    /// The principal keeps as many as it may.
    Principal,
}

/// Room for one stream, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    listeners: Arc<Listeners>,
    principal: String,
}

impl Listeners {
    pub(crate) fn new(most: usize, most_per_principal: usize) -> Self {
        Self {
            most,
            most_per_principal,
            open: Mutex::default(),
        }
    }

    /// Makes room for one more stream of a principal.
    pub(crate) fn admit(self: &Arc<Self>, principal: String) -> Result<Permit, Crowded> {
        let mut open = self.open.lock();
        if open.all >= self.most {
            return Err(Crowded::Process);
        }
        let held = open.by_principal.get(&principal).copied().unwrap_or_default();
        if held >= self.most_per_principal {
            return Err(Crowded::Principal);
        }
        open.all += 1;
        open.by_principal.insert(principal.clone(), held + 1);
        Ok(Permit {
            listeners: Arc::clone(self),
            principal,
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.listeners.open.lock();
        open.all = open.all.saturating_sub(1);
        let left = open.by_principal.get_mut(&self.principal).map(|held| {
            *held = held.saturating_sub(1);
            *held
        });
        if left == Some(0) {
            open.by_principal.remove(&self.principal);
        }
    }
}
