//! What job says of itself to those who watch it.

pub mod health;
pub mod http;
pub mod logging;
pub mod metrics;
mod process;
