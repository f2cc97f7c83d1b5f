//! Which rooms a Comet has, as it said itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::call::OrderingKey;

/// How often each Comet is asked, at most.
pub const ASKED_EVERY: Duration = Duration::from_secs(1);
/// For how long what a Comet told counts, from when it was asked.
pub const COUNTS_FOR: Duration = Duration::from_secs(3);
const _: () = assert!(
    COUNTS_FOR.as_millis() >= 2 * ASKED_EVERY.as_millis(),
    "a Comet that answers a little later would count as one that tells nothing"
);

/// The rooms of one Comet. A hash stands for each: of two that collide, both are taken for there.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RoomList(Vec<u64>);

impl RoomList {
    /// Whether the Comet has this room.
    pub fn has(&self, room: OrderingKey) -> bool {
        self.0.binary_search(&room.0).is_ok()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromIterator<OrderingKey> for RoomList {
    fn from_iter<T: IntoIterator<Item = OrderingKey>>(rooms: T) -> Self {
        let mut rooms: Vec<_> = rooms.into_iter().map(|room| room.0).collect();
        rooms.sort_unstable();
        rooms.dedup();
        rooms.shrink_to_fit();
        Self(rooms)
    }
}

/// What a Comet answered when it was asked for its rooms.
#[derive(Clone, Debug)]
pub struct Told {
    /// When it was asked: it may have been an answer to a later moment, never to an earlier one.
    pub asked: Instant,
    /// `None` where the answer tells nothing.
    pub rooms: Option<Arc<RoomList>>,
}
