//! What every kind of plugin promises, and what the built-in ones promise besides.

#![cfg(test)]

mod builtin;
mod contract;
mod fixture;
mod provider;
