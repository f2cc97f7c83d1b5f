//! What job says of itself to those who watch it.

pub mod logging;
