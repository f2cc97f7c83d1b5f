//! The index of the dead-letter topic: which letters it holds, and which of them were replayed or discarded.

use std::collections::{BTreeMap, HashSet};

use super::comes_back::{ComesBack, Servers};
use super::select::Selection;
use super::show::State;
use super::summary::Summary;
use crate::dead_letter::letter::{Identity, Place, StoredLetter};
use crate::dead_letter::markers::{Marker, Run};
use crate::dead_letter::settled::{Decision, Settled};
use crate::dead_letter::whom::Whom;
use crate::kafka::client::ConsumerRecord;
use crate::message::Cause;

/// Built from the topic's records, those of each partition in order.
#[derive(Debug, Default)]
pub struct Index {
    selection: Selection,
    servers: Servers,
    letters: Vec<Entry>,
    replayed: HashSet<Place>,
    discarded: HashSet<Place>,
    /// The last run that began.
    pub last_run: Option<Run>,
    ended: HashSet<String>,
}

/// What the index keeps of a letter.
#[derive(Debug)]
struct Entry {
    place: Place,
    identity: Identity,
    gone: bool,
    comes_back: Option<ComesBack>,
    selected: bool,
    whom: Whom,
    cause: Option<Cause>,
    time: i64,
}

/// A letter that is to be replayed or discarded.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// The letter.
    pub place: Place,
    /// Other letters of the same message.
    pub duplicates: Vec<Place>,
    /// The partition that it was read from, and is written to again.
    pub partition: i32,
    /// The Comets that need it, as all these letters say.
    pub whom: Whom,
}

/// What to do with the selected letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    Replay,
    Discard,
}

/// What a replay or a discard has to do.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// In the order of the main topic's partitions and offsets, so that letters of one key keep their order.
    pub due: Vec<Due>,
    /// Letters that were replayed before.
    pub replayed: usize,
    /// Letters that were discarded before.
    pub discarded: usize,
    /// Letters without a message, which can't be replayed.
    pub gone: usize,
    /// Letters that would come straight back, and were not named one by one: none could deliver them, or not with this fleet.
    pub undeliverable: usize,
    pub elsewhere: usize,
}

/// How a letter stands.
pub fn state(settled: &Settled, letter: &StoredLetter) -> State {
    state_of(
        settled.decision(letter.source, &letter.whom),
        letter.is_gone(),
    )
}

fn state_of(decision: Option<Decision>, gone: bool) -> State {
    match decision {
        Some(Decision::Replayed) => State::Replayed,
        Some(Decision::Discarded) => State::Discarded,
        None if gone => State::Gone,
        None => State::Waiting,
    }
}

impl Entry {
    fn state(&self, settled: &Settled) -> State {
        state_of(settled.decision(self.identity, &self.whom), self.gone)
    }
}

impl Index {
    pub fn new(selection: Selection) -> Index {
        Index {
            selection,
            ..Index::default()
        }
    }

    /// Judges what would come straight back by what is known of the Comets.
    pub fn knowing(self, servers: Servers) -> Index {
        Index { servers, ..self }
    }

    /// Adds the next record of a partition.
    pub fn add(&mut self, record: ConsumerRecord) {
        let place = Place::of(&record);
        let at = |offset| Place {
            partition: place.partition,
            offset,
        };
        match Marker::read(&record) {
            Some(Marker::Replayed(offsets)) => self.replayed.extend(offsets.into_iter().map(at)),
            Some(Marker::Discarded(offsets)) => self.discarded.extend(offsets.into_iter().map(at)),
            Some(Marker::Began(run)) => self.last_run = Some(run),
            Some(Marker::Ended(run)) => {
                self.ended.insert(run);
            }
            None => {
                // A record that is neither was written by somebody else.
                if let Some(letter) = StoredLetter::read(record) {
                    self.letters.push(Entry {
                        place,
                        identity: letter.source,
                        gone: letter.is_gone(),
                        comes_back: self.servers.comes_back(&letter),
                        selected: self.selection.takes(&letter),
                        whom: letter.whom,
                        cause: letter.cause,
                        time: letter.time,
                    });
                }
            }
        }
    }

    pub fn has_ended(&self, run: &Run) -> bool {
        self.ended.contains(&run.id)
    }

    /// Adds an index of other records of the topic.
    pub fn merge(&mut self, other: Index) {
        self.letters.extend(other.letters);
        self.replayed.extend(other.replayed);
        self.discarded.extend(other.discarded);
    }

    pub fn settled(&self) -> Settled {
        let mut settled = Settled::default();
        for letter in &self.letters {
            for (decision, places) in [
                (Decision::Replayed, &self.replayed),
                (Decision::Discarded, &self.discarded),
            ] {
                if places.contains(&letter.place) {
                    settled.note(decision, letter.identity, &letter.whom, letter.place);
                }
            }
        }
        settled
    }

    /// The letters that wait for a decision.
    fn undecided(&self) -> impl Iterator<Item = &Entry> {
        let settled = self.settled();
        let letters = self.letters.iter();
        letters.filter(move |letter| letter.state(&settled).waits())
    }

    /// Counts the messages that wait for a decision.
    pub fn waiting(&self) -> usize {
        let messages: HashSet<_> = self.undecided().map(|letter| letter.identity).collect();
        messages.len()
    }

    /// Sums up the selected letters that wait for a decision.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for letter in self.undecided().filter(|letter| letter.selected) {
            summary.add(letter.cause, letter.time);
        }
        summary
    }

    /// Whether this letter was discarded.
    pub fn is_discarded(&self, place: Place) -> bool {
        self.discarded.contains(&place)
    }

    /// Returns the first place asked for that holds no letter.
    pub fn missing(&self) -> Option<Place> {
        let is_there = |place: &&Place| self.letters.iter().any(|letter| letter.place == **place);
        let mut places = self.selection.places.iter();
        places.find(|place| !is_there(place)).copied()
    }

    pub fn plan(&self, aim: Aim) -> Plan {
        let settled = self.settled();
        let named = !self.selection.places.is_empty();
        let mut plan = Plan::default();
        let mut due = BTreeMap::<Identity, Due>::new();
        for letter in self.letters.iter().filter(|letter| letter.selected) {
            match (aim, letter.state(&settled)) {
                (_, State::Replayed) => plan.replayed += 1,
                (_, State::Discarded) => plan.discarded += 1,
                (Aim::Replay, State::Gone) => plan.gone += 1,
                (Aim::Replay, State::Waiting) if !named && letter.comes_back.is_some() => {
                    match letter.comes_back {
                        Some(ComesBack::UnknownServer) => plan.elsewhere += 1,
                        _ => plan.undeliverable += 1,
                    }
                }
                (_, State::Waiting | State::Gone) => {
                    due.entry(letter.identity)
                        .and_modify(|due| {
                            due.duplicates.push(letter.place);
                            due.whom.join(&letter.whom);
                        })
                        .or_insert(Due {
                            place: letter.place,
                            duplicates: Vec::new(),
                            partition: letter.identity.partition,
                            whom: letter.whom.clone(),
                        });
                }
            }
        }
        plan.due = due.into_values().collect();
        plan
    }
}

#[cfg(test)]
mod tests;
