//! What can be broken.

use std::fmt;

use crate::dead_addresses::Dead;
use crate::proxy::Mode;

#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// SIGKILL, and started again.
    JobKill {
        slot: usize,
    },
    /// SIGTERM, and started again after its end.
    JobStop {
        slot: usize,
    },
    /// One more, which is stopped later.
    JobMore {
        slot: usize,
    },
    /// SIGTERM, and started again with an address before Kafka's at which no Kafka answers.
    JobDeadAddress {
        slot: usize,
        dead: Dead,
    },
    CometKill {
        comet: usize,
    },
    CometRestart {
        comet: usize,
    },
    CometFreeze {
        comet: usize,
    },
    CometHang {
        comet: usize,
    },
    CometSlow {
        comet: usize,
        delay_ms: u64,
    },
    CometErrors {
        comet: usize,
        status: i32,
        percent: u32,
    },
    /// Between a Comet and one job, or all of them.
    CometCut {
        comet: usize,
        slot: Option<usize>,
        mode: Mode,
    },
    /// All Comets at once; they come back one after the other.
    CometsAway {
        how: Away,
        /// Which comes back first, second and so on.
        order: Vec<usize>,
        apart_ms: u64,
    },
    /// For minutes.
    CometGone {
        comet: usize,
        how: Away,
    },
    /// One Comet after the other is restarted, each so long after the one before.
    CometsRolling {
        order: Vec<usize>,
        apart_ms: u64,
    },
    /// The list of Comets is without one that goes on.
    FleetLeave {
        comet: usize,
    },
    /// One drains, ends, isn't listed, and is started and listed again.
    FleetReplace {
        comet: usize,
    },
    KafkaKill,
    KafkaRestart,
    KafkaFreeze,
    /// Between Kafka and one job, or all of them.
    KafkaCut {
        slot: Option<usize>,
        mode: Mode,
    },
    /// A byte of a batch that no job has read yet changes on the disk while Kafka is stopped.
    KafkaCorrupt {
        spot: Spot,
    },
    /// SIGKILL for one of several brokers, and started again.
    BrokerKill {
        broker: usize,
    },
    BrokerRestart {
        broker: usize,
    },
    BrokerFreeze {
        broker: usize,
    },
    /// One broker after the other is restarted.
    BrokersRolling,
    /// Each partition gets another leader.
    LeadersMove,
    /// What a broker shows to the jobs for a while.
    CertificateExpired {
        broker: usize,
    },
    /// The topic gets so many partitions more.
    PartitionsAdded {
        count: i32,
    },
    /// So many messages of one transaction, which is open meanwhile.
    Transaction {
        count: u32,
        commit: bool,
    },
    /// So many records at once that can't be delivered.
    Poison {
        count: u32,
    },
}

/// How Comets are away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    Killed,
    Frozen,
    Hangs,
    /// They answer this status to every call.
    Status(i32),
}

impl Away {
    pub const ALL: [Away; 6] = [
        Away::Killed,
        Away::Killed,
        Away::Frozen,
        Away::Hangs,
        Away::Status(14),
        Away::Status(2),
    ];
}

impl fmt::Display for Away {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Away::Killed => write!(out, "killed"),
            Away::Frozen => write!(out, "frozen"),
            Away::Hangs => write!(out, "hanging"),
            Away::Status(status) => write!(out, "answering status {status}"),
        }
    }
}

/// What of a batch is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// Its checksum: only who verifies it notices.
    Checksum,
    /// The length of its first record: nobody can take it apart.
    Length,
}

impl fmt::Display for Spot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Spot::Checksum => "checksum",
            Spot::Length => "length",
        })
    }
}

impl Fault {
    pub fn name(&self) -> &'static str {
        match self {
            Fault::JobKill { .. } => "job-kill",
            Fault::JobStop { .. } => "job-stop",
            Fault::JobMore { .. } => "job-more",
            Fault::JobDeadAddress { .. } => "job-dead-address",
            Fault::CometKill { .. } => "comet-kill",
            Fault::CometRestart { .. } => "comet-restart",
            Fault::CometFreeze { .. } => "comet-freeze",
            Fault::CometHang { .. } => "comet-hang",
            Fault::CometSlow { .. } => "comet-slow",
            Fault::CometErrors { .. } => "comet-errors",
            Fault::CometCut { .. } => "comet-cut",
            Fault::CometsAway { .. } => "comets-away",
            Fault::CometGone { .. } => "comet-gone",
            Fault::CometsRolling { .. } => "comets-rolling",
            Fault::FleetLeave { .. } => "fleet-leave",
            Fault::FleetReplace { .. } => "fleet-replace",
            Fault::KafkaKill => "kafka-kill",
            Fault::KafkaRestart => "kafka-restart",
            Fault::KafkaFreeze => "kafka-freeze",
            Fault::KafkaCut { .. } => "kafka-cut",
            Fault::KafkaCorrupt { .. } => "kafka-corrupt",
            Fault::BrokerKill { .. } => "broker-kill",
            Fault::BrokerRestart { .. } => "broker-restart",
            Fault::BrokerFreeze { .. } => "broker-freeze",
            Fault::BrokersRolling => "brokers-rolling",
            Fault::LeadersMove => "leaders-move",
            Fault::CertificateExpired { .. } => "certificate-expired",
            Fault::PartitionsAdded { .. } => "partitions-added",
            Fault::Transaction { commit: false, .. } => "transaction-abort",
            Fault::Transaction { commit: true, .. } => "transaction-commit",
            Fault::Poison { .. } => "poison",
        }
    }

    /// How many partitions it adds.
    pub fn partitions(&self) -> i32 {
        match self {
            Fault::PartitionsAdded { count } => *count,
            _ => 0,
        }
    }

    /// What is busy with it: no two faults at once on one thing.
    pub fn target(&self) -> Target {
        match *self {
            Fault::JobKill { slot }
            | Fault::JobStop { slot }
            | Fault::JobMore { slot }
            | Fault::JobDeadAddress { slot, .. } => Target::Job(slot),
            Fault::CometKill { comet }
            | Fault::CometRestart { comet }
            | Fault::CometFreeze { comet }
            | Fault::CometHang { comet }
            | Fault::CometSlow { comet, .. }
            | Fault::CometErrors { comet, .. }
            | Fault::CometGone { comet, .. }
            | Fault::FleetLeave { comet }
            | Fault::FleetReplace { comet }
            | Fault::CometCut { comet, .. } => Target::Comet(comet),
            Fault::CometsAway { .. } | Fault::CometsRolling { .. } => Target::AllComets,
            Fault::KafkaKill
            | Fault::KafkaRestart
            | Fault::KafkaFreeze
            | Fault::KafkaCut { .. }
            | Fault::KafkaCorrupt { .. }
            | Fault::BrokerKill { .. }
            | Fault::BrokerRestart { .. }
            | Fault::BrokerFreeze { .. }
            | Fault::BrokersRolling
            | Fault::LeadersMove
            | Fault::CertificateExpired { .. } => Target::Kafka,
            Fault::PartitionsAdded { .. } => Target::Topic,
            Fault::Transaction { .. } => Target::Transaction,
            Fault::Poison { .. } => Target::Nothing,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let jobs =
            |slot: &Option<usize>| slot.map_or("all jobs".into(), |slot| format!("job {slot}"));
        write!(out, "{}", self.name())?;
        match self {
            Fault::JobKill { slot } | Fault::JobStop { slot } | Fault::JobMore { slot } => {
                write!(out, " {slot}")
            }
            Fault::JobDeadAddress { slot, dead } => write!(out, " {slot}, {dead}"),
            Fault::CometKill { comet }
            | Fault::CometRestart { comet }
            | Fault::CometFreeze { comet }
            | Fault::CometHang { comet }
            | Fault::FleetLeave { comet }
            | Fault::FleetReplace { comet } => {
                write!(out, " {comet}")
            }
            Fault::CometSlow { comet, delay_ms } => write!(out, " {comet}, {delay_ms} ms a call"),
            Fault::CometErrors {
                comet,
                status,
                percent,
            } => {
                write!(out, " {comet}, status {status} for {percent} % of calls")
            }
            Fault::CometCut { comet, slot, mode } => {
                write!(out, " {comet} from {}, {mode}", jobs(slot))
            }
            Fault::CometsAway {
                how,
                order,
                apart_ms,
            } => {
                write!(
                    out,
                    " {how}, back in the order {order:?}, {apart_ms} ms apart"
                )
            }
            Fault::CometGone { comet, how } => write!(out, " {comet}, {how}"),
            Fault::CometsRolling { order, apart_ms } => {
                write!(out, " in the order {order:?}, {apart_ms} ms apart")
            }
            Fault::KafkaCut { slot, mode } => write!(out, " from {}, {mode}", jobs(slot)),
            Fault::KafkaCorrupt { spot } => write!(out, " {spot} of a batch"),
            Fault::PartitionsAdded { count } => write!(out, " {count} more"),
            Fault::Transaction { count, .. } | Fault::Poison { count } => {
                write!(out, " {count} records")
            }
            Fault::BrokerKill { broker }
            | Fault::BrokerRestart { broker }
            | Fault::BrokerFreeze { broker }
            | Fault::CertificateExpired { broker } => write!(out, " {broker}"),
            Fault::KafkaKill
            | Fault::KafkaRestart
            | Fault::KafkaFreeze
            | Fault::BrokersRolling
            | Fault::LeadersMove => Ok(()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Job(usize),
    Comet(usize),
    AllComets,
    Kafka,
    Topic,
    Transaction,
    Nothing,
}

impl Target {
    /// Whether faults on both would be on one thing.
    pub fn meets(self, other: Target) -> bool {
        match (self, other) {
            (Target::Nothing, _) => false,
            (Target::AllComets, Target::Comet(_)) | (Target::Comet(_), Target::AllComets) => true,
            _ => self == other,
        }
    }
}
