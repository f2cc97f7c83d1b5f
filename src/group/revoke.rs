//! Revocations: stop reading, let what is in flight finish, say what to commit, let go.

use std::time::Instant;

use super::Group;
use super::effect::{Effect, Order, RequestId};
use super::notice::Notice;
use super::partition::Phase;
use crate::message::PartitionId;
use crate::message::consumer::Control;

/// Partitions that Kafka wants back, and the request that waits for a reply.
pub struct Revocation {
    partitions: Vec<PartitionId>,
    /// What isn't settled by then stays uncommitted: its next owner sends it again.
    pub deadline: Instant,
    request: RequestId,
}

impl Group {
    /// Begins a revocation: consuming → draining.
    pub(super) fn revoke(
        &mut self,
        request: RequestId,
        partitions: Vec<PartitionId>,
        now: Instant,
    ) {
        for &partition in &partitions {
            let Some(owned) = self.partitions.get_mut(&partition) else {
                continue;
            };
            if matches!(owned.phase, Phase::Draining { .. }) {
                // By an earlier revocation: a stop came in the middle of a rebalance. Each worker answers once.
                continue;
            }
            self.effects.consumer(Control::Revoke { partition });
            if self.stopping && matches!(owned.phase, Phase::Suspect { .. }) {
                // Another may have it, and this stop is no sign that it doesn't: what is queued is dropped, not finished.
                owned.phase = Phase::Draining { workers: 0 };
                self.effects.workers(owned, Order::Forget);
                continue;
            }
            owned.phase = Phase::Draining {
                workers: self.workers * owned.assignments().count(),
            };
            // A worker answers after all that the consumer sent it before. What comes later it gives back.
            self.effects.workers(owned, Order::Revoke);
        }
        self.revocations.push(Revocation {
            partitions,
            deadline: now + self.timeout,
            request,
        });
    }

    /// Ends the revocations that may end: draining → released.
    pub(super) fn settle_revocations(&mut self, now: Instant) {
        for revocation in std::mem::take(&mut self.revocations) {
            let drained = revocation.partitions.iter().all(|partition| {
                self.partitions
                    .get(partition)
                    .is_none_or(|owned| owned.is_drained())
            });
            // An older commit must not land after the last one of these partitions.
            if now >= revocation.deadline || (drained && !self.commit_in_flight) {
                self.release(revocation);
            } else {
                self.revocations.push(revocation);
            }
        }
    }

    fn release(&mut self, revocation: Revocation) {
        let mut commits = Vec::new();
        for &partition in &revocation.partitions {
            let Some(owned) = self.partitions.get(&partition) else {
                continue;
            };
            if !owned.is_drained() {
                self.effects.say(Notice::LeftToNextOwner {
                    partition,
                    messages: owned.ledger.pending() as u64,
                });
            }
            commits.extend(self.commit_of(partition));
            self.forget(partition);
        }
        // Of what stays too: in the rebalance that follows, this member may be taken for gone.
        commits.extend(self.what_to_commit());
        let Revocation {
            partitions,
            request,
            ..
        } = revocation;
        if !partitions.is_empty() {
            self.effects.say(Notice::Released { partitions });
        }
        self.effects.push(Effect::Reply { request, commits });
    }
}
