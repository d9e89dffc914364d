//! The older revisions, as their clients see them.

mod client;
mod begin;
mod identity;
mod methods;
mod batch;
mod question;
mod stream;
mod listen;
