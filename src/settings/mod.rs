//! The settings, and how their values are written. `load` fills them from flags, environment, file and defaults.

mod address;
pub(crate) mod args;
mod ascii;
mod comet;
mod control;
mod dialect;
mod fan_out;
pub mod fleet;
mod http;
mod labels;
pub mod load;
mod log_messages;
mod max_age;
pub mod metadata;
mod quantity;
pub mod reference;
mod reset;
pub mod security;
mod topics;

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

pub use address::{Addresses, addresses};
pub use comet::{CometTls, GivenCometTls, UNIX, Wording, server_name};
pub use control::{Socket, socket};
pub use dialect::{Coalesce, Pause, UnknownServer, coalesce, dialect, pause, unknown_server};
pub use fan_out::{FanOut, fan_out};
pub use fleet::{Comets, comets};
pub use http::{Http, http};
pub use labels::{Labels, OwnSettings, OwnTls};
pub use log_messages::{LogMessages, log_messages};
pub use max_age::{MaxAge, TooOld, max_age, too_old};
pub use metadata::Metadata;
pub use quantity::{bytes, count, duration, duration_or_none};
pub use reset::{AutoOffsetReset, auto_offset_reset};
pub use security::Security;
pub use topics::topics;

use crate::message::{Dialect, Topics};
use fleet::Source;

/// Everything `job run` needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Kafka's bootstrap brokers, `host:port` each.
    pub brokers: Vec<String>,
    /// How they are spoken to.
    pub security: Security,
    /// How this process is named in the brokers' logs, quotas and lists of a group's members.
    pub client_id: String,
    /// The rack, or zone, of this process: records are read from a replica there, where there is one.
    pub client_rack: Option<String>,
    /// The topics of Logic's `PushMsg` records.
    pub topics: Topics,
    /// The consumer group, as `kafka-consumer-groups.sh` names it.
    pub group: String,
    /// Where to begin in a partition of which the group has committed nothing.
    pub auto_offset_reset: AutoOffsetReset,
    /// Static membership: a restart under the same id causes no rebalance.
    pub group_instance_id: Option<String>,
    /// How long Kafka waits for a member's heartbeat before it gives its partitions to others.
    pub group_protocol: GroupProtocol,
    pub session_timeout: Duration,
    /// The Comet nodes, or what says which there are.
    pub comet: Vec<Source>,
    /// How often names and registries that say it are asked again.
    pub comet_refresh: Duration,
    /// Which kind of Comet they are.
    pub dialect: Dialect,
    /// What becomes of a message to users on none of them.
    pub push_unknown_server: UnknownServer,
    /// How TLS to them is, where they are spoken to with it.
    pub comet_tls: Option<CometTls>,
    /// What goes along with each call to a Comet.
    pub comet_metadata: Metadata,
    /// Which Comets get a room's messages.
    pub fan_out: FanOut,
    /// Whether each call tells which record it carries.
    pub record_metadata: bool,
    /// Number of workers.
    pub threads: usize,
    /// Calls in flight at once, for each worker and Comet.
    pub window: Window,
    /// How Comets are called.
    pub caller: Caller,
    /// Whether calls that start together leave together.
    pub cork_calls: bool,
    /// How records are read.
    pub fetch: Fetch,
    /// Whether records of transactions wait for their commit.
    pub isolation: Isolation,
    /// Whether and how a room's waiting messages are merged into one call.
    pub coalesce: Coalesce,
    /// Limits the messages of a merged call.
    pub coalesce_max: usize,
    /// Limits the body's bytes of a merged call.
    pub coalesce_bytes: usize,
    /// The time between two calls of a room, of which the second one isn't full.
    pub coalesce_pause: Pause,
    /// Deadline of one call to a Comet.
    pub call_timeout: Duration,
    /// How long a stop or a partition's revoke waits for calls in flight.
    pub shutdown_timeout: Duration,
    /// Limits the messages held between Kafka and the Comets; reading pauses at it.
    pub hold_messages: usize,
    /// Limits their bytes.
    pub hold_bytes: usize,
    /// What a Comet that was away gets of what it missed.
    pub catch_up: CatchUp,
    /// What is older when its turn comes isn't sent.
    pub max_age: Option<Duration>,
    /// What becomes of it.
    pub max_age_action: TooOld,
    /// Which messages the log shows.
    pub log_messages: LogMessages,
    /// How the log is written.
    pub log_format: LogFormat,
    /// Where metrics and health are served.
    pub http: Http,
    /// Where `job ctl` reaches this process.
    pub control: Socket,
}

/// Suffix of the dead-letter topic's name.
const DEAD_LETTER_SUFFIX: &str = ".dead-letter";

/// The topic of what couldn't be delivered of a topic.
pub fn dead_letter_topic(topic: &str) -> String {
    format!("{topic}{DEAD_LETTER_SUFFIX}")
}

impl Config {
    /// These settings, for one of the topics alone.
    pub fn of_topic(&self, topic: &str) -> Config {
        let topics = Topics::new([topic.to_owned()]);
        Config {
            topics,
            ..self.clone()
        }
    }

    /// The topic of the first one's undeliverable messages.
    pub fn dead_letter_topic(&self) -> String {
        dead_letter_topic(self.topics.first())
    }

    /// The topics of undeliverable messages, in the order of the topics that they came from.
    pub fn dead_letter_topics(&self) -> Vec<String> {
        self.topics.names().map(dead_letter_topic).collect()
    }

    /// # Errors
    /// Two settings don't go together.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.check_comets()?;
        match (self.fetch, self.max_age) {
            (Fetch::Classic, Some(_)) => Err(
                "max-age needs the time of each record, which fetch = classic doesn't read: set fetch = auto or modern".into(),
            ),
            (Fetch::Classic, _) => self.check_classic(),
            _ => Ok(()),
        }
    }

    /// The classic fetcher is older than what these settings are about.
    fn check_classic(&self) -> Result<(), String> {
        let protocol = self.security.protocol();
        if !self.security.is_plain() {
            Err(format!(
                "fetch = classic reads over plain connections only, without TLS and SASL: with security-protocol = \
                 {protocol}, set fetch = auto or modern"
            ))
        } else if self.client_rack.is_some() {
            Err(
                "client-rack needs a fetcher that reads from other replicas than the leader: set fetch = auto or modern"
                    .into(),
            )
        } else {
            Ok(())
        }
    }
}

/// Reads a switch.
pub fn switch() -> impl TypedValueParser<Value = bool> {
    PossibleValuesParser::new(["on", "off"]).map(|name| name == "on")
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

/// Reads the name of a client.
pub fn fetch() -> impl TypedValueParser<Value = Fetch> {
    PossibleValuesParser::new(["auto", "classic", "modern"]).map(|name| match name.as_str() {
        "classic" => Fetch::Classic,
        "modern" => Fetch::Modern,
        _ => Fetch::Auto,
    })
}

/// How Comets are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// `Grpcio` where it can call all Comets, else `Lean`.
    Auto,
    /// gRPC's own library.
    Grpcio,
    /// HTTP/2 of our own.
    Lean,
}

/// Reads the name of a caller.
pub fn caller() -> impl TypedValueParser<Value = Caller> {
    PossibleValuesParser::new(["auto", "grpcio", "lean"]).map(|name| match name.as_str() {
        "grpcio" => Caller::Grpcio,
        "lean" => Caller::Lean,
        _ => Caller::Auto,
    })
}

/// How the members of a group agree on who reads which partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupProtocol {
    /// Members join, and one of them assigns.
    Classic,
    /// Kafka assigns, without a pause for the others (KIP-848): Kafka 4.0 and later.
    Consumer,
}

/// Reads the name of a protocol, as Kafka's `group.protocol` has it.
pub fn group_protocol() -> impl TypedValueParser<Value = GroupProtocol> {
    PossibleValuesParser::new(["classic", "consumer"]).map(|name| match name.as_str() {
        "consumer" => GroupProtocol::Consumer,
        _ => GroupProtocol::Classic,
    })
}

/// Which records of transactions are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Records of a transaction after its commit, and none of an aborted one.
    ReadCommitted,
    /// All records, as they come.
    ReadUncommitted,
}

impl Isolation {
    /// As Kafka's protocol writes it.
    pub fn level(self) -> i8 {
        match self {
            Isolation::ReadUncommitted => 0,
            Isolation::ReadCommitted => 1,
        }
    }
}

/// Reads the name of a level.
pub fn isolation() -> impl TypedValueParser<Value = Isolation> {
    PossibleValuesParser::new(["read_committed", "read_uncommitted"]).map(|name| {
        match name.as_str() {
            "read_uncommitted" => Isolation::ReadUncommitted,
            _ => Isolation::ReadCommitted,
        }
    })
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Muduo's line.
    Muduo,
    /// A JSON object a line.
    Json,
    /// The systemd journal, with fields.
    Journal,
    /// `Journal` where standard output leads there, else `Muduo`.
    Auto,
}

/// Reads the name of a form.
pub fn log_format() -> impl TypedValueParser<Value = LogFormat> {
    PossibleValuesParser::new(["muduo", "json", "journal", "auto"]).map(|name| {
        match name.as_str() {
            "json" => LogFormat::Json,
            "journal" => LogFormat::Journal,
            "auto" => LogFormat::Auto,
            _ => LogFormat::Muduo,
        }
    })
}

/// What a Comet that was away gets of what it missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUp {
    All,
    Off,
    /// What is at most this old when it is read again; all, if the Comet was away for a shorter time.
    Within(Duration),
}

/// Reads what is caught up on.
pub fn catch_up(text: &str) -> Result<CatchUp, String> {
    match text.trim() {
        "all" => Ok(CatchUp::All),
        "off" => Ok(CatchUp::Off),
        time => duration(time)
            .map(CatchUp::Within)
            .map_err(|error| format!("{error}, or all, or off")),
    }
}

/// Reads the limit of a merged body. A gRPC server takes 4 MiB by default.
pub fn coalesce_bytes(text: &str) -> Result<usize, String> {
    match bytes(text)? {
        count if count > 3 << 20 => {
            Err("more than 3MiB: a Comet takes requests of 4 MiB, as gRPC's default is".into())
        }
        count => Ok(count),
    }
}

/// Calls in flight at once for each worker and Comet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The fastest number for a worker's number of Comets.
    Auto,
    Calls(usize),
}

impl Window {
    /// Measured (docs/PERFORMANCE.md): a worker is fastest with 64 calls in flight, over all its Comets. The memory of more
    /// calls doesn't fit into the processor's caches.
    pub fn calls(self, comets: usize) -> usize {
        const TOGETHER: usize = 64;
        const LEAST: usize = 8;
        match self {
            Window::Auto => (TOGETHER / comets.max(1)).max(LEAST),
            Window::Calls(calls) => calls,
        }
    }
}

/// Reads a window.
pub fn window(text: &str) -> Result<Window, String> {
    match text.trim() {
        "auto" => Ok(Window::Auto),
        number => count(1, 4096)(number)
            .map(Window::Calls)
            .map_err(|error| format!("{error}, or auto")),
    }
}

/// Reads a name that must not be empty.
pub fn name(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("must not be empty".into()),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_shared_among_the_comets() {
        let calls = [1, 2, 4, 8, 64].map(|comets| Window::Auto.calls(comets));
        assert_eq!(calls, [64, 32, 16, 8, 8]);
        assert_eq!(window("auto"), Ok(Window::Auto));
        assert_eq!(window(" 128 ").map(|window| window.calls(4)), Ok(128));
        assert!(window("0").is_err() && window("some").is_err());
    }

    #[test]
    fn a_comet_catches_up_on_all_or_nothing_or_what_is_new_enough() {
        assert_eq!(catch_up("all"), Ok(CatchUp::All));
        assert_eq!(catch_up(" off "), Ok(CatchUp::Off));
        let minutes = CatchUp::Within(Duration::from_secs(300));
        assert_eq!(catch_up("5m"), Ok(minutes));
        for wrong in ["", "0", "5", "on", "25h"] {
            let error = catch_up(wrong).expect_err(wrong);
            assert!(error.ends_with(", or all, or off"), "{error}");
        }
    }

    #[test]
    fn merged_bodies_have_room_in_a_request() {
        assert_eq!(coalesce_bytes("3MiB"), Ok(3 << 20));
        for wrong in ["0", "4MiB", "64KB"] {
            assert!(coalesce_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
