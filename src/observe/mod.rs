//! What job says of itself to those who watch it.

mod comet_state;
pub mod health;
pub mod http;
pub mod logging;
pub mod metrics;
mod process;
pub mod pulse;
pub mod status;
pub mod summary;
