//! Where each message goes, at TRACE.

use crate::figures::Roster;
use crate::message::call::Target;
use crate::message::{Message, PartitionId, Topics, WorkerId};

/// Says which worker gets each message, and for which Comets.
pub fn routed(topics: &Topics, worker: WorkerId, messages: &[Message], comets: &Roster) {
    if !log::log_enabled!(log::Level::Trace) {
        return;
    }
    for message in messages {
        let (PartitionId { topic, index }, offset) =
            (message.record.assignment.partition, message.record.offset);
        let topic = topics.name(topic);
        let delivery = &message.delivery;
        let key = format!("{:016x}", delivery.key.0);
        let method = delivery.call.method().name();
        let comet = match delivery.target {
            Target::All | Target::Some(_) => None,
            Target::One(comet) => Some(comets.name(comet)),
        };
        let comet = comet.as_deref();
        let with_room = matches!(delivery.target, Target::Some(_));
        let all = if with_room {
            "those with its room"
        } else {
            "every Comet"
        };
        let whom = comet.unwrap_or(all);
        let without = message.without.as_ref().map_or(0, |comets| comets.len());
        let again = if message.again { ", read again" } else { "" };
        log::trace!(
            topic, partition = index, offset, key, method, comet;
            "{topic}[{index}]@{offset}: {method} at {whom} without {without} that are behind{again}: key {key}, worker-{}",
            worker.0
        );
    }
}
