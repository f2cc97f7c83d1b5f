//! Partitions that krafka lost: given up if they don't come back at once.
//!
//! krafka takes its living member for lost where an answer of Kafka's comes out of turn, and is back under the same name,
//! with the same partitions, a moment later. Dropping what is held of them would send it again to each Comet that has
//! it. Sending on would be wrong where another member has them. So they are neither read nor sent meanwhile.

use std::time::{Duration, Instant};

use super::Group;
use super::membership::Commit;
use super::partition::Phase;
use crate::consumer::Control;
use crate::worker;

/// How long a lost partition may take to come back. Joining anew takes some tenths of a second.
const DOUBT: Duration = Duration::from_secs(1);

impl Group {
    /// Begins to doubt: consuming → doubtful. Returns what was finished of the partitions, to commit it if Kafka lets us.
    pub(super) fn doubt(&mut self, partitions: Vec<i32>) -> Vec<Commit> {
        let mut commits = Vec::new();
        for partition in partitions {
            let Some(owned) = self.partitions.get_mut(&partition) else {
                continue;
            };
            commits.push(owned.commit(partition));
            match owned.phase {
                Phase::Consuming => {
                    owned.phase = Phase::Doubtful {
                        suspended: false,
                        back: false,
                    };
                    let epoch = owned.epoch;
                    let suspend = Control::Suspend { partition, epoch };
                    let _ = self.links.consumer.send(suspend);
                    for worker in &self.links.workers {
                        let _ = worker.send(worker::Event::Suspend { partition, epoch });
                    }
                }
                Phase::Doubtful { suspended, .. } => {
                    owned.phase = Phase::Doubtful {
                        suspended,
                        back: false,
                    };
                }
                Phase::Draining { .. } => self.give_up(partition),
            }
        }
        self.in_doubt_until = Some(Instant::now() + DOUBT);
        commits
    }

    /// Whether a partition that comes now is a doubtful one, and no other owner came in between: then it goes on.
    pub(super) fn is_back(&mut self, partition: i32, position: i64, metadata: &str) -> bool {
        let Some(owned) = self.partitions.get_mut(&partition) else {
            return false;
        };
        let untouched = owned.stands_at() == (position, metadata);
        match &mut owned.phase {
            Phase::Doubtful { suspended, back } if untouched => {
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
    pub(super) fn is_suspended(&mut self, partition: i32, epoch: u64) {
        if let Some(owned) = self.owned(partition, epoch)
            && let Phase::Doubtful { suspended, back } = &mut owned.phase
        {
            *suspended = true;
            if *back {
                self.resume(partition);
            }
        }
    }

    /// Ends the doubt: doubtful → consuming.
    fn resume(&mut self, partition: i32) {
        let Some(owned) = self.partitions.get_mut(&partition) else {
            return;
        };
        owned.phase = Phase::Consuming;
        let (epoch, position) = (owned.epoch, owned.ledger.next());
        log::info!("partition {partition}: reading from offset {position}, still ours");
        let finished = owned.ledger.finished_from(position);
        let _ = self.links.consumer.send(Control::Assign {
            partition,
            epoch,
            position,
            finished,
        });
        for worker in &self.links.workers {
            let _ = worker.send(worker::Event::Resume { partition, epoch });
        }
    }

    /// Gives up what is not back in time.
    pub(super) fn settle_doubts(&mut self) {
        if self
            .in_doubt_until
            .is_none_or(|until| Instant::now() < until)
        {
            return;
        }
        self.in_doubt_until = None;
        let doubtful: Vec<i32> = self
            .partitions
            .iter()
            .filter(|(_, owned)| matches!(owned.phase, Phase::Doubtful { back: false, .. }))
            .map(|(partition, _)| *partition)
            .collect();
        if !doubtful.is_empty() {
            log::warn!("partitions {doubtful:?} are not back: dropping what is held of them");
        }
        for partition in doubtful {
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
