//! What stands in the dead-letter topic: which letters there are, and which of them were replayed.

use std::collections::{BTreeMap, HashSet};

use krafka::consumer::ConsumerRecord;

use super::found::{Found, Identity, Place};
use super::notes::{Note, Run};
use super::select::Selection;

/// Filled by the records of the topic, each partition's in order.
#[derive(Debug, Default)]
pub struct Book {
    selection: Selection,
    letters: Vec<Known>,
    replayed: HashSet<Place>,
    /// The last run that began, and where it said so.
    pub last_run: Option<Run>,
    ended: HashSet<String>,
}

/// What is kept of each letter.
#[derive(Debug)]
struct Known {
    place: Place,
    identity: Identity,
    gone: bool,
    selected: bool,
}

/// A letter that is to be replayed.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// The letter.
    pub place: Place,
    /// Other letters of the same message.
    pub twins: Vec<Place>,
    /// The partition that it was read from, and is written to again.
    pub partition: i32,
}

/// What a replay has to do.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// In the order of the main topic's partitions and offsets, so that letters of one key keep their order.
    pub due: Vec<Due>,
    /// Letters that were replayed before.
    pub replayed: usize,
    /// Letters without a message.
    pub gone: usize,
}

impl Book {
    pub fn new(selection: Selection) -> Book {
        Book {
            selection,
            ..Book::default()
        }
    }

    /// Takes the next record of a partition.
    pub fn add(&mut self, record: ConsumerRecord) {
        let place = Place::of(&record);
        match Note::read(&record) {
            Some(Note::Replayed(offsets)) => {
                let partition = place.partition;
                let places = offsets
                    .into_iter()
                    .map(|offset| Place { partition, offset });
                self.replayed.extend(places);
            }
            Some(Note::Began(run)) => self.last_run = Some(run),
            Some(Note::Ended(run)) => {
                self.ended.insert(run);
            }
            None => {
                // Else it is somebody else's record.
                if let Some(letter) = Found::read(record) {
                    self.letters.push(Known {
                        place,
                        identity: letter.source,
                        gone: letter.is_gone(),
                        selected: self.selection.takes(&letter),
                    });
                }
            }
        }
    }

    pub fn has_ended(&self, run: &Run) -> bool {
        self.ended.contains(&run.id)
    }

    /// The messages that were replayed, whichever of their letters it was.
    pub fn replayed(&self) -> HashSet<Identity> {
        self.letters
            .iter()
            .filter(|letter| self.replayed.contains(&letter.place))
            .map(|letter| letter.identity)
            .collect()
    }

    pub fn plan(&self) -> Plan {
        let replayed = self.replayed();
        let mut plan = Plan::default();
        let mut due = BTreeMap::<Identity, Due>::new();
        for letter in self.letters.iter().filter(|letter| letter.selected) {
            if letter.gone {
                plan.gone += 1;
            } else if replayed.contains(&letter.identity) {
                plan.replayed += 1;
            } else {
                due.entry(letter.identity)
                    .and_modify(|due| due.twins.push(letter.place))
                    .or_insert(Due {
                        place: letter.place,
                        twins: Vec::new(),
                        partition: letter.identity.partition,
                    });
            }
        }
        plan.due = due.into_values().collect();
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter::found::letter;
    use crate::dead_letter::notes::written;
    use crate::dead_letter::select::Sources;

    fn due(plan: &Plan) -> Vec<i64> {
        plan.due.iter().map(|due| due.place.offset).collect()
    }

    fn run(id: &str) -> Run {
        Run {
            id: id.into(),
            by: "test".into(),
        }
    }

    #[test]
    fn letters_go_in_the_order_of_the_main_topic() {
        let mut book = Book::default();
        for (offset, source) in [(1, 30), (0, 12), (1, 4), (0, 7)].into_iter().enumerate() {
            book.add(letter(offset as i64, source, &[]));
        }
        assert_eq!(due(&book.plan()), [3, 1, 2, 0]);
    }

    #[test]
    fn what_was_replayed_is_not_due_again() {
        let mut book = Book::default();
        for offset in 0..6 {
            book.add(letter(offset, (0, 10 + offset), &[]));
        }
        book.add(written(&Note::Replayed(vec![0, 1, 4]), 6, &run("a")));
        book.add(letter(7, (0, 20), &[]));
        let plan = book.plan();
        assert_eq!((due(&plan), plan.replayed), (vec![2, 3, 5, 7], 3));
        // The same offsets of another partition are other letters.
        let mut elsewhere = written(&Note::Replayed(vec![2]), 0, &run("a"));
        elsewhere.partition = 1;
        book.add(elsewhere);
        assert_eq!(due(&book.plan()), [2, 3, 5, 7]);
    }

    #[test]
    fn a_message_with_two_letters_is_replayed_once() {
        let mut book = Book::default();
        book.add(letter(0, (0, 10), &[]));
        book.add(letter(1, (0, 10), &[]));
        let plan = book.plan();
        assert_eq!((due(&plan), plan.due[0].twins.len()), (vec![0], 1));
        book.add(written(&Note::Replayed(vec![0]), 2, &run("a")));
        book.add(letter(3, (0, 10), &[]));
        let plan = book.plan();
        assert_eq!((due(&plan), plan.replayed), (vec![], 3));

        // The main topic was deleted and made again: the same place holds another message.
        let mut other = letter(4, (0, 10), &[]);
        other.headers.push((
            crate::dead_letter::header::TIMESTAMP.into(),
            Some("1800000000000".into()),
        ));
        book.add(other);
        assert_eq!(due(&book.plan()), [4]);
    }

    #[test]
    fn only_what_is_selected_and_there_is_due() {
        let mut book = Book::new(Selection {
            reason: None,
            sources: Sources::parse("0:11-12").ok(),
        });
        for offset in 0..4 {
            let mut record = letter(offset, (0, 10 + offset), &[]);
            if offset == 2 {
                record.value = None;
                record
                    .headers
                    .retain(|(name, _)| name != crate::dead_letter::header::TIMESTAMP);
            }
            book.add(record);
        }
        let plan = book.plan();
        assert_eq!((due(&plan), plan.gone), (vec![1], 1));
    }

    #[test]
    fn the_last_run_that_began_is_the_one_that_goes_on() {
        let mut book = Book::default();
        let (a, b) = (run("a"), run("b"));
        book.add(written(&Note::Began(a.clone()), 0, &a));
        assert_eq!(book.last_run, Some(a.clone()));
        book.add(written(&Note::Began(b.clone()), 1, &b));
        book.add(written(&Note::Ended("a".into()), 2, &a));
        assert_eq!(book.last_run, Some(b.clone()));
        assert!(book.has_ended(&a) && !book.has_ended(&b));
    }
}
