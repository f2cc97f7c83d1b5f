//! The fleet as the group has it: who joins, and what becomes of what a Comet that left missed or waited for.
//!
//! The group hears of a change first. It tells the consumer, and the consumer tells the workers behind the last message that was
//! routed before. A Comet that left takes along what it missed: nobody reads it again. When each worker has said that nothing of
//! it is in flight any more, it is gone.

use super::Group;
use super::effect::Effect;
use super::notice::Notice;
use crate::message::CometId;
use crate::message::consumer::Control;
use crate::message::fleet::Change;

/// A Comet that left.
pub(super) struct Leaving {
    /// Workers that have not confirmed.
    workers: usize,
    /// What waited for it.
    unsent: u64,
    /// What it missed.
    missed: u64,
}

impl Group {
    pub(super) fn change(&mut self, change: Change) {
        match &change {
            Change::Join(comet, node) => self.comets.join(*comet, node.clone()),
            Change::Become(comet, node) => {
                if let Some(of) = self.comets.any(*comet) {
                    of.node = node.clone();
                }
            }
            Change::Leave(comet) => {
                let missed = self.forget_missed(*comet);
                if let Some(of) = self.comets.any(*comet) {
                    of.leaving = Some(Leaving {
                        workers: self.workers,
                        unsent: 0,
                        missed,
                    });
                }
            }
        }
        self.effects.consumer(Control::Fleet(change));
    }

    /// Nobody reads again what a Comet missed. Returns how many records that is.
    fn forget_missed(&mut self, comet: CometId) -> u64 {
        let owned = self.partitions.values_mut();
        let missed = owned.map(|owned| owned.ledger.forget_comet(comet)).sum();
        for (_, lost) in self.lost.values_mut() {
            lost.ledger.forget_comet(comet);
        }
        missed
    }

    /// A worker has nothing more to do with a Comet that left.
    pub(super) fn is_left(&mut self, comet: CometId, unsent: usize) {
        let Some(of) = self.comets.any(comet) else {
            return;
        };
        let Some(leaving) = &mut of.leaving else {
            return;
        };
        leaving.workers -= 1;
        leaving.unsent += unsent as u64;
        if leaving.workers > 0 {
            return;
        }
        let (unsent, missed) = (leaving.unsent, leaving.missed);
        let name = of.node.name.clone();
        self.comet_left += unsent + missed;
        if unsent + missed > 0 {
            self.effects.say(Notice::CometLeft {
                comet: name,
                unsent,
                missed,
            });
        }
        self.comets.forget(comet);
        self.effects.push(Effect::Gone(comet));
    }
}
