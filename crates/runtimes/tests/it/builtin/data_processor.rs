//! `dataProcessor`.

mod aggregate;
mod process;
mod transform;
