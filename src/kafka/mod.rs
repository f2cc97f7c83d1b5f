//! Kafka, and the only room that names its clients: krafka, kafka and kafka-protocol.
//!
//! [`fetch`] reads records, [`membership`] is this process's part in the consumer group. Under both: how to connect, how to
//! ask one question, and what to say when that fails.

pub mod ask;
pub mod bootstrap;
pub mod client;
mod cluster;
pub mod fetch;
pub mod finding;
pub mod layout;
pub mod membership;
pub mod standing;
mod stranger;

pub use cluster::{
    CLIENT_ID, CLOSING, COMMAND_TIMEOUT, METADATA_AGE, REQUEST_TIMEOUT, Trouble,
    alter_topic_command, connect, connect_for_command, create_topic_command, is_too_large,
    partitions,
};
