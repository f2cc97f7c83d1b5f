//! Helpers that every room may use and that know none: waits, text for people, the process and its system.

pub mod backoff;
pub mod lease;
pub mod limits;
pub mod panics;
pub mod signals;
pub mod text;
pub mod trial;
pub mod wall;
