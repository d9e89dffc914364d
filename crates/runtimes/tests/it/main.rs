//! What every kind of plugin promises, and what the built-in ones promise besides.

#![cfg(test)]

mod fixture;
mod provider;
mod contract;
mod builtin;
