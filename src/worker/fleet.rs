//! The fleet as a worker has it: Comets that join, and those that leave.
//!
//! One that joins gets the messages that come behind that. One that leaves gets nothing more: what is in flight may still be
//! taken, and isn't tried again. It is gone for this worker when all of that is back.

use std::time::Instant;

use super::core::Core;
use super::effects::Effects;
use super::endpoint::Endpoint;
use super::pending::Pending;
use crate::message::call::Target;
use crate::message::fleet::{Change, Node};
use crate::message::{Cause, CometId, Reason};

impl Core {
    pub(super) fn change(&mut self, change: Change, now: Instant, effects: &mut impl Effects) {
        match change {
            Change::Join(comet, node) => self.join(comet, node, now, effects),
            Change::Become(comet, node) => {
                if let Some(endpoint) = self.endpoints.get_mut(comet) {
                    effects.joined(comet, &node);
                    endpoint.node = node;
                    endpoint.mark_ready(&mut self.ready);
                }
            }
            Change::Leave(comet) => self.leave(comet, effects),
        }
    }

    /// Takes messages for one more Comet from now on.
    pub fn join(&mut self, comet: CometId, node: Node, now: Instant, effects: &mut impl Effects) {
        effects.joined(comet, &node);
        let stats = (self.fleet.join(comet), self.fleet.clone());
        let limits = (0, self.coalescer.is_some());
        let endpoint = Endpoint::new((comet, node), stats, limits, now, self.rng.fork());
        self.endpoints.insert(comet, endpoint);
        self.share_window();
    }

    fn leave(&mut self, comet: CometId, effects: &mut impl Effects) {
        let Some(endpoint) = self.endpoints.get_mut(comet) else {
            return;
        };
        self.fleet.leave(comet);
        endpoint.leaving = true;
        self.came_late.retain(|(late, _)| *late != comet);
        let queued = endpoint.scheduler.take(|_| true);
        for &id in &queued {
            endpoint.unsent += usize::from(self.messages[id].is_left_by(comet, &endpoint.node));
        }
        for id in queued {
            self.done_with(id, effects);
        }
        self.share_window();
        self.end_if_left(comet, effects);
    }

    /// Ends what there is with a Comet that left, if nothing of it is in flight.
    pub(super) fn end_if_left(&mut self, comet: CometId, effects: &mut impl Effects) {
        let endpoint = self.endpoints.get(comet);
        let is_over = |of: &Endpoint| of.leaving && of.scheduler.is_empty();
        let Some(unsent) = endpoint.filter(|of| is_over(of)).map(|of| of.unsent) else {
            return;
        };
        self.endpoints.remove(comet);
        self.ready.retain(|ready| *ready != comet);
        self.suspects.forget_comet(comet);
        effects.left(comet, unsent);
    }

    /// The window may depend on how many Comets there are.
    fn share_window(&mut self) {
        let all = self.endpoints.values();
        let window = self.window.calls(all.filter(|one| !one.leaving).count());
        for endpoint in self.endpoints.values_mut() {
            endpoint.scheduler.set_window(window);
        }
    }
}

impl Pending {
    /// Notes that this Comet left without having it. The others have it or get it, unless it was for this one alone. Returns false
    /// where it counts as missed there already.
    pub(super) fn is_left_by(&mut self, comet: CometId, node: &Node) -> bool {
        if self.message.again {
            // Nobody misses it any more.
            self.dropped = true;
        }
        if self.message.again || self.forgotten || self.late.contains(&comet) {
            return false;
        }
        if self.message.delivery.target == Target::One(comet) {
            let why = format!("it was for Comet {} alone, which left the fleet", node.name);
            // It names no Comet: sent again, it goes where it would go then.
            self.undeliverable = Some(Reason::new(Cause::CometLeft, why));
        }
        true
    }
}
