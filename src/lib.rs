//! job delivers a chat system's messages from Kafka to its Comet nodes.

pub mod check;
pub mod cli;
pub mod config;
pub mod kafka;
pub mod layers;
pub mod logging;
pub mod run;
pub mod send;
pub mod signals;
pub mod wire;
