//! Which worker does what: the ordering keys are shared among teams of workers, and the Comets among a team's members.

use std::sync::Arc;

use crate::message::FanOut;
use crate::message::call::{Delivery, OrderingKey, Target};
use crate::settings::Config;

/// Connections to Comets at most, as far as that can be: with more of them each carries few calls at a time, and
/// what a call needs of its connection is no longer in the processor's caches (docs/PERFORMANCE.md).
const CONNECTIONS: usize = 64;

/// How the work is shared. With few Comets each worker is a team of its own: it has all Comets, and a part of the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sharing {
    workers: usize,
    comets: usize,
    /// Workers in each team.
    members: usize,
}

impl Sharing {
    /// As the settings want it.
    pub fn of(config: &Config) -> Self {
        Self::new(config.threads, config.comet.len())
    }

    /// Among `workers` that call `comets`, both at least one.
    pub fn new(workers: usize, comets: usize) -> Self {
        let sizes = (1..=workers.min(comets)).filter(|size| workers.is_multiple_of(*size));
        let few = |size: &usize| workers / size * comets <= CONNECTIONS;
        let members = sizes.clone().find(few).or(sizes.max()).unwrap_or(1);
        Self {
            workers,
            comets,
            members,
        }
    }

    /// The Comets that this worker calls, by their place in the configured list.
    pub fn comets_of(self, worker: usize) -> impl Iterator<Item = usize> {
        (worker % self.members..self.comets).step_by(self.members)
    }

    /// How many Comets a worker calls at most.
    pub fn comets_each(self) -> usize {
        self.comets.div_ceil(self.members)
    }

    /// How many workers call the same Comet.
    pub fn workers_each(self) -> usize {
        self.workers / self.members
    }

    /// Hands each worker that has a part in a delivery its own: the worker, and what it delivers to which of its Comets.
    pub fn hand_out(
        self,
        delivery: Delivery,
        mut to: impl FnMut(usize, Delivery, Option<Arc<FanOut>>),
    ) {
        let team = self.team(delivery.key);
        match delivery.target {
            // Named by its place in the list of the worker that has it.
            Target::One(comet) => to(
                team + comet % self.members,
                Delivery {
                    target: Target::One(comet / self.members),
                    ..delivery
                },
                None,
            ),
            Target::All if self.members == 1 => to(team, delivery, None),
            Target::All => {
                let fan_out = Arc::new(FanOut::new(self.members));
                for member in 0..self.members {
                    to(team + member, delivery.clone(), Some(fan_out.clone()));
                }
            }
        }
    }

    /// The first worker of the team that has this key. The low half of the hash is left for the worker's own tables.
    fn team(self, key: OrderingKey) -> usize {
        (key.0 >> 32) as usize % self.workers_each() * self.members
    }
}

#[cfg(test)]
mod tests;
