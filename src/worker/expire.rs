//! Messages that wait for so long that they aren't worth sending any more.

use super::core::Core;
use super::effects::Effects;
use super::pending::Pending;
use crate::message::{Cause, CometId};

impl Core {
    /// Takes what was written before this time (milliseconds since 1970) out of the queues, except what is in flight. It becomes a
    /// dead letter for the reason `letter`, or is skipped if there is none.
    pub(super) fn expire(&mut self, before: i64, letter: Option<&str>, effects: &mut impl Effects) {
        let is_old = |pending: &Pending| (0..before).contains(&pending.message.timestamp);
        if !self.messages.iter().any(|(_, pending)| is_old(pending)) {
            return;
        }
        let comets: Vec<CometId> = self.endpoints.ids().collect();
        for comet in comets {
            let Some(endpoint) = self.endpoints.get_mut(comet) else {
                continue;
            };
            let messages = &self.messages;
            let expired = endpoint.scheduler.take(|id| is_old(&messages[id]));
            // Messages behind them may be sent now.
            endpoint.mark_ready(&mut self.ready);
            for id in expired {
                let pending = &mut self.messages[id];
                match letter {
                    Some(why) => pending.cannot_go_to(comet, Cause::TooOld, why.into()),
                    None => pending.too_old = true,
                }
                self.done_with(id, effects);
            }
        }
    }
}
