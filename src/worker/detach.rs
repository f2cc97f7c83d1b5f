//! Comets that are detached: what a worker gives back, so that the group knows what they lack.

use std::collections::HashSet;
use std::time::Instant;

use super::core::{Core, settle};
use super::effects::Effects;
use super::pending::Pending;
use super::scheduler::Id;
use crate::message::call::OrderingKey;
use crate::message::{Assignment, CometId, Completion, RecordId};

impl Pending {
    /// Tells the group that this Comet doesn't get it from here.
    pub(super) fn lacks(&mut self, comet: CometId, in_flight: bool, effects: &mut impl Effects) {
        self.is_split = true;
        let completion = Completion::Lacks { comet, in_flight };
        settle(&self.message, completion, effects);
    }
}

impl Core {
    /// Gives back all that waits for a Comet that is behind from now on. What is in flight may still be taken.
    pub(super) fn detach(&mut self, comet: CometId, now: Instant, effects: &mut impl Effects) {
        let Some(endpoint) = self.endpoints.get_mut(comet) else {
            return;
        };
        let scheduler = &mut endpoint.scheduler;
        scheduler.breaker.detach(now);
        self.came_late.retain(|(late, _)| *late != comet);
        let queued = scheduler.take(|_| true);
        let in_flight: Vec<Id> = scheduler.called().collect();
        endpoint.mark_ready(&mut self.ready);
        for id in queued {
            if self.messages[id].message.again {
                self.messages[id].dropped = true;
            } else {
                self.messages[id].lacks(comet, false, effects);
            }
            self.done_with(id, effects);
        }
        for id in in_flight {
            let pending = &mut self.messages[id];
            if pending.message.again {
                // It is read again once more, unless it is taken now.
                pending.forgotten = true;
            } else if !pending.late.contains(&comet) {
                pending.late.push(comet);
                pending.lacks(comet, true, effects);
                self.done_with(id, effects);
            }
        }
        effects.detached(comet);
    }

    /// Ends a call that was in flight when its Comet was detached.
    pub(super) fn came_back(
        &mut self,
        id: Id,
        comet: CometId,
        took: bool,
        effects: &mut impl Effects,
    ) {
        let pending = &mut self.messages[id];
        pending.late.retain(|late| *late != comet);
        let completion = Completion::CameBack { comet, took };
        settle(&pending.message, completion, effects);
        let record = pending.message.record;
        if pending.is_done() {
            self.messages.remove(id);
        }
        if took {
            self.forget_again(record, comet, effects);
        }
    }

    /// The Comet has a record that may be read again all the same, or was already: its call began before the Comet was detached.
    pub(super) fn forget_again(
        &mut self,
        record: RecordId,
        comet: CometId,
        effects: &mut impl Effects,
    ) {
        let endpoint = self.endpoints.get_mut(comet);
        let Some(endpoint) = endpoint.filter(|endpoint| !endpoint.leaving) else {
            return;
        };
        self.came_late.push((comet, record));
        let messages = &self.messages;
        let is_same = |id: Id| messages[id].message.again && messages[id].message.record == record;
        for id in endpoint.scheduler.take(is_same) {
            self.done_with(id, effects);
        }
    }

    /// Ends an assignment: gives back what no Comet has seen, and what was read again.
    ///
    /// A message that some Comets have, or get from what they miss, is not given back as a whole: the next owner would send it to
    /// them again. The others lack it. Behind what a Comet doesn't get, it gets nothing more of the key, so it lacks that too.
    pub(super) fn give_back(&mut self, assignment: Assignment, effects: &mut impl Effects) {
        let comets: Vec<CometId> = self.endpoints.ids().collect();
        for comet in comets {
            let Some(endpoint) = self.endpoints.get_mut(comet) else {
                continue;
            };
            let messages = &self.messages;
            let mut behind: HashSet<OrderingKey> = HashSet::new();
            let is_given_back = |id: Id| {
                let Pending {
                    message, started, ..
                } = &messages[id];
                if message.record.assignment != assignment {
                    return false;
                }
                let key = message.delivery.key;
                let is_kept = *started && !message.again && !behind.contains(&key);
                if !is_kept {
                    behind.insert(key);
                }
                !is_kept
            };
            let given_back = endpoint.scheduler.take(is_given_back);
            // Messages behind them may be sent now.
            endpoint.mark_ready(&mut self.ready);
            for id in given_back {
                let pending = &mut self.messages[id];
                let is_whole = !pending.started && !pending.is_split;
                if is_whole || pending.message.again {
                    pending.dropped = true;
                } else {
                    pending.lacks(comet, false, effects);
                }
                self.done_with(id, effects);
            }
        }
    }
}
