//! Records that an operator doesn't want sent: which may be skipped, and what the workers say of it.

use super::Group;
use super::effect::{Effect, Order, RequestId};
use super::ledger::Stands;
use super::partition::Phase;
use crate::message::group::Skipped;
use crate::message::{CometId, PartitionId, RecordId};

/// A record that the workers were told to skip.
pub(super) struct Asked {
    request: RequestId,
    record: RecordId,
    /// So many answers are missing.
    workers: usize,
    queued: Vec<CometId>,
    in_flight: Vec<CometId>,
}

impl Group {
    /// Has the worker that holds the record skip it. The others answer, too, that they don't have it.
    pub(super) fn skip(
        &mut self,
        request: RequestId,
        (partition, offset): (PartitionId, i64),
        uid: u32,
    ) {
        let skipped = match self.partitions.get(&partition) {
            None => Skipped::NotOurs,
            Some(owned) if matches!(owned.phase, Phase::Suspect { .. }) => Skipped::Suspect,
            Some(owned) => match owned.ledger.stands(offset) {
                Stands::Unread => Skipped::Unread {
                    next: owned.ledger.next(),
                },
                Stands::Finished => Skipped::Finished {
                    missed: owned.ledger.missed_by(offset),
                },
                Stands::InHand => {
                    let record = RecordId {
                        assignment: owned.assignment,
                        offset,
                    };
                    self.skips.push(Asked {
                        request,
                        record,
                        workers: self.workers,
                        queued: Vec::new(),
                        in_flight: Vec::new(),
                    });
                    let order = Order::Skip { record, uid };
                    self.effects.push(Effect::Workers(order));
                    return;
                }
            },
        };
        self.effects.push(Effect::Skipped { request, skipped });
    }

    /// Takes in a worker's answer.
    pub(super) fn skipped(
        &mut self,
        record: RecordId,
        queued: Vec<CometId>,
        in_flight: Vec<CometId>,
    ) {
        let Some(place) = self.skips.iter().position(|asked| asked.record == record) else {
            return;
        };
        let asked = &mut self.skips[place];
        asked.workers -= 1;
        asked.queued.extend(queued);
        asked.in_flight.extend(in_flight);
        if asked.workers > 0 {
            return;
        }
        let Asked {
            request,
            queued,
            in_flight,
            ..
        } = self.skips.remove(place);
        let skipped = if queued.is_empty() && in_flight.is_empty() {
            Skipped::NotHeld
        } else {
            let owned = self.partitions.get(&record.assignment.partition);
            let mut missed =
                owned.map_or_else(Vec::new, |owned| owned.ledger.missed_by(record.offset));
            missed.retain(|comet| !queued.contains(comet) && !in_flight.contains(comet));
            Skipped::Taken {
                queued,
                in_flight,
                missed,
            }
        };
        self.effects.push(Effect::Skipped { request, skipped });
    }
}
