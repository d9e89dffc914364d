//! What every store must do, run on each of them; and what only the embedded one does.

#[cfg(test)]
mod engine;
#[cfg(test)]
mod make;
#[cfg(test)]
mod walk;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod sqlite;
