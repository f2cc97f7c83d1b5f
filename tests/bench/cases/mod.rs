//! What is measured. Each case gives the rows of a table.

mod callers;
mod calls;
mod catch_up;
mod cluster;
mod extras;
mod fan_out;
mod profile;
mod scale;
mod small;
mod threads;

pub use calls::{CPU_OF_RAW, OF_RAW};
pub use cluster::OF_FIRST;
pub use extras::OF_PLAIN;
pub use fan_out::OF_ALL;
pub use small::{OF_ONE_BY_ONE, at_a_rate};

use std::process::Command;

use crate::process::binary;
use crate::results::Row;
use crate::stage::Stage;

pub enum Outcome {
    Rows(Vec<Row>),
    /// It can't be measured here, and why.
    Skipped(String),
}

#[derive(Clone, Copy, PartialEq)]
pub enum When {
    /// Also with `--quick`, for its ratios.
    Quick,
    Always,
    /// Only where it is asked for by name.
    Named,
}

pub struct Case {
    pub name: &'static str,
    pub about: &'static str,
    pub when: When,
    pub run: fn(&mut Stage) -> Result<Outcome, String>,
}

pub const CASES: [Case; 27] = [
    Case {
        name: "drain",
        about: "Waiting messages of 256 bytes over 1,000 rooms, one call a message, beside grpcio alone",
        when: When::Quick,
        run: calls::drain,
    },
    Case {
        name: "coalesce",
        about: "Waiting messages of 256 bytes over 100 rooms, many in one call",
        when: When::Quick,
        run: calls::coalesce,
    },
    Case {
        name: "hot-room",
        about: "One room alone, beside grpcio making one call at a time",
        when: When::Quick,
        run: calls::hot_room,
    },
    Case {
        name: "latency",
        about: "From the moment a message is due at the producer to its receipt by the Comet, through Kafka, 4 partitions",
        when: When::Always,
        run: small::latency,
    },
    Case {
        name: "outage",
        about: "2,000 messages a second while the Comet is gone for 5 s",
        when: When::Always,
        run: small::outage,
    },
    Case {
        name: "catch-up",
        about: "What one of two Comets missed, beside 1,000 live messages a second, which it gets behind that",
        when: When::Always,
        run: catch_up::catch_up,
    },
    Case {
        name: "logging",
        about: "The drain at INFO, with a block of five lines for each message written into a file, beside the drain at WARN",
        when: When::Quick,
        run: calls::logging,
    },
    Case {
        name: "callers",
        about: "The drain, and messages at a low rate, with each way to call a Comet (`--caller`), in turns",
        when: When::Always,
        run: callers::callers,
    },
    Case {
        name: "comets",
        about: "The drain to several Comets, each message to all of them",
        when: When::Always,
        run: scale::comets,
    },
    Case {
        name: "fan-out",
        about: "Waiting messages to 1, 4, 16 and 64 Comets of which 1, 3 or all have a message's room, with `--fan-out all` and `rooms`",
        when: When::Always,
        run: fan_out::fan_out,
    },
    Case {
        name: "workers",
        about: "The drain with `--threads` N",
        when: When::Always,
        run: scale::workers,
    },
    Case {
        name: "window",
        about: "The drain with `--window` N",
        when: When::Always,
        run: scale::window,
    },
    Case {
        name: "fetch",
        about: "The drain with each of the clients that read Kafka",
        when: When::Always,
        run: calls::fetch,
    },
    Case {
        name: "rooms",
        about: "The drain over few and many rooms; nothing is kept for a room that is idle",
        when: When::Always,
        run: scale::rooms,
    },
    Case {
        name: "sizes",
        about: "The drain with small and large bodies",
        when: When::Always,
        run: scale::sizes,
    },
    Case {
        name: "partitions",
        about: "The drain from few and many partitions",
        when: When::Always,
        run: scale::partitions,
    },
    Case {
        name: "members",
        about: "The drain of 16 partitions by 1 to 8 jobs of one group",
        when: When::Always,
        run: cluster::members,
    },
    Case {
        name: "security",
        about: "The drain from one broker by each of its protocols; SASL is SCRAM-SHA-512",
        when: When::Always,
        run: cluster::security,
    },
    Case {
        name: "comet-tls",
        about: "The drain to a Comet in the clear and with TLS, both with `--caller lean`",
        when: When::Always,
        run: extras::comet_tls,
    },
    Case {
        name: "record-metadata",
        about: "The drain with `--record-metadata off` and `on`, with each caller",
        when: When::Always,
        run: extras::record_metadata,
    },
    Case {
        name: "observability",
        about: "The drain with nothing that shows it, and with the page and the metrics asked each second and the log at INFO",
        when: When::Always,
        run: extras::observability,
    },
    Case {
        name: "memory",
        about: "Resident memory in a long drain",
        when: When::Always,
        run: small::memory,
    },
    Case {
        name: "idle",
        about: "With a Comet and four partitions, and nothing to do",
        when: When::Always,
        run: small::idle,
    },
    Case {
        name: "start",
        about: "From the start of the process to the first delivery, alone in its group, \
                group.initial.rebalance.delay.ms=0",
        when: When::Always,
        run: small::start,
    },
    Case {
        name: "binary",
        about: "The release binary",
        when: When::Always,
        run: small::binary,
    },
    Case {
        name: "profile",
        about: "Where a message's microseconds go, by samples of `perf` in a drain (only when named)",
        when: When::Named,
        run: profile::profile,
    },
    Case {
        name: "threads",
        about: "What each of job's threads takes of a message in the drain: the busiest one is the limit where there are \
                cores enough",
        when: When::Always,
        run: threads::threads,
    },
];

/// Whether job knows this flag.
fn job_knows(flag: &str) -> Result<bool, String> {
    let help = Command::new(binary("job")?)
        .arg("--help")
        .output()
        .map_err(|e| format!("job --help does not run: {e}"))?;
    Ok(String::from_utf8_lossy(&help.stdout).contains(flag))
}
