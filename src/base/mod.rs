//! Helpers that every room may use and that know none: waits, text for people, the process and its system.

pub mod backoff;
pub mod heart;
pub mod last;
pub mod lease;
pub mod limits;
pub mod mailbox;
pub mod metadata;
pub mod notify;
pub mod panics;
pub mod pem;
pub mod signals;
pub mod text;
pub mod trial;
pub mod wall;
pub mod x509;
