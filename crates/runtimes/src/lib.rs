//! Kinds of plugin, one folder for each, behind the `Runtime` port of `model`.
//!
//! `builtin` holds the plugins that come with the server. Everything that a runtime sends over the network
//! goes through [`http`].

pub mod http;

mod builtin;

pub use builtin::{Builtin, LlmProvider, LlmSettings, ProviderSettings};
