//! What Comets told of their rooms, and for how long it counts.

use std::sync::Arc;
use std::time::Instant;

use crate::base::last::Reader;
use crate::message::rooms::{COUNTS_FOR, RoomList, Told};
use crate::message::{ByComet, CometId};

pub struct RoomLists {
    told: Reader<CometId, Told>,
    /// Until when each one's list counts.
    until: ByComet<Instant>,
    /// No list ends to count earlier.
    first_end: Option<Instant>,
}

/// A list that counts from now on, or none.
pub type Change = (CometId, Option<Arc<RoomList>>);

impl RoomLists {
    pub fn new(told: Reader<CometId, Told>) -> Self {
        Self {
            told,
            until: ByComet::default(),
            first_end: None,
        }
    }

    /// What has changed until now, and by which question.
    pub fn changes(&mut self, now: Instant) -> Vec<(Change, Instant)> {
        let mut changes = Vec::new();
        for (comet, Told { asked, rooms }) in self.told.take() {
            let until = asked + COUNTS_FOR;
            if rooms.is_none() || until <= now {
                self.until.remove(comet);
                changes.push(((comet, None), asked));
                continue;
            }
            self.until.insert(comet, until);
            self.first_end = Some(self.first_end.map_or(until, |first| first.min(until)));
            changes.push(((comet, rooms), asked));
        }
        if self.first_end.is_some_and(|first| first <= now) {
            let ended = self.until.iter().filter(|(_, until)| **until <= now);
            let ended: Vec<_> = ended.map(|(comet, until)| (comet, *until)).collect();
            for (comet, until) in ended {
                self.until.remove(comet);
                changes.push(((comet, None), until - COUNTS_FOR));
            }
            self.first_end = self.until.values().copied().min();
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::last::last;
    use crate::message::call::OrderingKey;
    use std::time::Duration;

    #[test]
    fn a_list_counts_from_when_the_comet_was_asked_and_for_a_while() {
        let (tell, told) = last();
        let mut lists = RoomLists::new(told);
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let rooms = Some(Arc::new([OrderingKey::room("r")].into_iter().collect()));
        let tells = |comet, asked, rooms: &Option<Arc<RoomList>>| {
            let told = Told {
                asked: at(asked),
                rooms: rooms.clone(),
            };
            tell.put(CometId(comet), told).expect("somebody listens");
        };
        let mut changes = |millis| -> Vec<(u32, bool)> {
            let changes = lists.changes(at(millis)).into_iter();
            changes
                .map(|((comet, rooms), _)| (comet.0, rooms.is_some()))
                .collect()
        };
        assert_eq!(changes(0), []);
        tells(0, 0, &rooms);
        tells(1, 500, &rooms);
        assert_eq!(changes(600), [(0, true), (1, true)]);
        assert_eq!(changes(2_999), []);
        // The second one is heard of in time, the first one isn't.
        tells(1, 1_500, &rooms);
        assert_eq!(changes(3_000), [(1, true), (0, false)]);
        assert_eq!(changes(4_499), []);
        assert_eq!(changes(4_500), [(1, false)]);
        // An answer that took too long, and one that tells nothing.
        tells(0, 2_000, &rooms);
        tells(1, 4_900, &rooms);
        assert_eq!(changes(5_000), [(0, false), (1, true)]);
        tells(1, 5_000, &None);
        assert_eq!(changes(5_100), [(1, false)]);
        assert_eq!(changes(20_000), []);
    }
}
