//! Messages that an operator doesn't want sent.

use super::core::Core;
use super::effects::Effects;
use super::pending::Pending;
use super::scheduler::Id;
use crate::message::{Cause, CometId, RecordId};

impl Pending {
    /// Whether it isn't tried again at this Comet.
    pub(super) fn is_given_up(&self, comet: CometId) -> bool {
        self.forgotten || self.skipped_by.is_some() || self.late.contains(&comet)
    }

    /// Notes that this Comet doesn't get it, if an operator skipped it. A Comet that was detached misses it instead.
    pub(super) fn skip_at(&mut self, comet: CometId) {
        if let Some(uid) = self.skipped_by
            && !self.late.contains(&comet)
        {
            let why = format!("skipped by operator (job ctl skip, uid {uid})");
            self.cannot_go_to(comet, Cause::Skipped, why);
        }
    }
}

impl Core {
    /// Takes a record out of all queues, so that it becomes a dead letter for their Comets. A call in flight goes on: if the Comet
    /// takes the record it has it, and else it isn't tried again there.
    pub(super) fn skip(&mut self, record: RecordId, uid: u32, effects: &mut impl Effects) {
        // Beside the message for all there may be one for each Comet that missed the record.
        let held = self.messages.iter();
        let held: Vec<Id> = held
            .filter(|(_, pending)| pending.message.record == record)
            .map(|(id, _)| id)
            .collect();
        for &id in &held {
            self.messages[id].skipped_by = Some(uid);
        }
        let (mut queued, mut in_flight) = (Vec::new(), Vec::new());
        let comets: Vec<CometId> = self.endpoints.ids().collect();
        for comet in comets {
            let Some(endpoint) = self.endpoints.get_mut(comet) else {
                continue;
            };
            let is_awaited = |id| held.contains(&id) && !self.messages[id].late.contains(&comet);
            if endpoint.scheduler.called().any(is_awaited) {
                in_flight.push(comet);
            }
            let taken = endpoint.scheduler.take(|id| held.contains(&id));
            // Messages behind it may be sent now.
            endpoint.mark_ready(&mut self.ready);
            if !taken.is_empty() {
                queued.push(comet);
                self.suspects.answered(comet, record);
            }
            for id in taken {
                self.messages[id].skip_at(comet);
                self.done_with(id, effects);
            }
        }
        effects.skipped(record, queued, in_flight);
    }
}
