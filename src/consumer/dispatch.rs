//! Which worker has which messages.

use crate::message::WorkerId;
use crate::message::call::OrderingKey;

/// The worker, one of `workers`, that has a key's messages. It depends on nothing else: were it to change while there are
/// messages of that key, they would lose their order. The low half of the hash is left for the worker's own tables.
pub fn worker_of(key: OrderingKey, workers: usize) -> WorkerId {
    WorkerId(((key.0 >> 32) as usize % workers) as u32)
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
