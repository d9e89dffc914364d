//! The server as its users meet it.

#[cfg(test)]
mod config;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod health;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod caller;
#[cfg(test)]
mod auth;
#[cfg(test)]
mod key;
#[cfg(test)]
mod user;
#[cfg(test)]
mod process;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod edge;
#[cfg(test)]
mod malformed;
#[cfg(test)]
mod flood;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod plugin;
#[cfg(test)]
mod history;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod access_matrix;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod idempotent;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod endurance;
