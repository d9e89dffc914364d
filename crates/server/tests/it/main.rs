//! The server as its users meet it.

#[cfg(test)]
mod config;
