//! How a single record stands, for who asks about one.

use super::{Ledger, State};
use crate::message::CometId;

/// How a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    Unread,
    /// It isn't finished: with a worker, for all or again for a Comet, or on its way to the dead-letter topic.
    InHand,
    /// It is finished, given back, or no record.
    Finished,
}

impl Ledger {
    /// How a record stands.
    pub fn stands(&self, offset: i64) -> Stands {
        let late = self.late.iter().map(|late| &late.record);
        let mut pending = late
            .chain(&self.open)
            .filter(|entry| entry.state == State::Pending);
        let is_again = || {
            let comets = self.missing().keys();
            let mut again = comets.flat_map(|comet| self.missing.pending_of(*comet));
            again.any(|pending| pending == offset)
        };
        if pending.any(|entry| entry.offset == offset) || is_again() {
            Stands::InHand
        } else if offset < self.next || self.finished_before.iter().any(|run| run.contains(&offset))
        {
            Stands::Finished
        } else {
            Stands::Unread
        }
    }

    /// The Comets that miss a record.
    pub fn missed_by(&self, offset: i64) -> Vec<CometId> {
        let missing = self.missing().iter();
        let those = missing.filter(|(_, missed)| missed.ranges().any(|run| run.contains(&offset)));
        those.map(|(comet, _)| *comet).collect()
    }
}
