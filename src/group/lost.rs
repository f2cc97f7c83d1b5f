//! Suspect partitions, which may be another member's: neither read nor sent until that is clear.
//!
//! krafka takes its living member for lost when an answer of Kafka's comes out of order. It is back under the same name,
//! with the same partitions, a moment later. Dropping what is held of them would send it again to each Comet that has
//! it. Sending on would be wrong where another member has them. So they are suspect, and given up after the grace.
//!
//! Kafka says it before krafka does where it refuses a commit of this member, and nobody says it where this process did not run for
//! a while (see [`crate::base::lease`]). Then all partitions are suspect until Kafka takes a commit of the same member: it
//! gives a partition to another only after its member let it go or is no longer one.

use std::time::{Duration, Instant};

use super::Group;
use super::effect::{Effect, Order, RequestId};
use super::notice::Notice;
use super::partition::Phase;
use crate::base::lease::Lapse;
use crate::message::consumer::Control;
use crate::message::{Assignment, PartitionId};

/// The grace: how long a lost partition may take to come back. The member joins anew after its parting commit, in some
/// tenths of a second.
pub const GRACE: Duration = Duration::from_secs(2);

impl Group {
    /// krafka lost the partitions. Replies with what was finished of them, for the parting commit.
    pub(super) fn lose(&mut self, request: RequestId, partitions: Vec<PartitionId>, now: Instant) {
        let mut commits = Vec::new();
        self.effects.say(Notice::Lost {
            partitions: partitions.clone(),
        });
        for partition in partitions {
            commits.extend(self.commit_of(partition));
            self.suspect(partition, true, now);
        }
        self.grace_until = Some(now + GRACE);
        self.effects.push(Effect::Reply { request, commits });
    }

    /// Kafka doesn't know this member any longer. What it has now, krafka is about to say.
    pub(super) fn is_cut_off(&mut self, why: String, now: Instant) {
        let partitions = self.suspect_all(now);
        if partitions.is_empty() {
            self.commit_failed(why, now);
        } else {
            self.effects.say(Notice::CutOff { partitions, why });
        }
    }

    /// This process did not run for so long that its partitions may be another member's.
    pub(super) fn was_halted(&mut self, lapse: Lapse, now: Instant) {
        let partitions = self.suspect_all(now);
        // Its answer may have come before.
        self.commit_is_older = self.commit_in_flight;
        if !partitions.is_empty() {
            self.effects.say(Notice::Halted {
                partitions,
                lasted: lapse.lasted,
            });
        }
        // After what each worker is told of each partition.
        self.effects
            .push(Effect::Workers(Order::Lapsed(lapse.number)));
    }

    /// Kafka took a commit of this member: what krafka didn't lose is ours.
    pub(super) fn is_member(&mut self) {
        let mut sure = Vec::new();
        for (&partition, owned) in &mut self.partitions {
            if let Phase::Suspect {
                suspended,
                back,
                lost: false,
            } = &mut owned.phase
            {
                *back = true;
                if *suspended {
                    sure.push(partition);
                }
            }
        }
        for partition in sure {
            self.resume(partition);
        }
    }

    /// Makes all partitions suspect. Returns those that were not before.
    fn suspect_all(&mut self, now: Instant) -> Vec<PartitionId> {
        let all = self.partitions.iter();
        let sure = all.filter(|(_, owned)| !matches!(owned.phase, Phase::Suspect { .. }));
        let sure: Vec<PartitionId> = sure.map(|(partition, _)| *partition).collect();
        let all: Vec<PartitionId> = self.partitions.keys().copied().collect();
        for partition in all {
            self.suspect(partition, false, now);
        }
        sure
    }

    /// Begins the grace: consuming → suspect.
    fn suspect(&mut self, partition: PartitionId, now_lost: bool, now: Instant) {
        let Some(owned) = self.partitions.get_mut(&partition) else {
            return;
        };
        match owned.phase {
            Phase::Consuming => {
                owned.phase = Phase::Suspect {
                    suspended: false,
                    back: false,
                    lost: now_lost,
                };
                // Where it is read again, the consumer finds that out anew.
                owned.is_astray = false;
                self.effects.consumer(Control::Suspend(owned.assignment));
                self.effects.workers(owned, Order::Suspend);
            }
            Phase::Suspect {
                suspended,
                back,
                lost,
            } => {
                owned.phase = Phase::Suspect {
                    suspended,
                    back: false,
                    lost: now_lost || lost && !back,
                };
            }
            Phase::Draining { .. } => self.give_up(partition, now),
        }
    }

    /// Lets a suspect partition that is assigned again go on, if it had no other owner in between. Returns whether it does.
    pub(super) fn is_back(
        &mut self,
        partition: PartitionId,
        position: i64,
        metadata: &str,
        now: Instant,
    ) -> bool {
        let Some(owned) = self.partitions.get_mut(&partition) else {
            return false;
        };
        let untouched = owned.stands_at() == (position, metadata);
        match &mut owned.phase {
            Phase::Suspect {
                suspended, back, ..
            } if untouched => {
                *back = true;
                if *suspended {
                    self.resume(partition);
                }
                true
            }
            _ => {
                self.give_up(partition, now);
                false
            }
        }
    }

    /// The consumer reads it no longer, and what it read before is in the account.
    pub(super) fn is_suspended(&mut self, assignment: Assignment) {
        if let Some(owned) = self.owned(assignment)
            && let Phase::Suspect {
                suspended, back, ..
            } = &mut owned.phase
        {
            *suspended = true;
            if *back {
                self.resume(assignment.partition);
            }
        }
    }

    /// Ends the grace: suspect → consuming.
    fn resume(&mut self, partition: PartitionId) {
        let Some(owned) = self.partitions.get_mut(&partition) else {
            return;
        };
        owned.phase = Phase::Consuming;
        let position = owned.ledger.next();
        self.effects.say(Notice::StillOurs {
            partition,
            position,
        });
        self.effects.read(owned, self.comets.detached());
        self.effects.workers(owned, Order::Resume);
    }

    /// Gives up what is not back in time.
    pub(super) fn end_grace(&mut self, now: Instant) {
        if self.grace_until.is_none_or(|until| now < until) {
            return;
        }
        self.grace_until = None;
        let is_gone = |phase| {
            matches!(
                phase,
                Phase::Suspect {
                    back: false,
                    lost: true,
                    ..
                }
            )
        };
        let gone = self.partitions.iter();
        let gone = gone.filter(|(_, owned)| is_gone(owned.phase));
        let partitions: Vec<PartitionId> = gone.map(|(partition, _)| *partition).collect();
        if !partitions.is_empty() {
            self.effects.say(Notice::NotBack {
                partitions: partitions.clone(),
            });
        }
        for partition in partitions {
            self.give_up(partition, now);
        }
    }

    /// Drops a partition, but remembers what was finished of it.
    fn give_up(&mut self, partition: PartitionId, now: Instant) {
        if let Some(owned) = self.forget(partition) {
            self.lost.insert(partition, (now, owned));
        }
    }
}
