//! The plugins that come with the server.

mod data_processor;
mod llm;
mod sample;
mod schema;
