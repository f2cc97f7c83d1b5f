//! Which partition each room comes from. Kafka keeps an order within a partition only, so a room has to stay in one.

use crate::message::PartitionId;
use crate::message::call::OrderingKey;

/// Limits how many rooms are remembered. One example is enough, so it need not be all.
const ROOMS: usize = 1_024;

/// A room keeps its place until so many messages came of other rooms for the same place. Then it has probably ended.
const OTHERS: u8 = 250;

/// A room moves once where partitions are added. One that moves back is written to both.
const MOVES: u8 = 2;

#[derive(Clone, Copy)]
struct Home {
    room: OrderingKey,
    partition: PartitionId,
    moves: u8,
    others: u8,
}

/// Where some rooms were seen last. Nothing once a scattered one was found: one example is enough.
pub struct Homes(Vec<Option<Home>>);

impl Homes {
    pub fn new() -> Self {
        Self(vec![None; ROOMS])
    }

    /// Notes that a message of a room came from a partition. Returns the other partition if the room comes from both, and from
    /// then on `None`.
    pub fn note(&mut self, room: OrderingKey, partition: PartitionId) -> Option<PartitionId> {
        if self.0.is_empty() {
            return None;
        }
        // What one room's messages of two topics are to each other, Kafka doesn't say.
        let place = (room.0 as usize).wrapping_add(partition.topic.0.into()) % ROOMS;
        match &mut self.0[place] {
            Some(home) if home.room == room && home.partition.topic == partition.topic => {
                home.others = 0;
                if home.partition == partition {
                    return None;
                }
                let other = std::mem::replace(&mut home.partition, partition);
                home.moves += 1;
                if home.moves < MOVES {
                    return None;
                }
                self.0 = Vec::new();
                Some(other)
            }
            Some(home) if home.others < OTHERS => {
                home.others += 1;
                None
            }
            home => {
                *home = Some(Home {
                    room,
                    partition,
                    moves: 0,
                    others: 0,
                });
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(homes: &mut Homes, n: usize, index: i32) -> Option<i32> {
        let other = homes.note(room(n), PartitionId::of_first(index))?;
        Some(other.index)
    }

    fn room(n: usize) -> OrderingKey {
        OrderingKey::room(&format!("room-{n}"))
    }

    #[test]
    fn a_room_that_comes_from_two_partitions_is_told_once() {
        let mut homes = Homes::new();
        assert_eq!(note(&mut homes, 1, 0), None);
        assert_eq!(note(&mut homes, 2, 1), None);
        assert_eq!(note(&mut homes, 1, 1), None, "it moved");
        assert_eq!(note(&mut homes, 1, 0), Some(1));
        for partition in [1, 0, 1, 0] {
            assert_eq!(note(&mut homes, 2, partition), None, "one was told");
        }
    }

    #[test]
    fn rooms_that_stay_or_move_once_are_not_told() {
        let mut homes = Homes::new();
        for _ in 0..3 {
            for n in 0..3 * ROOMS {
                assert_eq!(note(&mut homes, n, (n % 7) as i32), None);
            }
        }
        // Partitions were added.
        for n in 0..3 * ROOMS {
            assert_eq!(note(&mut homes, n, (n % 9) as i32), None);
        }
    }

    #[test]
    fn one_is_found_among_many_rooms() {
        let mut homes = Homes::new();
        // Each room's last messages were from some partition, and the next one is from another.
        let mut scattered = (0..500_000).map(|n| (room(n % 100_000), (n / 100_000) as i32));
        assert!(
            scattered.any(|(room, partition)| homes
                .note(room, PartitionId::of_first(partition))
                .is_some())
        );
    }
}
