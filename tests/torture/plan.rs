//! Which faults come when: all of it follows from the seed.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

use crate::proxy::Mode;
use crate::settings::Settings;

#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// Since the beginning of the faults.
    pub at: Duration,
    pub fault: Fault,
    /// From the fault's begin to the beginning of its repair.
    pub lasts: Duration,
}

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
    KafkaKill,
    KafkaRestart,
    KafkaFreeze,
    /// Between Kafka and one job, or all of them.
    KafkaCut {
        slot: Option<usize>,
        mode: Mode,
    },
    /// So many records at once that can't be delivered.
    Poison {
        count: u32,
    },
}

impl Fault {
    pub fn name(&self) -> &'static str {
        match self {
            Fault::JobKill { .. } => "job-kill",
            Fault::JobStop { .. } => "job-stop",
            Fault::JobMore { .. } => "job-more",
            Fault::CometKill { .. } => "comet-kill",
            Fault::CometRestart { .. } => "comet-restart",
            Fault::CometFreeze { .. } => "comet-freeze",
            Fault::CometHang { .. } => "comet-hang",
            Fault::CometSlow { .. } => "comet-slow",
            Fault::CometErrors { .. } => "comet-errors",
            Fault::CometCut { .. } => "comet-cut",
            Fault::KafkaKill => "kafka-kill",
            Fault::KafkaRestart => "kafka-restart",
            Fault::KafkaFreeze => "kafka-freeze",
            Fault::KafkaCut { .. } => "kafka-cut",
            Fault::Poison { .. } => "poison",
        }
    }

    /// What is busy with it: no two faults at once on one thing.
    fn target(&self) -> Target {
        match *self {
            Fault::JobKill { slot } | Fault::JobStop { slot } | Fault::JobMore { slot } => {
                Target::Job(slot)
            }
            Fault::CometKill { comet }
            | Fault::CometRestart { comet }
            | Fault::CometFreeze { comet }
            | Fault::CometHang { comet }
            | Fault::CometSlow { comet, .. }
            | Fault::CometErrors { comet, .. }
            | Fault::CometCut { comet, .. } => Target::Comet(comet),
            Fault::KafkaKill
            | Fault::KafkaRestart
            | Fault::KafkaFreeze
            | Fault::KafkaCut { .. } => Target::Kafka,
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
            Fault::CometKill { comet }
            | Fault::CometRestart { comet }
            | Fault::CometFreeze { comet }
            | Fault::CometHang { comet } => {
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
            Fault::KafkaCut { slot, mode } => write!(out, " from {}, {mode}", jobs(slot)),
            Fault::Poison { count } => write!(out, " {count} records"),
            Fault::KafkaKill | Fault::KafkaRestart | Fault::KafkaFreeze => Ok(()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Job(usize),
    Comet(usize),
    Kafka,
    Nothing,
}

/// All gRPC statuses but OK, the likely ones more often.
const STATUSES: [i32; 22] = [
    14, 14, 14, 13, 13, 4, 8, 2, 2, 10, 1, 7, 12, 16, 5, 3, 3, 9, 11, 15, 6, 99,
];
/// Those with which a Comet refuses a message for good.
pub const REFUSALS: [i32; 5] = [3, 6, 9, 11, 15];

/// The faults of a campaign, in the order of their beginning.
pub fn plan(settings: &Settings, seed: u64) -> Vec<Planned> {
    let mut rng = Rng::with_seed(seed);
    let length = settings.minutes * 60.0;
    // A short campaign has short outages, so that it sees more than one.
    let longest = (length / 6.0).clamp(2.0, 30.0);
    let (jobs, comets) = (settings.jobs as usize, settings.comets as usize);
    let mut busy: Vec<(Target, f64)> = Vec::new();
    let mut plan = Vec::new();
    let mut at = 0.5;
    while at < length {
        let fault = draw(&mut rng, jobs, comets);
        let lasts = lasts(&mut rng, &fault, longest);
        let wanted = settings.only.is_empty()
            || settings
                .only
                .iter()
                .any(|only| fault.name().starts_with(only.as_str()));
        busy.retain(|(_, until)| *until > at);
        let target = fault.target();
        // One job at least is left in peace, mostly.
        let jobs_busy = busy
            .iter()
            .filter(|(t, _)| matches!(t, Target::Job(_)))
            .count();
        let last_job =
            matches!(target, Target::Job(_)) && jobs_busy + 1 >= jobs && rng.u32(0..10) > 0;
        let free = target == Target::Nothing || busy.iter().all(|(t, _)| *t != target);
        if !wanted || !free || last_job {
            // It may be that nothing is free for a while.
            at += 0.05;
            continue;
        }
        let rest = match target {
            Target::Kafka => 12.0,
            Target::Comet(_) => 3.0,
            Target::Job(_) => 4.0,
            Target::Nothing => 0.0,
        };
        busy.push((target, at + lasts + rest));
        plan.push(Planned {
            at: Duration::from_secs_f64(at),
            fault,
            lasts: Duration::from_secs_f64(lasts),
        });
        at += match settings.pause {
            Some(pause) => lasts + f64::from(pause),
            None => 0.5 + 5.0 * rng.f64() * rng.f64(),
        };
        if settings.pause.is_none() && plan.len() % 25 == 0 {
            // Now and then all is well for a while: what doesn't come back by itself shows.
            at += longest / 2.0;
        }
    }
    plan
}

fn draw(rng: &mut Rng, jobs: usize, comets: usize) -> Fault {
    let (slot, comet) = (rng.usize(0..jobs), rng.usize(0..comets));
    let some_slot = (rng.u32(0..2) == 0).then_some(rng.usize(0..jobs));
    let mode = Mode::FAULTS[rng.usize(0..Mode::FAULTS.len())];
    let status = STATUSES[rng.usize(0..STATUSES.len())];
    match rng.u32(0..100) {
        0..16 => Fault::JobKill { slot },
        16..28 => Fault::JobStop { slot },
        28..34 => Fault::JobMore { slot: jobs },
        34..41 => Fault::CometKill { comet },
        41..45 => Fault::CometRestart { comet },
        45..51 => Fault::CometFreeze { comet },
        51..55 => Fault::CometHang { comet },
        55..59 => Fault::CometSlow {
            comet,
            delay_ms: 20 << rng.u32(0..6),
        },
        59..69 => Fault::CometErrors {
            comet,
            status,
            percent: match rng.u32(0..4) {
                // Refused messages are dead letters: a few are enough.
                _ if REFUSALS.contains(&status) => 2,
                0 => 100,
                _ => 5 + rng.u32(0..60),
            },
        },
        69..79 => Fault::CometCut {
            comet,
            slot: some_slot,
            mode,
        },
        79..83 => Fault::KafkaKill,
        83..86 => Fault::KafkaRestart,
        86..90 => Fault::KafkaFreeze,
        90..97 => Fault::KafkaCut {
            slot: some_slot,
            mode,
        },
        _ => Fault::Poison {
            count: 1 + rng.u32(0..40),
        },
    }
}

fn lasts(rng: &mut Rng, fault: &Fault, longest: f64) -> f64 {
    // Mostly short, sometimes nearly the longest.
    let (some, kind) = (rng.f64() * rng.f64(), rng.u32(0..20));
    let at_most_25 = longest.min(25.0);
    match fault {
        Fault::Poison { .. } => 0.0,
        Fault::JobKill { .. } | Fault::JobStop { .. } if kind < 12 => rng.f64() * 2.0,
        Fault::JobKill { .. } | Fault::JobStop { .. } => 2.0 + some * at_most_25,
        Fault::JobMore { .. } => 3.0 + some * longest,
        Fault::KafkaKill | Fault::KafkaRestart => some * longest / 3.0,
        Fault::KafkaFreeze | Fault::KafkaCut { .. } => 0.5 + some * longest,
        Fault::CometErrors { status, .. } if REFUSALS.contains(status) => 1.0 + some * 5.0,
        // Now and then so long that it is left out.
        _ if longest >= 30.0 && kind == 0 => 32.0 + some * 10.0,
        _ => 0.3 + some * (at_most_25 - 1.0),
    }
}
