//! What every way of counting promises, and what each one promises besides.

#![cfg(test)]

mod fixture;
#[cfg(feature = "redis")]
mod redis;
mod contract;
mod bus;
mod local;
