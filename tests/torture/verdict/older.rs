//! Who waits behind older messages. While these flow, nothing stands still: there is a backlog, and it gets shorter.

use super::facts::{Facts, Message};
use crate::timeline::{Micros, SECOND};

/// For so long after an older message came, the next one is on its way.
const FLOWS: Micros = SECOND;

/// A message that a Comet took for the first time.
struct Taken {
    at: Micros,
    acknowledged: Micros,
    partition: i32,
    life: usize,
}

/// What a Comet took, in the order of time.
pub struct Older(Vec<Taken>);

impl Older {
    pub fn at(facts: &Facts, comet: usize) -> Self {
        let taken = facts.messages.iter().filter_map(|message| {
            let delivery = &message.at[comet];
            (delivery.first < Micros::MAX).then_some(Taken {
                at: delivery.first,
                acknowledged: message.acknowledged?,
                partition: message.partition,
                life: delivery.life,
            })
        });
        let mut taken: Vec<_> = taken.collect();
        taken.sort_by_key(|taken| taken.at);
        Self(taken)
    }

    /// The times within which older messages came: of the same partition, or from the same process.
    pub fn before(
        &self,
        message: &Message,
        life: usize,
        (from, to): (Micros, Micros),
    ) -> impl Iterator<Item = (Micros, Micros)> {
        let since = from.saturating_sub(FLOWS);
        let begin = self.0.partition_point(|taken| taken.at < since);
        let within = self.0[begin..].iter().take_while(move |t| t.at < to);
        let (partition, acknowledged) = (message.partition, message.acknowledged);
        let older = within.filter(move |taken| {
            let is_beside = taken.partition == partition || taken.life == life;
            is_beside && Some(taken.acknowledged) < acknowledged
        });
        older.map(|taken| (taken.at, taken.at + FLOWS))
    }
}
