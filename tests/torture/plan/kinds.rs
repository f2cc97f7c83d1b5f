//! The kinds of faults, and how one of each is drawn.

use fastrand::Rng;

use super::fault::{Away, Fault, Spot};
use crate::dead_addresses::Dead;
use crate::kafka::BROKERS;
use crate::proxy::Mode;

/// All gRPC statuses but OK, the likely ones more often.
const STATUSES: [i32; 22] = [
    14, 14, 14, 13, 13, 4, 8, 2, 2, 10, 1, 7, 12, 16, 5, 3, 3, 9, 11, 15, 6, 99,
];
/// Those with which a Comet refuses a message for good.
pub const REFUSALS: [i32; 5] = [3, 6, 9, 11, 15];

/// How a kind of fault is drawn, and how often in comparison with others.
pub type Kind = (u32, fn(&mut Draw) -> Fault);

pub const KINDS: [Kind; 25] = [
    (16, |of| Fault::JobKill { slot: of.slot() }),
    (12, |of| Fault::JobStop { slot: of.slot() }),
    (6, |of| Fault::JobMore { slot: of.jobs }),
    (5, |of| Fault::JobDeadAddress {
        slot: of.slot(),
        dead: of.one(&Dead::ALL),
    }),
    (7, |of| Fault::CometKill { comet: of.comet() }),
    (4, |of| Fault::CometRestart { comet: of.comet() }),
    (6, |of| Fault::CometFreeze { comet: of.comet() }),
    (4, |of| Fault::CometHang { comet: of.comet() }),
    (4, |of| Fault::CometSlow {
        comet: of.comet(),
        delay_ms: 20 << of.rng.u32(0..6),
    }),
    (10, errors),
    (10, |of| Fault::CometCut {
        comet: of.comet(),
        slot: of.some_slot(),
        mode: of.one(&Mode::FAULTS),
    }),
    (3, |of| Fault::CometsAway {
        how: of.one(&Away::ALL),
        order: of.order(),
        apart_ms: 300 + of.rng.u64(0..1_700),
    }),
    (2, |of| Fault::CometGone {
        comet: of.comet(),
        how: of.one(&Away::ALL),
    }),
    (2, |of| Fault::CometsRolling {
        order: of.order(),
        apart_ms: 500 + of.rng.u64(0..4_000),
    }),
    (8, |of| Fault::FleetLeave { comet: of.comet() }),
    (6, |of| Fault::FleetReplace { comet: of.comet() }),
    (4, |_| Fault::KafkaKill),
    (3, |_| Fault::KafkaRestart),
    (4, |_| Fault::KafkaFreeze),
    (7, |of| Fault::KafkaCut {
        slot: of.some_slot(),
        mode: of.one(&Mode::FAULTS),
    }),
    (3, |of| Fault::KafkaCorrupt {
        spot: of.one(&[Spot::Checksum, Spot::Length]),
    }),
    (1, |of| Fault::PartitionsAdded {
        count: 1 + of.rng.i32(0..2),
    }),
    (3, |of| Fault::Transaction {
        count: 5 + of.rng.u32(0..60),
        commit: false,
    }),
    (3, |of| Fault::Transaction {
        count: 5 + of.rng.u32(0..60),
        commit: true,
    }),
    (3, |of| Fault::Poison {
        count: 1 + of.rng.u32(0..40),
    }),
];

/// What befalls several brokers, in the place of [`ONE_BROKERS`].
pub const CLUSTERS: [Kind; 6] = [
    (5, |of| Fault::BrokerKill {
        broker: of.broker(),
    }),
    (4, |of| Fault::BrokerRestart {
        broker: of.broker(),
    }),
    (5, |of| Fault::BrokerFreeze {
        broker: of.broker(),
    }),
    (3, |_| Fault::BrokersRolling),
    (4, |_| Fault::LeadersMove),
    (4, |of| Fault::CertificateExpired {
        broker: of.broker(),
    }),
];
pub const ONE_BROKERS: [&str; 4] = [
    "kafka-kill",
    "kafka-restart",
    "kafka-freeze",
    "kafka-corrupt",
];

fn errors(of: &mut Draw) -> Fault {
    let status = of.one(&STATUSES);
    Fault::CometErrors {
        comet: of.comet(),
        status,
        percent: match of.rng.u32(0..4) {
            // Refused messages are dead letters: a few are enough.
            _ if REFUSALS.contains(&status) => 2,
            0 => 100,
            _ => 5 + of.rng.u32(0..60),
        },
    }
}

/// What faults are drawn from.
pub struct Draw {
    pub rng: Rng,
    pub jobs: usize,
    pub comets: usize,
}

impl Draw {
    fn slot(&mut self) -> usize {
        self.rng.usize(0..self.jobs)
    }

    /// One job, or all.
    fn some_slot(&mut self) -> Option<usize> {
        (self.rng.u32(0..2) == 0).then(|| self.slot())
    }

    /// As Kafka numbers them.
    fn broker(&mut self) -> usize {
        self.rng.usize(1..=BROKERS)
    }

    fn comet(&mut self) -> usize {
        self.rng.usize(0..self.comets)
    }

    /// All Comets.
    fn order(&mut self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.comets).collect();
        self.rng.shuffle(&mut order);
        order
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.usize(0..of.len())]
    }
}
