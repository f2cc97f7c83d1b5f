//! The letters that wait to be written, and whose they are. It knows neither Kafka nor the time.

use std::collections::{BTreeMap, VecDeque};

use crate::message::dead_letter::{Event, Letter};
use crate::message::{Assignment, RecordId};

/// All letters that are not written yet.
#[derive(Default)]
pub struct Waiting {
    /// Not tried yet, in the order in which they came.
    fresh: VecDeque<Letter>,
    /// Tried in this round of writing.
    round: VecDeque<Letter>,
    /// Letters that could not be written so far. Each is retried on its own, so that a letter that the topic refuses
    /// doesn't block the others.
    held: VecDeque<Letter>,
    /// Letters of partitions that may be another member's by now, and maybe not.
    suspended: BTreeMap<Assignment, Vec<Letter>>,
    /// Letters of partitions that were given up. Their next owner reads the records again and writes the letters: from here
    /// they would come twice.
    dropped: Vec<Letter>,
}

impl Waiting {
    pub fn hear(&mut self, event: Event) {
        match event {
            Event::Write(letter) => match self.suspended.get_mut(&letter.record.assignment) {
                Some(letters) => letters.push(letter),
                None => self.fresh.push_back(letter),
            },
            Event::Suspend(assignment) => {
                let letters = self.take_all_of(assignment);
                self.suspended
                    .entry(assignment)
                    .or_default()
                    .extend(letters);
            }
            Event::Resume(assignment) => {
                let letters = self.suspended.remove(&assignment);
                self.fresh.extend(letters.into_iter().flatten());
            }
            Event::Forget(assignment) => {
                let letters = self.take_all_of(assignment);
                self.dropped.extend(letters);
                let letters = self.suspended.remove(&assignment);
                self.dropped.extend(letters.into_iter().flatten());
            }
        }
    }

    fn take_all_of(&mut self, assignment: Assignment) -> Vec<Letter> {
        let mut taken = Vec::new();
        for letters in [&mut self.fresh, &mut self.round, &mut self.held] {
            let all = std::mem::take(letters).into_iter();
            let (of_it, rest): (VecDeque<_>, _) =
                all.partition(|letter| letter.record.assignment == assignment);
            taken.extend(of_it);
            *letters = rest;
        }
        taken
    }

    pub fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// How many letters could not be written so far.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    pub fn hold(&mut self, letter: Letter) {
        self.held.push_back(letter);
    }

    /// Holds the new ones untried.
    pub fn hold_fresh(&mut self) {
        self.held.append(&mut self.fresh);
    }

    /// Begins a round with up to `most` new letters.
    pub fn begin_fresh(&mut self, most: usize) {
        let most = most.min(self.fresh.len());
        self.round.extend(self.fresh.drain(..most));
        // Letters of neighbouring records then read their originals together.
        let round = self.round.make_contiguous();
        round.sort_unstable_by_key(|letter| letter.record);
    }

    /// Ends a round: holds what it left.
    pub fn hold_rest(&mut self) {
        self.held.append(&mut self.round);
    }

    /// Begins a round with the held letters.
    pub fn begin_held(&mut self) {
        self.round.append(&mut self.held);
    }

    /// Ends a round: what it left is held, and comes first in the next one.
    pub fn put_back(&mut self) {
        self.round.append(&mut self.held);
        self.held.append(&mut self.round);
    }

    /// The record of the round's next letter, and the last offset where it stands for several.
    pub fn next(&self) -> Option<(RecordId, Option<i64>)> {
        let letter = self.round.front()?;
        Some((letter.record, letter.last))
    }

    /// Takes the round's next letter, if it still is the one of this record.
    pub fn take(&mut self, record: RecordId) -> Option<Letter> {
        self.round.pop_front_if(|letter| letter.record == record)
    }

    pub fn take_dropped(&mut self) -> Vec<Letter> {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::PartitionId;

    fn assignment(epoch: u64) -> Assignment {
        Assignment {
            partition: PartitionId::of_first(0),
            epoch,
        }
    }

    fn record(epoch: u64, offset: i64) -> RecordId {
        RecordId {
            assignment: assignment(epoch),
            offset,
        }
    }

    /// With new letters: the epoch and the offset of each.
    fn waiting(letters: &[(u64, i64)]) -> Waiting {
        let mut waiting = Waiting::default();
        for &(epoch, offset) in letters {
            waiting.hear(write(epoch, offset));
        }
        waiting
    }

    fn write(epoch: u64, offset: i64) -> Event {
        Event::Write(Letter {
            record: record(epoch, offset),
            last: None,
            bytes: 1,
            at: None,
            why: "".into(),
        })
    }

    /// What is left in the round.
    fn rest(waiting: &mut Waiting) -> Vec<(u64, i64)> {
        let all = std::iter::from_fn(|| waiting.take(waiting.next()?.0));
        let records = all.map(|letter| letter.record);
        records.map(|r| (r.assignment.epoch, r.offset)).collect()
    }

    fn dropped(waiting: &mut Waiting) -> Vec<i64> {
        let dropped = waiting.take_dropped().into_iter();
        dropped.map(|letter| letter.record.offset).collect()
    }

    #[test]
    fn what_is_forgotten_is_dropped_wherever_it_waits() {
        let mut waiting = waiting(&[(1, 10), (2, 20), (1, 11), (2, 21)]);
        waiting.begin_fresh(4);
        let held = waiting.take(record(1, 10)).unwrap();
        waiting.hold(held);
        waiting.hear(write(1, 12));
        waiting.hear(Event::Forget(assignment(1)));
        assert_eq!(dropped(&mut waiting), [12, 11, 10]);
        assert_eq!(dropped(&mut waiting), [0; 0], "once");
        assert_eq!(rest(&mut waiting), [(2, 20), (2, 21)]);
        assert!(!waiting.has_fresh() && waiting.held() == 0);
    }

    #[test]
    fn what_is_forgotten_while_its_original_is_read_is_not_taken() {
        let mut waiting = waiting(&[(1, 10), (2, 20)]);
        waiting.begin_fresh(2);
        let (next, _) = waiting.next().unwrap();
        waiting.hear(Event::Forget(assignment(1)));
        assert!(waiting.take(next).is_none());
        assert_eq!(rest(&mut waiting), [(2, 20)]);
    }

    #[test]
    fn what_is_suspended_waits_until_it_is_clear_whose_it_is() {
        let mut waiting = waiting(&[(1, 10), (2, 20)]);
        waiting.hold_fresh();
        for epoch in [1, 2] {
            waiting.hear(Event::Suspend(assignment(epoch)));
        }
        assert_eq!(waiting.held(), 0);
        waiting.hear(write(1, 11));
        assert!(!waiting.has_fresh());
        waiting.hear(Event::Resume(assignment(1)));
        waiting.hear(Event::Forget(assignment(2)));
        assert_eq!(dropped(&mut waiting), [20]);
        waiting.hear(write(1, 12));
        waiting.begin_fresh(9);
        assert_eq!(rest(&mut waiting), [(1, 10), (1, 11), (1, 12)]);
    }

    #[test]
    fn letters_left_in_a_round_of_held_ones_come_first_in_the_next() {
        let mut waiting = waiting(&[(1, 10), (1, 11), (1, 12)]);
        waiting.hold_fresh();
        waiting.begin_held();
        let refused = waiting.take(record(1, 10)).unwrap();
        waiting.hold(refused);
        waiting.put_back();
        waiting.begin_held();
        assert_eq!(rest(&mut waiting), [(1, 11), (1, 12), (1, 10)]);
    }
}
