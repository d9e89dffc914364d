//! What every way of counting promises, and what the local one promises besides.

#![cfg(test)]

mod fixture;
mod contract;
mod local;
