//! Which of the newest dead letters wait for a decision, counted as the topic grows. Pure: ranges and records go in.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use super::letter::{Identity, Place, StoredLetter};
use super::markers::Marker;
use super::whom::Whom;
use crate::figures::Undecided;
use crate::kafka::client::ConsumerRecord;

/// How far back from the end of a partition letters are counted, in offsets. It bounds the memory, and what is read at a start.
pub const WINDOW: i64 = 10_000;

/// The letters of one topic that are near its end, and what became of them.
#[derive(Debug, Default)]
pub struct Tally {
    letters: BTreeMap<Place, Kept>,
    /// Messages that were replayed or discarded, for whom, and the last of their letters.
    settled: HashMap<Identity, (Whom, Place)>,
    /// What is read next.
    next: BTreeMap<i32, i64>,
}

#[derive(Debug)]
struct Kept {
    message: Identity,
    whom: Whom,
    /// When it became a dead letter, in milliseconds since 1970.
    time: i64,
}

impl Tally {
    /// The topic has these offsets now. Forgets what is gone or too far back, and returns what is to be read.
    pub fn due(&mut self, bounds: &BTreeMap<i32, Range<i64>>) -> Vec<(i32, Range<i64>)> {
        let from = |partition: i32| {
            let range = bounds.get(&partition);
            range.map_or(i64::MAX, |range| range.start.max(range.end - WINDOW))
        };
        self.next.retain(|partition, next| {
            let range = bounds.get(partition);
            range.is_some_and(|range| *next <= range.end)
        });
        // A topic that ends before what was read was made anew.
        let known = &self.next;
        let stays = |place: &Place| {
            known.contains_key(&place.partition) && place.offset >= from(place.partition)
        };
        self.letters.retain(|place, _| stays(place));
        self.settled.retain(|_, (_, place)| stays(place));
        let due = bounds.iter().map(|(&partition, range)| {
            let next = self.next.get(&partition).copied().unwrap_or(0);
            (partition, next.max(from(partition))..range.end)
        });
        due.filter(|(_, range)| !range.is_empty()).collect()
    }

    /// Adds the next record of a partition.
    pub fn add(&mut self, record: ConsumerRecord) {
        let partition = record.partition;
        match Marker::read(&record) {
            Some(Marker::Replayed(offsets) | Marker::Discarded(offsets)) => {
                for offset in offsets {
                    self.settle(Place { partition, offset });
                }
            }
            Some(Marker::Began(_) | Marker::Ended(_)) => {}
            None => {
                if let Some(letter) = StoredLetter::read(record) {
                    let kept = Kept {
                        message: letter.source,
                        time: letter.time,
                        whom: letter.whom.clone(),
                    };
                    self.letters.insert(letter.place(), kept);
                }
            }
        }
    }

    /// A partition was read up to here.
    pub fn has_read(&mut self, partition: i32, to: i64) {
        self.next.insert(partition, to);
    }

    fn settle(&mut self, place: Place) {
        // One that is too far back isn't known.
        let Some(letter) = self.letters.remove(&place) else {
            return;
        };
        let settled = self.settled.entry(letter.message);
        settled
            .and_modify(|(whom, last)| {
                whom.join(&letter.whom);
                *last = (*last).max(place);
            })
            .or_insert((letter.whom, place));
    }

    /// Those that were neither replayed nor discarded.
    pub fn undecided(&self) -> Undecided {
        let waits = |letter: &&Kept| {
            let settled = self.settled.get(&letter.message);
            settled.is_none_or(|(whom, _)| !whom.includes(&letter.whom))
        };
        let waiting = || self.letters.values().filter(waits);
        let messages: HashSet<_> = waiting().map(|letter| letter.message).collect();
        Undecided {
            messages: messages.len() as u64,
            oldest_ms: waiting().map(|letter| letter.time).min(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter::header;
    use crate::dead_letter::letter::letter;
    use crate::dead_letter::markers::{Run, written};

    fn marker(marker: &Marker, offset: i64) -> ConsumerRecord {
        let run = Run {
            id: "a".into(),
            by: "test".into(),
        };
        written(marker, offset, &run)
    }

    fn one(range: Range<i64>) -> BTreeMap<i32, Range<i64>> {
        BTreeMap::from([(0, range)])
    }

    /// Letters at these offsets, of the messages with ten times these.
    fn with(offsets: Range<i64>) -> Tally {
        let mut tally = Tally::default();
        for offset in offsets.clone() {
            tally.add(letter(offset, (0, 10 * offset), &[]));
        }
        tally.has_read(0, offsets.end);
        tally
    }

    #[test]
    fn what_was_replayed_or_discarded_waits_no_longer() {
        let mut tally = with(0..5);
        assert_eq!(tally.undecided().messages, 5);
        assert_eq!(tally.undecided().oldest_ms, Some(1_700_000_001_000));
        tally.add(marker(&Marker::Replayed(vec![0, 1]), 5));
        tally.add(marker(&Marker::Discarded(vec![3]), 6));
        assert_eq!(tally.undecided().messages, 2);
        tally.add(marker(&Marker::Replayed(vec![2, 4]), 7));
        let none = Undecided {
            messages: 0,
            oldest_ms: None,
        };
        assert_eq!(tally.undecided(), none);
    }

    #[test]
    fn a_message_with_two_letters_counts_once() {
        let mut tally = Tally::default();
        for offset in [0, 1] {
            tally.add(letter(offset, (0, 10), &[]));
        }
        assert_eq!(tally.undecided().messages, 1);
        tally.add(marker(&Marker::Replayed(vec![0]), 2));
        assert_eq!(tally.undecided().messages, 0);
        // One more of the same message, as after a kill.
        tally.add(letter(3, (0, 10), &[]));
        assert_eq!(tally.undecided().messages, 0);
        // It is for a Comet that the others were not for.
        let mut tally = Tally::default();
        tally.add(letter(0, (0, 10), &[(header::COMET, "a:1")]));
        tally.add(marker(&Marker::Replayed(vec![0]), 1));
        tally.add(letter(2, (0, 10), &[(header::COMET, "b:1")]));
        assert_eq!(tally.undecided().messages, 1);
    }

    #[test]
    fn only_what_is_new_is_read() {
        let mut tally = Tally::default();
        assert_eq!(tally.due(&one(3..20)), [(0, 3..20)]);
        tally.has_read(0, 20);
        assert_eq!(tally.due(&one(3..20)), []);
        assert_eq!(tally.due(&one(3..25)), [(0, 20..25)]);
    }

    #[test]
    fn what_is_far_back_is_neither_read_nor_kept() {
        let mut tally = Tally::default();
        let end = 1_000_000;
        assert_eq!(tally.due(&one(0..end)), [(0, end - WINDOW..end)]);
        let mut tally = with(0..5);
        tally.add(marker(&Marker::Replayed(vec![0]), 5));
        tally.due(&one(0..3 + WINDOW));
        assert_eq!(tally.undecided().messages, 2);
        assert_eq!(tally.settled.len(), 0);
        // A note about what was forgotten.
        tally.add(marker(&Marker::Replayed(vec![1]), 6));
        assert_eq!(tally.undecided().messages, 2);
    }

    #[test]
    fn what_retention_took_waits_no_longer() {
        let mut tally = with(0..5);
        tally.due(&one(4..5));
        assert_eq!(tally.undecided().messages, 1);
    }

    #[test]
    fn a_topic_that_was_made_anew_is_read_from_its_beginning() {
        let mut tally = with(0..5);
        assert_eq!(tally.due(&one(0..2)), [(0, 0..2)]);
        assert_eq!(tally.undecided().messages, 0);
        let mut tally = with(0..5);
        assert_eq!(tally.due(&BTreeMap::new()), []);
        assert_eq!(tally.undecided().messages, 0);
    }
}
