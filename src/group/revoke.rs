//! Revocations: stop reading, let what is in flight finish, say what to commit, let go.

use std::time::Instant;

use tokio::sync::oneshot;

use super::Group;
use super::partition::Phase;
use crate::base::text::counted;
use crate::message::consumer::Control;
use crate::message::{Commit, worker};

/// Partitions that Kafka wants back, and the reply that it waits for.
pub struct Revocation {
    partitions: Vec<i32>,
    /// What isn't settled by then stays uncommitted: its next owner sends it again.
    pub deadline: Instant,
    reply: oneshot::Sender<Vec<Commit>>,
}

impl Group {
    /// Begins a revocation: consuming → draining.
    pub(super) fn revoke(&mut self, partitions: Vec<i32>, reply: oneshot::Sender<Vec<Commit>>) {
        for &partition in &partitions {
            let Some(owned) = self.partitions.get_mut(&partition) else {
                continue;
            };
            let _ = self.channels.consumer.send(Control::Revoke { partition });
            if self.stopping && matches!(owned.phase, Phase::Suspect { .. }) {
                // Another may have it, and this stop is no sign that it doesn't: what is queued is dropped, not finished.
                owned.phase = Phase::Draining { workers: 0 };
                for (worker, assignment) in self.channels.workers_and(owned.assignments()) {
                    let _ = worker.send(worker::Event::Forget(assignment));
                }
                continue;
            }
            owned.phase = Phase::Draining {
                workers: self.channels.workers.len() * owned.assignments().count(),
            };
            // A worker answers after all that the consumer sent it before; what comes later it gives back.
            for (worker, assignment) in self.channels.workers_and(owned.assignments()) {
                let _ = worker.send(worker::Event::Revoke(assignment));
            }
        }
        self.revocations.push(Revocation {
            partitions,
            deadline: Instant::now() + self.timeout,
            reply,
        });
    }

    /// Ends the revocations that may end: draining → released.
    pub(super) fn settle_revocations(&mut self) {
        let now = Instant::now();
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
                log::warn!(
                    "partition {partition}: {} not finished in time, left to its next owner",
                    counted(owned.ledger.in_hand() as u64, "message")
                );
            }
            commits.push(owned.commit(partition, self.map_len));
            self.forget(partition);
        }
        if !revocation.partitions.is_empty() {
            log::info!("partitions {:?} are released", revocation.partitions);
        }
        // Of what stays too: in the round that follows, a member may be taken for gone.
        commits.extend(self.to_commit());
        let _ = revocation.reply.send(commits);
    }
}
