//! What every store must do, run on each of them; and what only the embedded one does.

mod engine;
mod make;
mod walk;
mod contract;
mod sqlite;
