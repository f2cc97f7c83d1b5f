//! What job runs with. `cli` fills it from flags, environment, file and defaults.

use std::time::Duration;

/// Everything `job run` needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Kafka's bootstrap brokers, `host:port` each.
    pub brokers: Vec<String>,
    /// The topic that Logic writes `PushMsg` records to.
    pub topic: String,
    /// The consumer group, as `kafka-consumer-groups.sh` names it.
    pub group: String,
    /// Static membership: a restart under the same id causes no rebalance.
    pub group_instance_id: Option<String>,
    /// How long Kafka waits for a member's heartbeat before it gives its partitions to others.
    pub session_timeout: Duration,
    /// The Comet nodes, `host:port` each.
    pub comet: Vec<String>,
    /// Workers.
    pub threads: usize,
    /// Calls in flight at once, for each worker and Comet.
    pub window: usize,
    /// How records are read.
    pub fetch: Fetch,
    /// Deadline of one call to a Comet.
    pub call_timeout: Duration,
    /// How long a stop, or a partition's hand-over, waits for what is in flight.
    pub shutdown_timeout: Duration,
    /// Messages held at most between Kafka and the Comets; reading pauses there.
    pub hold_messages: usize,
    /// Bytes of them held at most.
    pub hold_bytes: usize,
}

impl Config {
    /// Where messages go that can never be delivered.
    pub fn dead_letter_topic(&self) -> String {
        format!("{}.dead-letter", self.topic)
    }
}

/// Which client reads the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// `Classic` where the broker serves it, and `Modern` from where it doesn't.
    Auto,
    /// The kafka crate, protocol v0: Kafka up to 3.9.
    Classic,
    /// krafka: Kafka 3.7 and later.
    Modern,
}
