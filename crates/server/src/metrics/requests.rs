//! Requests by route, method and status.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{Method, StatusCode};
use parking_lot::RwLock;

use super::histogram::{Histogram, Snapshot};

/// Stands for every path that no route matches.
pub const UNMATCHED: &str = "unmatched";

/// The methods that are told apart; all others are `other`.
const METHODS: [&str; 8] = [
    "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "other",
];

/// The statuses that are told apart, the frequent first; all others are counted with the last, 0.
const STATUSES: [u16; 30] = [
    200, 201, 202, 204, 400, 401, 403, 404, 405, 408, 409, 413, 415, 421, 422, 429, 499, 500, 502, 503, 504,
    206, 301, 302, 303, 304, 307, 308, 431, 0,
];

/// All routes. Their number is that of the route table.
#[derive(Debug, Default)]
pub(super) struct Requests {
    routes: RwLock<HashMap<String, Arc<Series>>>,
}

/// One route.
#[derive(Debug)]
struct Series {
    counts: [[AtomicU64; STATUSES.len()]; METHODS.len()],
    durations: Histogram,
}

/// One route as it was at one moment.
#[derive(Debug)]
pub(super) struct RouteSnapshot {
    pub(super) route: String,
    pub(super) counts: Vec<StatusCount>,
    pub(super) durations: Snapshot,
}

/// How often a route answered a method with a status.
#[derive(Clone, Copy, Debug)]
pub(super) struct StatusCount {
    pub(super) method: &'static str,
    /// 0 for those that are not told apart.
    pub(super) status: u16,
    pub(super) count: u64,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            counts: [const { [const { AtomicU64::new(0) }; STATUSES.len()] }; METHODS.len()],
            durations: Histogram::default(),
        }
    }
}

impl Requests {
    pub(super) fn count(&self, route: &str, method: &Method, status: StatusCode, took: Duration) {
        let known = self.routes.read().get(route).map(Arc::clone);
        let series = known.unwrap_or_else(|| {
            let mut routes = self.routes.write();
            Arc::clone(routes.entry(route.to_owned()).or_default())
        });
        series.count(method, status);
        series.durations.record(took);
    }

    /// Every route that was asked for, by name.
    pub(super) fn snapshot(&self) -> Vec<RouteSnapshot> {
        let mut routes: Vec<_> = {
            let routes = self.routes.read();
            routes
                .iter()
                .map(|(route, series)| series.snapshot(route))
                .collect()
        };
        routes.sort_by(|one, other| one.route.cmp(&other.route));
        routes
    }
}

impl Series {
    fn count(&self, method: &Method, status: StatusCode) {
        let row = METHODS
            .iter()
            .position(|known| *known == method.as_str())
            .unwrap_or(METHODS.len() - 1);
        let column = STATUSES
            .iter()
            .position(|known| *known == status.as_u16())
            .unwrap_or(STATUSES.len() - 1);
        if let Some(cell) = self.counts.get(row).and_then(|row| row.get(column)) {
            cell.fetch_add(1, Relaxed);
        }
    }

    fn snapshot(&self, route: &str) -> RouteSnapshot {
        let mut counts = Vec::new();
        for (method, row) in METHODS.into_iter().zip(&self.counts) {
            for (status, cell) in STATUSES.into_iter().zip(row) {
                let count = cell.load(Relaxed);
                if count > 0 {
                    counts.push(StatusCount {
                        method,
                        status,
                        count,
                    });
                }
            }
        }
        RouteSnapshot {
            route: route.to_owned(),
            counts,
            durations: self.durations.snapshot(),
        }
    }
}
