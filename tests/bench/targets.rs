//! What job wants to reach, each a figure of one of the cases.

use crate::cases::{CPU_OF_RAW, OF_ALL, OF_FIRST, OF_ONE_BY_ONE, OF_PLAIN, OF_RAW};

pub struct Target {
    pub wanted: &'static str,
    pub case: &'static str,
    pub row: &'static str,
    pub figure: &'static str,
    bound: Bound,
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}
use Bound::{AtLeast, AtMost};

impl Target {
    pub fn holds(&self, got: f64) -> bool {
        match self.bound {
            AtLeast(least) => got >= least,
            AtMost(most) => got <= most,
        }
    }
}

const fn target(
    wanted: &'static str,
    [case, row, figure]: [&'static str; 3],
    bound: Bound,
) -> Target {
    Target {
        wanted,
        case,
        row,
        figure,
        bound,
    }
}

pub const TARGETS: [Target; 22] = [
    target(
        "One call a message, 1 partition: at least as fast as grpcio alone (its defaults, 4 channels × 64 in flight)",
        ["drain", "1 partition", OF_RAW],
        AtLeast(1.0),
    ),
    target(
        "The same, 4 partitions",
        ["drain", "4 partitions", OF_RAW],
        AtLeast(1.0),
    ),
    target(
        "No more CPU a message than grpcio alone spends a call, 1 partition",
        ["drain", "1 partition", CPU_OF_RAW],
        AtMost(1.0),
    ),
    target(
        "The same, 4 partitions",
        ["drain", "4 partitions", CPU_OF_RAW],
        AtMost(1.0),
    ),
    target(
        "Merged as json over 100 rooms: 500,000 messages/s",
        ["coalesce", "json", "messages/s"],
        AtLeast(500_000.0),
    ),
    target(
        "Merged as goim's frames: 500,000 messages/s",
        ["coalesce", "goim", "messages/s"],
        AtLeast(500_000.0),
    ),
    target(
        "One hot room, one call at a time: 0.9 of 1 / round-trip time",
        ["hot-room", "one call at a time", "of 1 / round-trip time"],
        AtLeast(0.9),
    ),
    target(
        "One hot room, merged: 10 times 1 / round-trip time",
        [
            "hot-room",
            "one call at a time, merged as json",
            "of 1 / round-trip time",
        ],
        AtLeast(10.0),
    ),
    target(
        "Latency at 1,000/s: p50 no worse than that of a service that handles one message at a time",
        ["latency", "1000/s", OF_ONE_BY_ONE],
        AtMost(1.0),
    ),
    target(
        "Latency at 10,000/s: p50 under 2 ms",
        ["latency", "10000/s", "p50 ms"],
        AtMost(2.0),
    ),
    target(
        "Latency at 10,000/s: p99 under 10 ms",
        ["latency", "10000/s", "p99 ms"],
        AtMost(10.0),
    ),
    target(
        "INFO into a file: 75 % of WARN's speed",
        ["logging", "INFO", "of WARN's speed"],
        AtLeast(0.75),
    ),
    target(
        "16 Comets: a call costs at most 1.3 times that of one",
        ["comets", "16", "times the cost with one"],
        AtMost(1.3),
    ),
    target(
        "64 Comets: the same",
        ["comets", "64", "times the cost with one"],
        AtMost(1.3),
    ),
    target(
        "Eight jobs share 16 partitions: a message costs at most 1.2 times the CPU",
        ["members", "8", OF_FIRST],
        AtMost(1.2),
    ),
    target(
        "TLS: a message costs at most 1.15 times the CPU",
        ["security", "SSL", OF_FIRST],
        AtMost(1.15),
    ),
    target(
        "64 Comets, a room on 3 of them: `--fan-out rooms` delivers at least 10 times the messages a second of `all`",
        ["fan-out", "64 Comets, a room on 3", OF_ALL],
        AtLeast(10.0),
    ),
    target(
        "TLS to a Comet: at most 1.25 times the CPU of the same caller in the clear",
        ["comet-tls", "1000 rooms", OF_PLAIN],
        AtMost(1.25),
    ),
    target(
        "Under 50 MB resident while draining 5,000,000 messages",
        ["memory", "the long drain", "peak MB"],
        AtMost(50.0),
    ),
    target(
        "Idle: under 0.5 % of a core",
        ["idle", "nothing to do", "% of a core"],
        AtMost(0.5),
    ),
    target(
        "First delivery within 500 ms of the start",
        ["start", "first delivery", "ms"],
        AtMost(500.0),
    ),
    target(
        "Release binary under 25 MB",
        ["binary", "job", "MB"],
        AtMost(25.0),
    ),
];
