//! Under which name each kind of fault appears on a status page.

use crate::plan::{Away, Fault, REFUSALS};
use crate::proxy::Mode;
use crate::timeline::{Micros, SECOND};

/// What a page says of a fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sign {
    /// One of these conditions, with the Comet's address in it, no later than that.
    Comet(&'static [&'static str], Micros),
    /// One of these conditions, no later than that.
    Kafka(&'static [&'static str], Micros),
    /// More dead letters, at whichever job reads what becomes one.
    Letters,
    /// None, and why.
    Nothing(&'static str),
}

/// It takes nothing.
const AWAY: &[&str] = &[
    "Comet out",
    "Comet detached",
    "No Comet takes messages",
    "No Comet has answered",
];
/// It takes nothing, and what says so is that answers fail to come, or are all bad. Calls that fail say it first.
const FAILS: &[&str] = &[
    "Comet out",
    "Comet detached",
    "No Comet takes messages",
    "No Comet has answered",
    "Calls fail",
];
const NO_KAFKA: &[&str] = &[
    "Kafka unreachable",
    "Not a member of the group",
    "Joining the group",
    "Positions unknown",
    "Commits fail",
    "No partition",
];

/// A refused connection is noticed with the next call.
const SOON: Micros = 6 * SECOND;
/// Silence is noticed when the first call took longer than 5 s, and calls that fail among others over 5 to 10 s.
const LATER: Micros = 15 * SECOND;
/// A fetch without an answer takes longer to fail.
const MUCH_LATER: Micros = 45 * SECOND;

/// So many of 100 calls must fail for the condition; the dice of a few hundred calls may fall on fewer than the fault says.
const SEEN_PERCENT: u32 = 15;

const TOO_SHORT: &str = "it is over with the next connection";
const GONE: &str = "the page is gone with its job";
const NOTHING_WRONG: &str = "nothing is wrong";

/// What shows a fault.
pub fn sign(fault: &Fault) -> Sign {
    match fault {
        Fault::JobKill { .. } | Fault::JobStop { .. } => Sign::Nothing(GONE),
        Fault::JobDeadAddress { .. } => Sign::Nothing("the addresses behind it are tried"),
        Fault::JobMore { .. } => Sign::Nothing(NOTHING_WRONG),
        Fault::CometKill { .. } | Fault::CometRestart { .. } => Sign::Comet(AWAY, SOON),
        Fault::CometFreeze { .. } | Fault::CometHang { .. } => Sign::Comet(FAILS, LATER),
        Fault::CometSlow { .. } => Sign::Nothing("its calls take less than a second"),
        Fault::CometErrors { status: 5, .. } => {
            Sign::Nothing("the Comet says that nobody is there")
        }
        Fault::CometErrors { status, .. } if REFUSALS.contains(status) => Sign::Letters,
        Fault::CometErrors { percent, .. } if *percent < SEEN_PERCENT => {
            Sign::Nothing("too few calls fail")
        }
        Fault::CometErrors { .. } => Sign::Comet(FAILS, LATER),
        Fault::CometCut { mode, .. } => match mode {
            Mode::Forget => Sign::Nothing(TOO_SHORT),
            Mode::Close => Sign::Comet(AWAY, SOON),
            Mode::Open | Mode::Hold | Mode::HoldAnswers => Sign::Comet(FAILS, LATER),
        },
        Fault::CometsAway { how, .. } | Fault::CometGone { how, .. } => match how {
            Away::Killed => Sign::Comet(AWAY, SOON),
            Away::Frozen | Away::Hangs | Away::Status(_) => Sign::Comet(FAILS, LATER),
        },
        Fault::CometsRolling { .. } => Sign::Nothing("each restart is a comet-restart"),
        Fault::FleetLeave { .. } | Fault::FleetReplace { .. } => {
            Sign::Nothing("it isn't one of the Comets meanwhile")
        }
        Fault::KafkaKill | Fault::KafkaRestart | Fault::KafkaCorrupt { .. } => {
            Sign::Kafka(NO_KAFKA, LATER)
        }
        Fault::KafkaFreeze => Sign::Kafka(NO_KAFKA, MUCH_LATER),
        Fault::KafkaCut { mode, .. } => match mode {
            Mode::Forget => Sign::Nothing(TOO_SHORT),
            Mode::Close => Sign::Kafka(NO_KAFKA, LATER),
            Mode::Open | Mode::Hold | Mode::HoldAnswers => Sign::Kafka(NO_KAFKA, MUCH_LATER),
        },
        Fault::BrokerKill { .. }
        | Fault::BrokerRestart { .. }
        | Fault::BrokerFreeze { .. }
        | Fault::BrokersRolling
        | Fault::LeadersMove
        | Fault::CertificateExpired { .. } => Sign::Nothing("the other brokers take over"),
        Fault::PartitionsAdded { .. } | Fault::Transaction { .. } => Sign::Nothing(NOTHING_WRONG),
        Fault::Poison { .. } => Sign::Letters,
    }
}
