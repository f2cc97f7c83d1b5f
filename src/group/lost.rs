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
use super::partition::Phase;
use crate::base::lease::Moment;
use crate::message::consumer::Control;
use crate::message::{Assignment, Commit, worker};

/// The grace: how long a lost partition may take to come back. The member joins anew after its parting commit, in some
/// tenths of a second.
pub const GRACE: Duration = Duration::from_secs(2);

impl Group {
    /// krafka lost the partitions. Returns what was finished of them, to commit it if Kafka lets us.
    pub(super) fn lose(&mut self, partitions: Vec<i32>) -> Vec<Commit> {
        let mut commits = Vec::new();
        for partition in partitions {
            let Some(owned) = self.partitions.get(&partition) else {
                continue;
            };
            commits.push(owned.commit(partition, self.map_len));
            self.suspect(partition, true);
        }
        self.grace_until = Some(Instant::now() + GRACE);
        commits
    }

    /// Kafka doesn't know this member any longer. What it has now, krafka is about to say.
    pub(super) fn is_cut_off(&mut self, why: &str) {
        let suspects = self.suspect_all();
        if suspects.is_empty() {
            self.commit_failed(why);
        } else {
            log::warn!(
                "partitions {suspects:?} may be another member's by now ({why}): nothing of them is read or sent until \
                 Kafka says whose they are"
            );
        }
    }

    /// Renews the lease under which the workers send. Where it had run out, this process did not run for so long that its
    /// partitions may be another's.
    pub(super) fn renew_lease(&mut self) {
        let Some(lapse) = self.channels.lease.renew(Moment::now()) else {
            return;
        };
        let suspects = self.suspect_all();
        // Its answer may have come before.
        self.commit_is_older = self.commit_in_flight;
        if !suspects.is_empty() {
            log::warn!(
                "this process did not run for {:.1} s (was it halted, or the machine asleep?): partitions {suspects:?} may \
                 be another member's by now, and nothing of them is read or sent until Kafka says whose they are",
                lapse.lasted.as_secs_f64()
            );
        }
        // After the word on each partition.
        for worker in &self.channels.workers {
            let _ = worker.send(worker::Event::Lapsed(lapse.number));
        }
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
    fn suspect_all(&mut self) -> Vec<i32> {
        let all = self.partitions.iter();
        let sure = all.filter(|(_, owned)| !matches!(owned.phase, Phase::Suspect { .. }));
        let sure: Vec<i32> = sure.map(|(partition, _)| *partition).collect();
        let all: Vec<i32> = self.partitions.keys().copied().collect();
        for partition in all {
            self.suspect(partition, false);
        }
        sure
    }

    /// Begins the grace: consuming → suspect.
    fn suspect(&mut self, partition: i32, now_lost: bool) {
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
                let suspend = Control::Suspend(owned.assignment);
                let _ = self.channels.consumer.send(suspend);
                for (worker, assignment) in self.channels.workers_and(owned.assignments()) {
                    let _ = worker.send(worker::Event::Suspend(assignment));
                }
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
            Phase::Draining { .. } => self.give_up(partition),
        }
    }

    /// Lets a suspect partition that is assigned again go on, if it had no other owner in between. Returns whether it does.
    pub(super) fn is_back(&mut self, partition: i32, position: i64, metadata: &str) -> bool {
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
                self.give_up(partition);
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
    fn resume(&mut self, partition: i32) {
        let Some(owned) = self.partitions.get_mut(&partition) else {
            return;
        };
        owned.phase = Phase::Consuming;
        let position = owned.ledger.next();
        log::info!("partition {partition}: reading from offset {position}, still ours");
        self.channels.read(owned);
        for (worker, assignment) in self.channels.workers_and(owned.assignments()) {
            let _ = worker.send(worker::Event::Resume(assignment));
        }
    }

    /// Gives up what is not back in time.
    pub(super) fn end_grace(&mut self) {
        if self.grace_until.is_none_or(|until| Instant::now() < until) {
            return;
        }
        self.grace_until = None;
        let suspects: Vec<i32> = self
            .partitions
            .iter()
            .filter(|(_, owned)| {
                let gone = |phase| {
                    matches!(
                        phase,
                        Phase::Suspect {
                            back: false,
                            lost: true,
                            ..
                        }
                    )
                };
                gone(owned.phase)
            })
            .map(|(partition, _)| *partition)
            .collect();
        if !suspects.is_empty() {
            log::warn!("partitions {suspects:?} are not back: dropping what is held of them");
        }
        for partition in suspects {
            self.give_up(partition);
        }
    }

    /// Drops a partition, but remembers what was finished of it.
    fn give_up(&mut self, partition: i32) {
        if let Some(owned) = self.forget(partition) {
            self.lost.insert(partition, (Instant::now(), owned));
        }
    }
}
