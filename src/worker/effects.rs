//! What the core wants done. The core decides and does nothing itself; who drives it implements [`Effects`].

use std::time::{Duration, Instant};

use super::scheduler::Id;
use crate::message::call::Call;
use crate::message::coordinates::Coordinates;
use crate::message::fleet::Node;
use crate::message::{Assignment, CometId, Message, RecordId, Settled, Status};

/// Carries out what the core decides, at once and in this order.
///
/// A trait rather than a list: nothing is allocated for an effect, and a call's body is lent, not copied.
pub trait Effects {
    /// Make this call, its deadline doubled `doublings` times. The answer comes back as `Event::Answered` with `id`.
    fn call(&mut self, comet: CometId, id: Id, call: &Call, doublings: u32, now: Instant);

    /// The next call tells this of the records that it carries. Not called unless that is wanted.
    fn tells(&mut self, _coordinates: &Coordinates<'_>) {}

    /// Ask the Comet whether it is there. The answer comes back as `Event::Probed`.
    fn probe(&mut self, comet: CometId);

    /// Report what became of a message. Reports may wait for each other.
    fn settled(&mut self, settled: Settled);

    /// Confirm a revoke, after all that was settled before.
    fn revoke_ack(&mut self, assignment: Assignment);

    /// A Comet joins the fleet, or has another name or address from now on.
    fn joined(&mut self, comet: CometId, node: &Node);

    /// Confirm that nothing more is done with a Comet that left, after all that was settled before. So many messages waited for it.
    fn left(&mut self, comet: CometId, unsent: usize);

    /// Tell the group that the Comet took nothing for long while another one delivers.
    fn away(&mut self, comet: CometId);

    /// Confirm that a Comet is detached, after all that was settled before.
    fn detached(&mut self, comet: CometId);

    /// Tell the group that a Comet which is detached answers.
    fn answers(&mut self, comet: CometId);

    /// Answer what an operator wants skipped: the Comets that it was queued for, and those that a call is under way to.
    fn skipped(&mut self, record: RecordId, queued: Vec<CometId>, in_flight: Vec<CometId>);

    /// Tell the log.
    fn say(&mut self, comet: CometId, said: Said<'_>);

    /// A call with this message first failed so, and is tried again. `tries` of the message itself counted so far. Nothing depends on
    /// it.
    fn again(&mut self, _comet: CometId, _status: &Status, _message: &Message, _tries: u32) {}

    /// Count this. Nothing depends on it.
    fn count(&mut self, _figure: Figure) {}
}

/// What is counted for those who watch job.
#[derive(Debug)]
pub enum Figure {
    /// The next call carries so many messages.
    Carries(usize),
    /// The Comet dropped a message for one user.
    Dropped { comet: CometId },
    /// All Comets are done with a message, whose record was written then (milliseconds since 1970; negative: read then).
    Delivered { timestamp: i64 },
}

/// What the log is to say of a Comet.
#[derive(Debug)]
pub enum Said<'a> {
    /// A call failed, or a probe of a Comet that is detached.
    Failed { status: &'a Status, detached: bool },
    /// It refused so many in a row that it gets one message a second until it takes one.
    RefusesAll(&'a Status),
    /// It dropped a message for the user with this key.
    Dropped { status: &'a Status, key: &'a str },
    /// Its connection broke each time that it got this message, which becomes a dead letter.
    Crashes(RecordId),
    /// It answers again, after this long.
    Returned(Duration),
}
