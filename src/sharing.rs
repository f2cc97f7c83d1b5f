//! Which worker does what: the ordering keys are shared among teams of workers, and the Comets among a team's members.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::message::How;
use crate::route::{Delivery, OrderingKey, Target};

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
        mut to: impl FnMut(usize, Delivery, Option<Arc<Together>>),
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
                let together = Arc::new(Together::new(self.members));
                for member in 0..self.members {
                    to(team + member, delivery.clone(), Some(together.clone()));
                }
            }
        }
    }

    /// The first worker of the team that has this key. The low half of the hash is left for the worker's own tables.
    fn team(self, key: OrderingKey) -> usize {
        (key.0 >> 32) as usize % self.workers_each() * self.members
    }
}

/// What the workers have to agree on that deliver one message together.
#[derive(Debug)]
pub struct Together(Mutex<Common>);

#[derive(Debug)]
struct Common {
    fate: Fate,
    /// Workers that aren't done with it.
    left: usize,
    /// What it came to at those that are.
    how: Option<How>,
    /// Its body, since it was copied.
    copy: Option<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    /// A Comet may have seen it: each worker finishes its part.
    Begun,
    /// No Comet has seen it, and none may.
    GivenBack,
}

impl Together {
    fn new(workers: usize) -> Self {
        Self(Mutex::new(Common {
            fate: Fate::Open,
            left: workers,
            how: None,
            copy: None,
        }))
    }

    /// Whether it may be sent. From then on it can't be given back.
    pub fn begin(&self) -> bool {
        self.decide(Fate::Begun)
    }

    /// Whether it is given back. From then on it can't be sent.
    pub fn give_back(&self) -> bool {
        self.decide(Fate::GivenBack)
    }

    /// The first decision holds.
    fn decide(&self, fate: Fate) -> bool {
        let mut common = self.common();
        if common.fate == Fate::Open {
            common.fate = fate;
        }
        common.fate == fate
    }

    /// One of the workers is done with it. The last one gets what it came to for all of them.
    pub fn done(&self, how: How) -> Option<How> {
        let mut common = self.common();
        common.left -= 1;
        common.how = match common.how.take() {
            Some(before) if weight(&before) >= weight(&how) => Some(before),
            _ => Some(how),
        };
        (common.left == 0).then(|| common.how.take()).flatten()
    }

    /// A copy of its body: the same one for all.
    pub fn copy_of(&self, body: &Bytes) -> Bytes {
        let mut common = self.common();
        let copy = common
            .copy
            .get_or_insert_with(|| Bytes::copy_from_slice(body));
        copy.clone()
    }

    fn common(&self) -> MutexGuard<'_, Common> {
        // A panic ends the process.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which part's outcome is the message's.
fn weight(how: &How) -> u8 {
    match how {
        How::PassedBy(_) => 0,
        How::Delivered => 1,
        How::Undeliverable(_) => 2,
        // What one gave back wasn't delivered everywhere; next to that it doesn't matter why not.
        How::Released => 3,
    }
}

#[cfg(test)]
mod tests;
