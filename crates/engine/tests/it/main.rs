//! The engine through its public surface, on a real embedded store, with clock, ids and randomness in hand.

#![cfg(test)]

mod ether;
mod fixture;
mod faulty;
mod lab;
mod shop;
mod password;
mod principal;
mod limit;
mod session;
mod user;
mod setup;
mod key;
mod plugin;
mod call;
mod library;
mod question;
mod sealing;
mod tool;
mod prompt;
mod resource;
mod execution;
mod idempotency;
mod task;
mod worker;
mod listen;
mod health;
mod schedule;
mod duty;
mod order;
mod clock;
mod simulation;
