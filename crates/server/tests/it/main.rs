//! The server as its users meet it.

#[cfg(test)]
mod config;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod health;
