//! What the core asks of the other threads. The shell does it, in this order.

use std::vec::Drain;

use super::notice::Notice;
use super::partition::Partition;
use crate::message::consumer::Control;
use crate::message::dead_letter::Letter;
use crate::message::group::Skipped;
use crate::message::membership::Command;
use crate::message::{Assignment, CometId, Commit, RecordId};

/// One thing to do.
pub enum Effect {
    Consumer(Control),
    /// For each worker; and for the DeadLetterWriter, as far as it is about letters.
    Workers(Order),
    Letter(Letter),
    Membership(Command),
    /// The answer to a request of the membership: what to commit of the partitions.
    Reply {
        request: RequestId,
        commits: Vec<Commit>,
    },
    /// The answer to an operator's request.
    Skipped {
        request: RequestId,
        skipped: Skipped,
    },
    /// Nothing of a Comet that left is in flight any more.
    Gone(CometId),
    /// A line for the log.
    Say(Notice),
}

/// Names a request of the membership or of an operator, who wait for the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What each worker is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Revoke(Assignment),
    Suspend(Assignment),
    Resume(Assignment),
    Forget(Assignment),
    /// The user of this number doesn't want it sent.
    Skip {
        record: RecordId,
        uid: u32,
    },
    /// The lease ran out for the nth time, and is renewed.
    Lapsed(u64),
}

/// Collects the effects of a step. The buffer is kept from step to step.
#[derive(Default)]
pub struct Effects(Vec<Effect>);

impl Effects {
    pub fn push(&mut self, effect: Effect) {
        self.0.push(effect);
    }

    pub fn say(&mut self, notice: impl Into<Option<Notice>>) {
        self.0.extend(notice.into().map(Effect::Say));
    }

    pub fn consumer(&mut self, control: Control) {
        self.push(Effect::Consumer(control));
    }

    /// Tells the workers, for each assignment of the partition.
    pub fn workers(&mut self, owned: &Partition, order: fn(Assignment) -> Order) {
        let orders = owned.assignments().map(order);
        self.0.extend(orders.map(Effect::Workers));
    }

    /// Has the consumer read a partition from where its ledger stands. `detached` are Comets that get nothing of it now.
    pub fn read(&mut self, owned: &Partition, detached: impl Iterator<Item = CometId>) {
        let position = owned.ledger.next();
        self.consumer(Control::Assign {
            assignment: owned.assignment,
            position,
            finished: owned.ledger.finished_from(position),
            behind: owned.behind(detached),
        });
    }

    pub fn drain(&mut self) -> Drain<'_, Effect> {
        self.0.drain(..)
    }
}
