//! What travels between the threads: the words that they share. Each thread has a file for what it is told.
//!
//! Nothing here knows a clock, a thread, Kafka or gRPC, nor the rooms that send and take these.

mod answer;
mod by_comet;
pub mod call;
mod commit;
mod completion;
pub mod consumer;
pub mod coordinates;
pub mod dead_letter;
mod dialect;
pub mod fleet;
pub mod goim;
pub mod group;
mod held;
mod ids;
pub mod membership;
pub mod memory;
pub mod offset_map;
mod offsets;
pub mod proto;
pub mod rooms;
pub mod standing;
pub mod topic_tag;
mod topics;
pub mod trace;
pub mod worker;

use std::sync::Arc;

use bytes::Bytes;

pub use answer::{Answer, Sense, Status};
pub use by_comet::ByComet;
pub use commit::{Commit, CommitOutcome, Failure};
pub use completion::{Cause, Completion, Reason, Settled};
pub use dialect::Dialect;
pub use held::Held;
pub use ids::{Assignment, CometId, PartitionId, RecordId, TopicId, WorkerId};
pub use offsets::Offsets;
pub use topics::{Topics, by_topic};

use call::{Delivery, Target};
use trace::Trace;

/// A message on its way to the Comets.
#[derive(Debug)]
pub struct Message {
    pub record: RecordId,
    /// What it counts against the cap on bytes held.
    pub bytes: usize,
    /// When its record was written, in milliseconds since 1970. Negative if that isn't known: then perhaps when it was read.
    pub timestamp: i64,
    pub delivery: Delivery,
    /// What its producer wrote of its trace, where calls pass that on.
    pub trace: Option<Arc<Trace>>,
    /// The Comets that are behind in its partition: it doesn't go there now. They read it again when they catch up.
    pub without: Option<Arc<Vec<CometId>>>,
    /// Whether it was read again, for the one Comet of its target, which misses it.
    pub again: bool,
}

impl Message {
    /// The Comet that it was read again for.
    pub fn again_for(&self) -> Option<CometId> {
        match self.delivery.target {
            Target::One(comet) if self.again => Some(comet),
            _ => None,
        }
    }

    /// What becomes of it where it isn't sent.
    pub fn given_back(&self) -> Completion {
        match self.again_for() {
            Some(comet) => Completion::Again { comet, took: false },
            None => Completion::Released,
        }
    }

    /// Puts the body into memory of its own.
    pub fn copy_body(&mut self) {
        let body = self.delivery.call.body_mut();
        *body = Bytes::copy_from_slice(body);
    }
}
