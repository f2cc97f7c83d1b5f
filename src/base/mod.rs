//! What every room may use, and what knows of none: waits, text for people, and what the process and its system are.

pub mod backoff;
pub mod lease;
pub mod limits;
pub mod panics;
pub mod signals;
pub mod text;
pub mod trial;
