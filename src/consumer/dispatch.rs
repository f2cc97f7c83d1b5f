//! Which worker gets which keys.

use crate::message::WorkerId;
use crate::message::call::OrderingKey;

/// Returns the worker, one of `workers`, that gets a key's messages. It depends on nothing else: a change while messages
/// of the key are held would lose their order. The low half of the hash is left for the worker's own tables.
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
