//! job delivers a chat system's messages from Kafka to its Comet nodes.

pub mod config;
pub mod dev_comet;
pub mod wire;
