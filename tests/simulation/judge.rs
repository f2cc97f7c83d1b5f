//! Knows the promises, and what each Comet really took. It must not know what a job thinks.

mod fleet;
mod letters;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::message::call::Target;
use crate::message::{PartitionId, offset_map, offset_map::Map};

use fleet::InFleet;
pub use fleet::KNOWN_WITHIN;

use super::figures::Figures;
use super::heard::{AllHeard, Said};
use super::kafka::Member;
use super::tries::{AllTries, Connection};

/// A record's place: partition and offset.
pub type Place = (PartitionId, i64);

/// A record as it was written.
#[derive(Clone, Debug)]
pub struct Written {
    pub at: Duration,
    pub key: u64,
    /// `None` for one that can't be decoded.
    pub target: Option<Target>,
    /// The Comet that refuses it.
    pub refused_by: Option<usize>,
}

/// When a call began, and whether Kafka had a commit then that said that the Comet has the record.
#[derive(Clone, Copy)]
pub struct Begun {
    pub at: Duration,
    pub is_committed: bool,
    /// How many messages the connection had taken.
    pub taken: u64,
    /// Whether the Comet was so sick that the message may have been given up there, though no letter was written.
    pub may_be_late: bool,
}

/// Where a record is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    At(usize),
    Letter,
}

/// A call of a record at a Comet, as its caller knows it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Taken {
    /// The Comet has it, and the caller doesn't know yet, or never will.
    Unknown,
    /// The caller heard OK.
    Known { job: usize, life: u64, at: Duration },
}

pub struct Judge {
    pub figures: Figures,
    /// When each Comet was in the fleet.
    fleet: Vec<InFleet>,
    written: BTreeMap<Place, Written>,
    taken: HashMap<(usize, Place), Taken>,
    /// How often a Comet took a record again.
    again: HashMap<(usize, Place), u32>,
    /// The last record of a key that a Comet took first.
    last: HashMap<(usize, PartitionId, u64), i64>,
    /// The calls of living jobs, by Comet and key.
    calling: HashMap<(usize, u64), (u64, Place)>,
    /// Records that were refused, or whose dead letter was to be written. If it isn't, they come later than what followed them.
    given_up: HashSet<Place>,
    /// What a Comet refused. Its dead letter waits until the others are done with it.
    refused: HashSet<(usize, Place)>,
    /// What is due and not there yet: at a Comet, or as a dead letter.
    due: BTreeSet<(Place, Due)>,
    /// Lives that gave partitions back, or lost them: what they didn't commit comes again.
    gave_back: HashSet<(usize, u64)>,
    /// The last commit of each partition.
    committed: BTreeMap<PartitionId, (i64, Map)>,
    /// What lives lost, and don't own again.
    lost: HashSet<(Member, PartitionId)>,
    heard: AllHeard,
    pub tries: AllTries,
    /// Records that an operator wanted skipped.
    skipped: HashSet<Place>,
    /// Records that crash each Comet.
    crashing: HashSet<Place>,
    pub broken: Option<String>,
}

impl Judge {
    pub fn new(comets: usize) -> Self {
        Self {
            figures: Figures::default(),
            fleet: vec![InFleet::FIRST; comets],
            written: BTreeMap::new(),
            taken: HashMap::new(),
            again: HashMap::new(),
            last: HashMap::new(),
            calling: HashMap::new(),
            given_up: HashSet::new(),
            refused: HashSet::new(),
            due: BTreeSet::new(),
            gave_back: HashSet::new(),
            committed: BTreeMap::new(),
            lost: HashSet::new(),
            heard: AllHeard::default(),
            tries: AllTries::default(),
            skipped: HashSet::new(),
            crashing: HashSet::new(),
            broken: None,
        }
    }

    fn breaks(&mut self, now: Duration, what: String) {
        self.broken
            .get_or_insert_with(|| format!("at {:.3} s: {what}", now.as_secs_f64()));
    }

    pub fn written(&mut self, place: Place, record: Written) {
        self.figures.records += 1;
        if record.target.is_none() {
            self.due.insert((place, Due::Letter));
        }
        let comets = 0..self.fleet.len();
        let due = comets.filter(|comet| self.is_due(*comet, &record));
        let due: Vec<_> = due.map(|comet| (place, Due::At(comet))).collect();
        self.due.extend(due);
        self.written.insert(place, record);
    }

    /// A record that was written crashes each Comet.
    pub fn crashes(&mut self, place: Place) {
        self.crashing.insert(place);
    }

    /// A job calls a Comet.
    pub fn calls(&mut self, now: Duration, member: Member, comet: usize, place: Place, call: u64) {
        if self.lost.contains(&(member, place.0)) {
            self.breaks(
                now,
                format!(
                    "job {member:?} calls Comet {comet} with {place:?} of a partition that it lost"
                ),
            );
        }
        if !self.heard.may_call(now, member, comet) {
            self.breaks(
                now,
                format!("Comet {comet} refuses everything, and job {member:?} calls it with {place:?} before its turn"),
            );
        }
        let Some(record) = self.written.get(&place).cloned() else {
            return self.breaks(
                now,
                format!("Comet {comet} is called with {place:?}, which nobody wrote"),
            );
        };
        if !self.may_get(comet, &record) {
            self.breaks(
                now,
                format!("Comet {comet} is called with {place:?}, which isn't for it"),
            );
        }
        if let Some((_, other)) = self.calling.insert((comet, record.key), (call, place)) {
            let key = record.key;
            self.breaks(
                now,
                format!("Comet {comet} is called with {place:?} of key {key} while a call with {other:?} is in flight"),
            );
        }
    }

    /// A call was answered.
    pub fn ended(
        &mut self,
        now: Duration,
        (job, life): Member,
        comet: usize,
        place: Place,
        call: u64,
        answer: Result<(), i32>,
    ) {
        self.forget(comet, place, call);
        let said = Said::from(answer);
        self.heard.answered(now, (job, life), comet, said);
        if said == Said::Refused {
            self.given_up.insert(place);
            self.refused.insert((comet, place));
        }
        if said == Said::Took {
            let known = Taken::Known { job, life, at: now };
            self.taken.insert((comet, place), known);
        }
    }

    /// A job detaches a Comet. `may_be_full`: it may be one that holds up others.
    pub fn detaches(&mut self, now: Duration, member: Member, comet: usize, may_be_full: bool) {
        self.heard.detached(member, comet);
        if !may_be_full && !self.heard.may_detach(now, member, comet) {
            self.breaks(
                now,
                format!("job {member:?} detaches Comet {comet}, and no other one delivers for long enough"),
            );
        }
    }

    /// Whether one Comet alone should have it.
    pub fn is_for_one(&self, place: Place) -> bool {
        matches!(self.written[&place].target, Some(Target::One(_)))
    }

    /// A job gives a message up that waited for this Comet alone, and fails there.
    pub fn gives_up(&mut self, now: Duration, member: Member, comet: usize, place: Place) {
        if !self.heard.may_give_up(now, member, comet) {
            self.breaks(
                now,
                format!("Comet {comet} takes nothing, and job {member:?} gives {place:?} up within a second of the one before"),
            );
        }
    }

    /// A worker gives a good message up that fails at a Comet.
    pub fn gives_up_failing(&mut self, now: Duration, connection: Connection, place: Place) {
        if !self.tries.may_give_up(connection, place) {
            self.breaks(
                now,
                format!(
                    "{connection:?} gives {place:?} up, and not enough failures count against it"
                ),
            );
        }
    }

    /// A life lost partitions: it calls no Comet with what is theirs.
    pub fn lost(&mut self, member: Member, partitions: &[PartitionId]) {
        self.lost
            .extend(partitions.iter().map(|one| (member, *one)));
    }

    /// Kafka says that partitions are this life's.
    pub fn is_owner(&mut self, member: Member, partitions: &[PartitionId]) {
        for partition in partitions {
            self.lost.remove(&(member, *partition));
        }
    }

    /// A call no longer counts as in flight: its job is gone, or gave the partition back when time was up.
    pub fn forget(&mut self, comet: usize, place: Place, call: u64) {
        let key = (comet, self.written[&place].key);
        if self.calling.get(&key).is_some_and(|(of, _)| *of == call) {
            self.calling.remove(&key);
        }
    }

    /// When a record was written.
    pub fn written_at(&self, place: Place) -> Duration {
        self.written[&place].at
    }

    /// A life ends, or gives partitions back, or loses them.
    pub fn may_repeat(&mut self, (job, life): Member) {
        self.gave_back.insert((job, life));
    }

    /// Whether the last commit says that a Comet has a record.
    pub fn is_committed(&self, comet: usize, place: Place) -> bool {
        let Some((offset, map)) = self.committed.get(&place.0) else {
            return false;
        };
        let is_missing = || {
            let missing = map.missing.get(&name(comet));
            missing.is_some_and(|missing| missing.contains(place.1))
        };
        is_claimed(place.1, *offset, map) && !is_missing()
    }

    /// A Comet takes a record, with a call that began so.
    pub fn takes(&mut self, now: Duration, comet: usize, place: Place, begun: Begun) {
        self.figures.deliveries += 1;
        self.due.remove(&(place, Due::At(comet)));
        let key = self.written[&place].key;
        let before = self.taken.insert((comet, place), Taken::Unknown);
        if before.is_some() {
            let again = self.again.entry((comet, place)).or_default();
            *again += 1;
            self.figures.most = self.figures.most.max(*again);
        }
        match before {
            None => {
                // What was written before it joined it gets as a repeat alone, where another owner begins further back.
                let is_its_own = self.is_due(comet, &self.written[&place]);
                let last = self.last.entry((comet, place.0, key)).or_insert(-1);
                let before = std::mem::replace(last, place.1.max(*last));
                let is_given_up = self.given_up.contains(&place);
                let may_be_late = begun.may_be_late || is_given_up || !is_its_own;
                if before > place.1 && !may_be_late {
                    self.breaks(
                        now,
                        format!("Comet {comet} takes {place:?} of key {key} after offset {before}"),
                    );
                }
            }
            Some(Taken::Unknown) => self.figures.repeats += 1,
            Some(Taken::Known { job, life, at }) => {
                self.figures.repeats += 1;
                let is_committed = begun.is_committed;
                if begun.at > at && (is_committed || !self.gave_back.contains(&(job, life))) {
                    self.breaks(
                        now,
                        format!(
                            "Comet {comet} takes {place:?} again, and job {job} in its life {life} knew at {:.3} s that it has it (committed: {is_committed})",
                            at.as_secs_f64()
                        ),
                    );
                }
            }
        }
    }

    /// Kafka takes a commit.
    pub fn committed(
        &mut self,
        now: Duration,
        partition: PartitionId,
        offset: i64,
        metadata: &str,
    ) {
        let map = match offset_map::decode(offset, metadata) {
            Ok(map) => map,
            Err(why) => return self.breaks(now, format!("a commit can't be read back: {why}")),
        };
        let claimed = |at: i64| is_claimed(at, offset, &map);
        let due = self.due.range(((partition, 0), Due::At(0))..);
        let due = due.take_while(|(place, _)| place.0 == partition);
        let is_known = |place: &Place, due: &Due| match due {
            Due::At(comet) => map
                .missing
                .get(&name(*comet))
                .is_some_and(|missing| missing.contains(place.1)),
            Due::Letter => false,
        };
        let mut wrong = due.filter(|(place, due)| claimed(place.1) && !is_known(place, due));
        let wrong = wrong.next().map(|(place, due)| {
            format!("{place:?} is committed (offset {offset}), and not there: {due:?}. {map:?}")
        });
        if let Some(wrong) = wrong {
            self.breaks(now, wrong);
        }
        self.committed.insert(partition, (offset, map));
    }

    /// Whether all is where it should be.
    pub fn is_done(&self) -> bool {
        self.due.is_empty()
    }

    pub fn end(&mut self, now: Duration) {
        if let Some((place, due)) = self.due.first() {
            self.breaks(
                now,
                format!("all is well for minutes, and {place:?} isn't there: {due:?}"),
            );
        }
    }

    /// Looks whether somebody waited for what was no fault of theirs: a record at a Comet for longer than `limit`, though
    /// nothing was wrong with that Comet, Kafka and the jobs since `since`.
    pub fn nobody_waits(
        &mut self,
        now: Duration,
        limit: Duration,
        well_since: impl Fn(usize) -> Option<Duration>,
    ) {
        for (place, due) in &self.due {
            let Due::At(comet) = *due else {
                continue;
            };
            let record = &self.written[place];
            let at = record.at;
            let is_given_up =
                self.refused.contains(&(comet, *place)) || self.skipped.contains(place);
            if is_given_up || self.crashing.contains(place) {
                continue;
            }
            if let Some(since) = well_since(comet)
                && now > at.max(since) + limit
            {
                return self.breaks(now, format!(
                    "Comet {comet} waits for {place:?} since {:.1} s, though it, the jobs and Kafka are well since {:.1} s",
                    at.as_secs_f64(),
                    since.as_secs_f64()
                ));
            }
        }
    }
}

/// The Comet's name, which stands for its address.
pub fn name(comet: usize) -> String {
    format!("comet-{comet}:1")
}

/// Whether a commit says that a record needn't be read for all again.
fn is_claimed(at: i64, offset: i64, map: &Map) -> bool {
    at < offset || map.finished.iter().any(|run| run.contains(&at))
}
