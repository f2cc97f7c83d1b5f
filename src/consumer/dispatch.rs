//! Which worker gets which keys.

use super::core::Effect;
use crate::message::call::OrderingKey;
use crate::message::{Message, WorkerId, worker};

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
        for (worker, messages) in self.0.into_iter().enumerate() {
            if !messages.is_empty() {
                perform(Effect::Worker(worker, worker::Event::Messages(messages)));
            }
        }
    }
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
