//! The embedded store alone: its files, and what can happen to them.

mod damage;
mod disk;
mod exclusive;
mod place;
mod power;
