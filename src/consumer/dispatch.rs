//! Where a record goes: which worker gets which keys, and what goes to none.

use super::core::{Core, Effect, Notice};
use super::decode::decode;
use super::route::Router;
use crate::kafka::fetch::Record;
use crate::message::call::{Call, Delivery, OrderingKey};
use crate::message::{
    Cause, Completion, Held, Message, PartitionId, Reason, RecordId, Settled, WorkerId, group,
    worker,
};

/// Returns the worker, one of `workers`, that gets a key's messages. It depends on nothing else: a change while messages
/// of the key are held would lose their order. The low half of the hash is left for the worker's own tables.
pub fn worker_of(key: OrderingKey, workers: usize) -> WorkerId {
    WorkerId(((key.0 >> 32) as usize % workers) as u32)
}

/// Messages on their way to the workers, by worker.
pub struct ByWorker(Vec<Vec<Message>>);

impl ByWorker {
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Vec::new()).collect())
    }

    /// Adds a message for the worker that has its key.
    pub fn push(&mut self, message: Message) {
        let worker = worker_of(message.delivery.key, self.0.len());
        self.0[worker.0 as usize].push(message);
    }

    /// Hands each worker its messages, if there are any.
    pub fn send(self, perform: &mut impl FnMut(Effect<'_>)) {
        for (worker, messages) in (0..).map(WorkerId).zip(self.0) {
            if !messages.is_empty() {
                perform(Effect::Worker(worker, worker::Event::Messages(messages)));
            }
        }
    }
}

impl Core {
    /// Sends records to the workers, but for what can't be sent or is too old `now`.
    pub(super) fn dispatch(
        &mut self,
        partition: PartitionId,
        (records, next): (Vec<Record>, i64),
        now: i64,
        perform: &mut impl FnMut(Effect<'_>),
    ) {
        let Some(reading) = self.partitions.get_mut(&partition) else {
            return;
        };
        let assignment = reading.assignment;
        let without = reading.behind.comets();
        let mut offsets = Vec::with_capacity(records.len());
        let mut messages = ByWorker::new(self.workers);
        let mut settled = Vec::new();
        let mut spared = 0;
        for record in records {
            let id = RecordId {
                assignment,
                offset: record.offset,
            };
            offsets.push(id.offset);
            self.rounds.read(record.size);
            if reading.is_finished(id.offset) {
                continue;
            }
            let bytes = record.value.as_ref().map_or(0, |value| value.len());
            self.held += Held { messages: 1, bytes };
            let mut delivery = delivery(&self.router, id, &record, perform);
            if let Ok(delivery) = &mut delivery {
                spared += self.router.narrow(delivery);
            }
            if let Ok(delivery) = &delivery
                && let Call::BroadcastRoom { room, .. } = &delivery.call
                && let Some(other) = self.homes.note(delivery.key, partition)
            {
                let partitions = [other, partition];
                perform(Effect::Say(Notice::Scattered { room, partitions }));
            }
            match delivery {
                Ok(delivery) => match self.ages.of_live(record.timestamp, now) {
                    None => messages.push(Message {
                        record: id,
                        bytes,
                        timestamp: record.timestamp,
                        delivery,
                        trace: record.trace,
                        without: without.clone(),
                        again: false,
                    }),
                    Some(expired) => settled.push(Settled {
                        record: id,
                        bytes,
                        completion: expired.completion(None),
                    }),
                },
                Err(why) => settled.push(Settled {
                    record: id,
                    bytes,
                    completion: Completion::Undeliverable { why, at: None },
                }),
            }
        }
        if spared > 0 {
            perform(Effect::Spared(spared));
        }
        reading.position = next;
        reading.forget_finished_below(next);
        perform(Effect::Read(group::Read {
            assignment,
            offsets,
            next,
            behind: without.map_or(Vec::new(), |comets| comets.to_vec()),
        }));
        if !settled.is_empty() {
            perform(Effect::Group(group::Event::Settled(settled)));
        }
        messages.send(perform);
    }
}

/// Decodes and routes a record, and says what it is.
///
/// # Errors
/// It is no `PushMsg`, or names nobody. The text is for its dead letter.
fn delivery(
    router: &Router,
    record: RecordId,
    from: &Record,
    perform: &mut impl FnMut(Effect<'_>),
) -> Result<Delivery, Box<Reason>> {
    let push = decode(from.value.as_ref()).map_err(|why| {
        perform(Effect::Say(Notice::Undecodable { record, why: &why }));
        let why = format!("Failed to parse message as PushMsg: {why}");
        Reason::new(Cause::Undecodable, why)
    })?;
    perform(Effect::Say(Notice::Received(&push)));
    router.route(push).map_err(|why| {
        perform(Effect::Say(Notice::Unroutable { record, why: &why }));
        Reason::new(Cause::Unroutable, format!("Nowhere to deliver: {why}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shared_evenly() {
        for workers in [1, 3, 4, 64] {
            let mut keys = vec![0; workers];
            for room in 0..workers * 1_000 {
                let worker = worker_of(OrderingKey::room(&room.to_string()), workers);
                keys[worker.0 as usize] += 1;
            }
            assert!(
                keys.iter().all(|count| (800..1_200).contains(count)),
                "{keys:?}"
            );
        }
    }
}
