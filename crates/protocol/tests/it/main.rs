//! The protocol as clients see it, over a small host.

#![cfg(test)]

mod host;
mod post;
mod messages;
mod versions;
mod headers;
mod results;
mod rounds;
mod streams;
mod subscriptions;
mod tasks;
mod legacy;
mod stdio;
mod sessions;
