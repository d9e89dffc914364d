//! What the engine tells about its work.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use model::{ActionName, ExecutionStatus, Observation, PluginName};
use parking_lot::RwLock;

use super::{
    histogram::{Histogram, Snapshot},
    tasks::Tasks,
};

/// Most actions that are told apart; the plugins of one server have far fewer.
const MAX_ACTIONS: usize = 10_000;

/// What the engine told.
#[derive(Debug, Default)]
pub(super) struct Work {
    actions: RwLock<HashMap<PluginName, HashMap<ActionName, Arc<Calls>>>>,
    pub(super) unknown_calls: AtomicU64,
    pub(super) sign_ins: AtomicU64,
    pub(super) failed_sign_ins: AtomicU64,
    pub(super) registrations: AtomicU64,
    pub(super) renewals: AtomicU64,
    pub(super) reused_tokens: AtomicU64,
    pub(super) refused_password_work: AtomicU64,
    pub(super) cache_hits: AtomicU64,
    pub(super) cache_misses: AtomicU64,
    pub(super) password_waits: Histogram,
    pub(super) password_works: Histogram,
    pub(super) tasks: Tasks,
}

/// The calls of one action.
#[derive(Debug, Default)]
struct Calls {
    succeeded: AtomicU64,
    failed: AtomicU64,
    durations: Histogram,
}

/// The calls of one action as they were at one moment.
#[derive(Debug)]
pub(super) struct CallsSnapshot {
    pub(super) plugin: PluginName,
    pub(super) action: ActionName,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) durations: Snapshot,
}

impl Work {
    pub(super) fn observe(&self, observation: Observation<'_>) {
        let add = |counter: &AtomicU64| {
            counter.fetch_add(1, Relaxed);
        };
        match observation {
            Observation::CallEnded {
                plugin,
                action,
                status,
                duration,
            } => {
                let Some(calls) = self.calls_of(plugin, action) else {
                    return;
                };
                add(if status == ExecutionStatus::Success {
                    &calls.succeeded
                } else {
                    &calls.failed
                });
                calls.durations.record(duration);
            }
            Observation::UnknownCall => add(&self.unknown_calls),
            Observation::SignIn { succeeded } => {
                add(if succeeded {
                    &self.sign_ins
                } else {
                    &self.failed_sign_ins
                });
            }
            Observation::Registered => add(&self.registrations),
            Observation::SessionRenewed => add(&self.renewals),
            Observation::RefreshTokenReused => add(&self.reused_tokens),
            Observation::PasswordWork { waited, worked } => {
                self.password_waits.record(waited);
                self.password_works.record(worked);
            }
            Observation::PasswordWorkRefused => add(&self.refused_password_work),
            Observation::CredentialChecked { cached } => {
                add(if cached {
                    &self.cache_hits
                } else {
                    &self.cache_misses
                });
            }
            Observation::TaskStarted { waited } => self.tasks.waits.record(waited),
            Observation::TaskAttemptEnded { status, ran } => self.tasks.count_end(status, ran),
            Observation::TaskRetried => add(&self.tasks.retries),
            Observation::TaskLeaseLost => add(&self.tasks.leases_lost),
            Observation::TaskReleased => add(&self.tasks.released),
            _ => {}
        }
    }

    /// Every action that was called, by name.
    pub(super) fn calls(&self) -> Vec<CallsSnapshot> {
        let mut all = Vec::new();
        for (plugin, actions) in &*self.actions.read() {
            for (action, calls) in actions {
                all.push(CallsSnapshot {
                    plugin: plugin.clone(),
                    action: action.clone(),
                    succeeded: calls.succeeded.load(Relaxed),
                    failed: calls.failed.load(Relaxed),
                    durations: calls.durations.snapshot(),
                });
            }
        }
        all.sort_by(|one, other| (&one.plugin, &one.action).cmp(&(&other.plugin, &other.action)));
        all
    }

    fn calls_of(&self, plugin: &PluginName, action: &ActionName) -> Option<Arc<Calls>> {
        if let Some(calls) = self
            .actions
            .read()
            .get(plugin)
            .and_then(|actions| actions.get(action))
        {
            return Some(Arc::clone(calls));
        }
        let mut plugins = self.actions.write();
        if plugins.values().map(HashMap::len).sum::<usize>() >= MAX_ACTIONS {
            return None;
        }
        let actions = plugins.entry(plugin.clone()).or_default();
        Some(Arc::clone(actions.entry(action.clone()).or_default()))
    }
}
