//! Tasks: what people do with them, and the worker that does them.

mod worker;
