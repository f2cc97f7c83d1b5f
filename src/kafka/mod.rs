//! Kafka, and the only room that names its clients: krafka, kafka and kafka-protocol.
//!
//! [`fetch`] reads records, [`membership`] is this process's part in the consumer group. Under both: how to connect, how to
//! ask one question, and what to say when that fails.

mod acl;
pub mod ask;
pub mod bootstrap;
pub mod client;
mod cluster;
mod dial;
pub mod fetch;
pub mod finding;
pub mod layout;
pub mod membership;
mod secure;
pub mod standing;
mod stranger;
mod trouble;

pub use cluster::{CLOSING, COMMAND_TIMEOUT, Cluster, METADATA_AGE, REQUEST_TIMEOUT};
pub use trouble::{
    Operation, Trouble, alter_topic_command, create_topic_command, explained, is_invalid,
    is_login_refused, is_too_large, partitions, partitions_for,
};
