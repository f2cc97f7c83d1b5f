//! Which faults come when: all of it follows from the seed.

mod fault;
mod kinds;

use std::time::Duration;

use fastrand::Rng;

use crate::settings::Settings;
use crate::streams::ADDED_AT_MOST;

pub use fault::{Away, Fault, Spot, Target};
pub use kinds::REFUSALS;
use kinds::{CLUSTERS, Draw, KINDS, Kind, ONE_BROKERS};

#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// Since the beginning of the faults.
    pub at: Duration,
    pub fault: Fault,
    /// From the fault's begin to the beginning of its repair.
    pub lasts: Duration,
}

/// For so long a Comet that is replaced drains before it ends.
pub const DRAINS: Duration = Duration::from_millis(1_500);

/// Stopping Kafka and starting it again takes about so many seconds, beside the time for which it is stopped.
const KAFKA_STARTS: f64 = 5.0;

/// The faults of a campaign, in the order of their beginning. Each kind comes once before any comes more often.
pub fn plan(settings: &Settings, seed: u64) -> Vec<Planned> {
    let mut planner = Planner::new(settings, seed);
    let length = settings.minutes * 60.0;
    let mut at = 0.5;
    while at < length && !planner.kinds.is_empty() {
        let Some(fault) = planner.next(at) else {
            // It may be that nothing is free for a while.
            at += 0.05;
            continue;
        };
        let lasts = planner.lasts(&fault);
        planner.occupy(&fault, at, at + lasts);
        planner.plan.push(Planned {
            at: Duration::from_secs_f64(at),
            fault,
            lasts: Duration::from_secs_f64(lasts),
        });
        at += match settings.pause {
            Some(pause) => lasts + f64::from(pause),
            None => 0.5 + 5.0 * planner.rng.f64() * planner.rng.f64(),
        };
        if settings.pause.is_none() && planner.plan.len().is_multiple_of(25) && length > 120.0 {
            // Now and then all is well for a while: what doesn't come back by itself shows.
            at += planner.longest / 2.0;
        }
    }
    planner.plan
}

struct Planner {
    draw: Draw,
    rng: Rng,
    /// Those that are wanted.
    kinds: Vec<Kind>,
    /// Those that did not come yet.
    deck: Vec<Kind>,
    /// Drawn from the deck when their target was busy. Nothing else comes on it before them.
    waiting: Vec<Fault>,
    busy: Vec<(Target, f64)>,
    /// How many more partitions there may be.
    partitions: i32,
    longest: f64,
    /// For how long a Comet is gone at most while everything else goes on.
    gone: f64,
    /// How long Kafka is left in peace after a fault.
    kafka_rests: f64,
    plan: Vec<Planned>,
}

impl Planner {
    fn new(settings: &Settings, seed: u64) -> Planner {
        let length = settings.minutes * 60.0;
        let mut rng = Rng::with_seed(seed);
        let mut draw = Draw {
            rng: rng.fork(),
            jobs: settings.jobs as usize,
            comets: settings.comets as usize,
        };
        let more: &[Kind] = if settings.cluster { &CLUSTERS } else { &[] };
        let kinds: Vec<Kind> = KINDS
            .into_iter()
            .chain(more.iter().copied())
            .filter(|kind| {
                let name = kind.1(&mut draw).name();
                settings.wants(name) && !(settings.cluster && ONE_BROKERS.contains(&name))
            })
            .collect();
        let mut deck = kinds.clone();
        rng.shuffle(&mut deck);
        // Kafka's take longest: they are taken first, so that a short campaign sees them all.
        deck.sort_by_key(|kind| kind.1(&mut draw).target() == Target::Kafka);
        Planner {
            draw,
            rng,
            kinds,
            deck,
            waiting: Vec::new(),
            busy: Vec::new(),
            partitions: ADDED_AT_MOST,
            // A short campaign has short outages, so that it sees more than one.
            longest: (length / 6.0).clamp(2.0, 30.0),
            gone: (length / 5.0).clamp(4.0, 180.0),
            kafka_rests: (length / 12.0).clamp(3.0, 12.0),
            plan: Vec::new(),
        }
    }

    /// What begins now, if anything does.
    fn next(&mut self, at: f64) -> Option<Fault> {
        self.busy.retain(|(_, until)| *until > at);
        let waited = (0..self.waiting.len()).find(|n| self.is_free(self.waiting[*n].target()));
        if let Some(place) = waited {
            return Some(self.waiting.remove(place));
        }
        let from_deck = self.deck.pop();
        let kind = from_deck.unwrap_or_else(|| self.by_weight());
        let fault = kind.1(&mut self.draw);
        let target = fault.target();
        let is_next = !self.waiting.iter().any(|w| w.target().meets(target));
        if is_next && self.is_free(target) && fault.partitions() <= self.partitions {
            return Some(fault);
        }
        if from_deck.is_some() {
            self.waiting.push(fault);
        }
        None
    }

    fn by_weight(&mut self) -> Kind {
        let mut left = self
            .rng
            .u32(0..self.kinds.iter().map(|kind| kind.0).sum::<u32>());
        let drawn = self.kinds.iter().find(|kind| {
            let here = left < kind.0;
            left = left.saturating_sub(kind.0);
            here
        });
        *drawn.unwrap_or(&self.kinds[0])
    }

    fn is_free(&mut self, target: Target) -> bool {
        // One job at least is left in peace, mostly.
        let jobs_busy = self
            .busy
            .iter()
            .filter(|(t, _)| matches!(t, Target::Job(_)))
            .count();
        let last_job = matches!(target, Target::Job(_))
            && jobs_busy + 1 >= self.draw.jobs
            && self.rng.u32(0..10) > 0;
        !last_job && !self.busy.iter().any(|(t, _)| t.meets(target))
    }

    /// Keeps other faults from what this one is on, until so long after its repair.
    fn occupy(&mut self, fault: &Fault, at: f64, until: f64) {
        self.partitions -= fault.partitions();
        let until = match fault {
            Fault::KafkaKill | Fault::KafkaRestart | Fault::KafkaCorrupt { .. } => {
                until + KAFKA_STARTS + self.kafka_rests
            }
            Fault::BrokerKill { .. } | Fault::BrokerRestart { .. } => {
                until + KAFKA_STARTS + self.kafka_rests
            }
            Fault::BrokersRolling => until + 3.0 * KAFKA_STARTS + self.kafka_rests,
            Fault::CometsAway {
                order, apart_ms, ..
            } => until + (order.len() as u64 * apart_ms) as f64 / 1e3 + 3.0,
            Fault::CometsRolling { order, apart_ms } => {
                let lasts = until - at;
                at + order.len() as f64 * (lasts + *apart_ms as f64 / 1e3) + 3.0
            }
            // Calls under way end before it is called again.
            Fault::FleetLeave { .. } => until + 6.0,
            Fault::FleetReplace { .. } => until + DRAINS.as_secs_f64() + 6.0,
            _ => match fault.target() {
                Target::Kafka => until + self.kafka_rests,
                Target::Comet(_) | Target::AllComets => until + 3.0,
                Target::Job(_) => until + 4.0,
                Target::Topic => until + 5.0,
                Target::Transaction | Target::Nothing => until,
            },
        };
        self.busy.push((fault.target(), until));
    }

    fn lasts(&mut self, fault: &Fault) -> f64 {
        let (rng, longest) = (&mut self.rng, self.longest);
        // Mostly short, sometimes nearly the longest.
        let (some, kind) = (rng.f64() * rng.f64(), rng.u32(0..20));
        let at_most_25 = longest.min(25.0);
        match fault {
            Fault::Poison { .. } | Fault::PartitionsAdded { .. } => 0.0,
            Fault::Transaction { .. } => 0.2 + some * 4.0,
            Fault::JobKill { .. } | Fault::JobStop { .. } if kind < 12 => rng.f64() * 2.0,
            Fault::JobKill { .. } | Fault::JobStop { .. } => 2.0 + some * at_most_25,
            Fault::JobDeadAddress { .. } => rng.f64() * 2.0,
            Fault::JobMore { .. } => 3.0 + some * longest,
            Fault::KafkaKill
            | Fault::KafkaRestart
            | Fault::BrokerKill { .. }
            | Fault::BrokerRestart { .. } => some * longest / 3.0,
            Fault::BrokersRolling | Fault::LeadersMove => 0.0,
            Fault::BrokerFreeze { .. } => 0.5 + some * longest,
            Fault::CertificateExpired { .. } => 1.0 + some * longest / 2.0,
            // Until there is something that no job has read.
            Fault::KafkaCorrupt { .. } => 1.5 + some * 2.0,
            Fault::KafkaFreeze | Fault::KafkaCut { .. } => 0.5 + some * longest,
            Fault::CometErrors { status, .. } if REFUSALS.contains(status) => 1.0 + some * 5.0,
            // So long that one would be detached if another were there.
            Fault::CometsAway { .. } => 4.0 + some * 5.0,
            Fault::CometGone { .. } => self.gone * (0.5 + 0.5 * some),
            Fault::CometsRolling { .. } => 0.3 + some * 4.0,
            // Now and then for long.
            _ if longest >= 30.0 && kind == 0 => 32.0 + some * 10.0,
            _ => 0.3 + some * (at_most_25 - 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Parser;

    use super::*;

    fn planned(arguments: &[&str], seed: u64) -> Vec<Planned> {
        let arguments = [&["torture"], arguments].concat();
        plan(&Settings::parse_from(arguments), seed)
    }

    fn names(plan: &[Planned]) -> BTreeSet<&'static str> {
        plan.iter().map(|planned| planned.fault.name()).collect()
    }

    #[test]
    fn the_minute_of_scripts_test_has_each_kind_of_fault() {
        let plan = planned(&["--minutes", "1"], 1);
        assert_eq!(names(&plan).len(), KINDS.len(), "{:?}", names(&plan));
        assert_eq!(plan, planned(&["--minutes", "1"], 1));
    }

    #[test]
    fn a_longer_campaign_has_each_kind_of_fault() {
        for seed in 0..20 {
            let plan = planned(&["--minutes", "3"], seed);
            assert_eq!(names(&plan).len(), KINDS.len(), "seed {seed}");
        }
    }

    #[test]
    fn a_campaign_with_a_cluster_has_the_faults_of_one() {
        for seed in 0..20 {
            let plan = planned(&["--minutes", "5", "--cluster"], seed);
            let names = names(&plan);
            let kinds = KINDS.len() + CLUSTERS.len() - ONE_BROKERS.len();
            assert_eq!(names.len(), kinds, "seed {seed}: {names:?}");
            assert!(!ONE_BROKERS.iter().any(|name| names.contains(name)));
        }
    }

    #[test]
    fn the_help_names_each_kind_of_fault() {
        let help = <Settings as clap::CommandFactory>::command()
            .render_help()
            .to_string();
        let all = [&["--minutes", "3"][..], &["--minutes", "5", "--cluster"]];
        for name in all.iter().flat_map(|settings| names(&planned(settings, 1))) {
            assert!(help.contains(&format!("\n  {name} ")), "{name}");
        }
    }

    #[test]
    fn only_what_was_asked_for_comes() {
        let plan = planned(&["--only", "transaction,kafka-corrupt"], 1);
        let expected = ["kafka-corrupt", "transaction-abort", "transaction-commit"];
        assert_eq!(names(&plan), BTreeSet::from(expected));
        assert!(planned(&["--only", "nothing-of-that-name"], 1).is_empty());
    }

    #[test]
    fn while_all_comets_are_away_nothing_else_befalls_one() {
        for seed in 0..20 {
            let plan = planned(&["--minutes", "10", "--only", "comet"], seed);
            let end = |p: &Planned| p.at + p.lasts;
            for away in plan
                .iter()
                .filter(|p| p.fault.target() == Target::AllComets)
            {
                let meanwhile = plan
                    .iter()
                    .filter(|p| *p != away && p.at <= end(away) && end(p) >= away.at);
                assert_eq!(meanwhile.count(), 0, "seed {seed}: {away:?}");
            }
        }
    }

    #[test]
    fn no_more_partitions_are_added_than_there_are_rooms_for() {
        let plan = planned(&["--minutes", "60", "--only", "partitions"], 1);
        let added: i32 = plan.iter().map(|planned| planned.fault.partitions()).sum();
        assert!((ADDED_AT_MOST - 1..=ADDED_AT_MOST).contains(&added));
    }
}
