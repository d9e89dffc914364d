//! The server as its users meet it.

#![cfg(test)]

mod config;
mod home;
mod fixture;
mod health;
mod contract;
mod caller;
mod auth;
mod key;
mod user;
mod process;
mod cli;
mod backup;
mod lifecycle;
mod scale;
mod scale_access;
mod edge;
mod malformed;
mod flood;
mod metrics;
mod plugin;
mod history;
mod task;
mod mcp;
mod setup;
mod docs;
mod openapi;
mod access_matrix;
mod readme;
mod idempotent;
mod faults;
mod crash;
mod endurance;
