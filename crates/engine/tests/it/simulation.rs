//! The queue as a whole, under every order of events that chance comes upon: several processes on one store, with
//! clocks of their own that jump, a store that fails before the fact and after, and processes that are killed.
//! What must hold is checked after every effect; then the faults stop, and everything has to end.
//!
//! Nothing but chance decides what happens next, and chance follows from a seed. A run that fails prints its seed:
//! put it into `PLAYED_BEFORE`, and it is played again.

mod dice;
mod desk;
mod workshop;
mod process;
mod checker;
mod proof;
mod people;
mod round;

use std::{
    collections::{BTreeMap, hash_map::RandomState},
    env,
    hash::BuildHasher as _,
    sync::mpsc,
    thread,
};

use tokio::{runtime::Builder, task::spawn_blocking};

use self::round::Simulation;
use crate::fixture::quick_directory;

/// The environment variable that says how many simulations are begun anew, beside those that showed something once.
/// `cargo xtask test` sets it; whoever tests this crate after each changed line isn't kept waiting.
const SIMULATIONS: &str = "SIMULATIONS";

/// How many rounds each has, one after the other on the same store.
const ROUNDS: usize = 25;

/// How many show that chance follows from the seed.
const FEW_ROUNDS: usize = 5;

/// Seeds that showed something once.
const PLAYED_BEFORE: [u64; 2] = [1, 8_793_321_216_473_700_262];

/// Every sort of change that chance has to come upon, so that the checks mean something.
const CHANGES: [&str; 15] = [
    "submitted",
    "claimed",
    "renewed",
    "succeeded",
    "failed",
    "failed for good",
    "handed back",
    "abandoned",
    "dependency completed",
    "dependency lost",
    "cancelled",
    "retried",
    "hastened",
    "asked",
    "answered",
];

#[test]
fn g01_g07_i1_to_i11_hold_in_every_order_of_events() {
    let base = RandomState::new().hash_one("simulation");
    let simulations = simulations_begun_anew();
    let fresh = (0..simulations).map(|number| base.wrapping_add(number));
    let seeds: Vec<u64> = PLAYED_BEFORE.into_iter().chain(fresh).collect();
    let halves = seeds.split_at(seeds.len() / 2);
    let seen = thread::scope(|scope| {
        let other = scope.spawn(|| play_all(halves.1));
        let mut seen = play_all(halves.0);
        for (change, count) in other.join().unwrap() {
            *seen.entry(change).or_default() += count;
        }
        seen
    });
    println!("{} simulations of {ROUNDS} rounds: {seen:?}", seeds.len());
    for change in CHANGES {
        assert!(seen.contains_key(change), "nothing was ever {change}: {seen:?}");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how thorough a test is, is for whoever starts it"
)]
fn simulations_begun_anew() -> u64 {
    env::var(SIMULATIONS).map_or(0, |number| number.parse().unwrap())
}

#[test]
fn the_same_seed_plays_the_same_simulation() {
    assert_eq!(play(2, FEW_ROUNDS), play(2, FEW_ROUNDS));
}

fn play_all(seeds: &[u64]) -> BTreeMap<&'static str, u64> {
    let mut seen = BTreeMap::new();
    for seed in seeds {
        for (change, count) in play(*seed, ROUNDS) {
            *seen.entry(change).or_default() += count;
        }
    }
    seen
}

/// Plays one simulation; gives what it came upon.
fn play(seed: u64, rounds: usize) -> BTreeMap<&'static str, u64> {
    let _printed = Printed(seed);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        // While a blocking task runs, the clock of timers stands still until it is moved.
        let (end, ended) = mpsc::channel::<()>();
        let standing_still = spawn_blocking(move || ended.recv());
        let directory = quick_directory();
        let mut simulation = Simulation::begin(directory.path(), seed).await;
        for _ in 0..rounds {
            simulation.play().await;
        }
        let seen = simulation.end().await;
        drop(end);
        assert!(standing_still.await.unwrap().is_err());
        seen
    })
}

/// Says which seed it was when a simulation fails.
struct Printed(u64);

impl Drop for Printed {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("the seed of this simulation is {}", self.0);
        }
    }
}
