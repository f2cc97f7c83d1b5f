//! Knows the promises, and what each Comet really took. It must not know what a job thinks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use crate::message::call::Target;
use crate::message::{CometId, offset_map};

use super::plan::LASTS;

/// A record's place: partition and offset.
pub type Place = (i32, i64);

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

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    pub lives: u64,
    pub lived: Duration,
    pub faults: u64,
    pub records: u64,
    pub deliveries: u64,
    pub repeats: u64,
    pub letters: u64,
    pub detached: u64,
    pub sent_again: u64,
}

impl Figures {
    pub fn add(&mut self, other: &Self) {
        self.lives += other.lives;
        self.lived += other.lived;
        self.faults += other.faults;
        self.records += other.records;
        self.deliveries += other.deliveries;
        self.repeats += other.repeats;
        self.letters += other.letters;
        self.detached += other.detached;
        self.sent_again += other.sent_again;
    }

    pub fn minutes(&self) -> f64 {
        self.lived.as_secs_f64() / 60.0
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} lives, {:.0} minutes, {} faults, {} records, {} deliveries, {} of them again, {} dead letters, {} times detached, \
             {} read again; no promise broken",
            self.lives,
            self.minutes(),
            self.faults,
            self.records,
            self.deliveries,
            self.repeats,
            self.letters,
            self.detached,
            self.sent_again
        )
    }
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
    comets: usize,
    written: BTreeMap<Place, Written>,
    taken: HashMap<(usize, Place), Taken>,
    /// The last record of a key that a Comet took first.
    last: HashMap<(usize, i32, u64), i64>,
    /// The calls of living jobs, by Comet and key.
    calling: HashMap<(usize, u64), Place>,
    letters: BTreeSet<(Place, Option<usize>)>,
    /// When a life ended without its last commit, or a commit was not taken.
    uncommitted: HashMap<(usize, u64), Duration>,
    /// Whether the map has no room for all that is finished.
    is_short: bool,
    pub broken: Option<String>,
}

impl Judge {
    pub fn new(comets: usize, is_short: bool) -> Self {
        Self {
            figures: Figures::default(),
            comets,
            written: BTreeMap::new(),
            taken: HashMap::new(),
            last: HashMap::new(),
            calling: HashMap::new(),
            letters: BTreeSet::new(),
            uncommitted: HashMap::new(),
            is_short,
            broken: None,
        }
    }

    fn breaks(&mut self, now: Duration, what: String) {
        self.broken
            .get_or_insert_with(|| format!("at {:.3} s: {what}", now.as_secs_f64()));
    }

    pub fn written(&mut self, place: Place, record: Written) {
        self.figures.records += 1;
        self.written.insert(place, record);
    }

    fn wants(&self, comet: usize, record: &Written) -> bool {
        match record.target {
            None => false,
            Some(Target::All) => true,
            Some(Target::One(one)) => one == CometId(comet as u32),
        }
    }

    /// A job calls a Comet.
    pub fn calls(&mut self, now: Duration, comet: usize, place: Place) {
        let Some(record) = self.written.get(&place).cloned() else {
            return self.breaks(
                now,
                format!("Comet {comet} is called with {place:?}, which nobody wrote"),
            );
        };
        if !self.wants(comet, &record) {
            self.breaks(
                now,
                format!("Comet {comet} is called with {place:?}, which isn't for it"),
            );
        }
        if let Some(other) = self.calling.insert((comet, record.key), place) {
            let key = record.key;
            self.breaks(
                now,
                format!("Comet {comet} is called with {place:?} of key {key} while a call with {other:?} is in flight"),
            );
        }
    }

    /// A call ended, as far as its caller knows; `caller` is its job and life where that took OK.
    pub fn ended(
        &mut self,
        now: Duration,
        comet: usize,
        place: Place,
        ok_for: Option<(usize, u64)>,
    ) {
        let key = self.written[&place].key;
        self.calling.remove(&(comet, key));
        if let Some((job, life)) = ok_for {
            let known = Taken::Known { job, life, at: now };
            self.taken.insert((comet, place), known);
        }
    }

    /// The calls of a job that is gone no longer count as in flight.
    pub fn forget(&mut self, comet: usize, place: Place) {
        let key = self.written[&place].key;
        self.calling.remove(&(comet, key));
    }

    /// A life ended without a last commit, or something of it may not be committed.
    pub fn may_repeat(&mut self, now: Duration, job: usize, life: u64) {
        self.uncommitted.insert((job, life), now);
    }

    /// A Comet takes a record.
    pub fn takes(&mut self, now: Duration, comet: usize, place: Place) {
        self.figures.deliveries += 1;
        let key = self.written[&place].key;
        match self.taken.insert((comet, place), Taken::Unknown) {
            None => {
                let last = self.last.entry((comet, place.0, key)).or_insert(-1);
                let before = std::mem::replace(last, place.1);
                if before > place.1 {
                    self.breaks(
                        now,
                        format!("Comet {comet} takes {place:?} of key {key} after offset {before}"),
                    );
                }
            }
            Some(Taken::Unknown) => self.figures.repeats += 1,
            Some(Taken::Known { job, life, at }) => {
                self.figures.repeats += 1;
                // What was finished within the last second before that may not be committed.
                let until = self.uncommitted.get(&(job, life));
                let is_excused = until.is_some_and(|until| at + Duration::from_secs(5) >= *until);
                if !is_excused && !self.is_short {
                    self.breaks(
                        now,
                        format!(
                            "Comet {comet} takes {place:?} again, and job {job} in its life {life} knew at {:.3} s that it has it",
                            at.as_secs_f64()
                        ),
                    );
                }
            }
        }
    }

    pub fn letter(&mut self, now: Duration, place: Place, at: Option<CometId>) {
        self.figures.letters += 1;
        self.letters
            .insert((place, at.map(|comet| comet.0 as usize)));
        let record = &self.written[&place];
        let is_bad = record.target.is_none() || record.refused_by.is_some();
        // Where a Comet fails everything, a few messages are given up.
        if !is_bad && now < LASTS && self.figures.faults == 0 {
            self.breaks(
                now,
                format!("{place:?} is a dead letter, and nothing is wrong with it"),
            );
        }
    }

    fn has(&self, comet: usize, place: Place) -> bool {
        self.taken.contains_key(&(comet, place))
            || self.letters.contains(&(place, None))
            || self.letters.contains(&(place, Some(comet)))
    }

    /// Kafka takes a commit.
    pub fn committed(&mut self, now: Duration, partition: i32, offset: i64, metadata: &str) {
        let map = match offset_map::decode(offset, metadata) {
            Ok(map) => map,
            Err(why) => return self.breaks(now, format!("a commit can't be read back: {why}")),
        };
        let claimed = |at: i64| at < offset || map.finished.iter().any(|run| run.contains(&at));
        let records = self.written.range((partition, 0)..(partition, i64::MAX));
        let mut wrong = None;
        for (place, record) in records.filter(|(place, _)| claimed(place.1)) {
            if record.target.is_none() {
                if !self.letters.contains(&(*place, None)) {
                    wrong.get_or_insert(format!("{place:?} is committed, and has no dead letter"));
                }
                continue;
            }
            for comet in (0..self.comets).filter(|comet| self.wants(*comet, record)) {
                let missing = map.missing.get(&name(comet));
                if !missing.is_some_and(|missing| missing.contains(place.1))
                    && !self.has(comet, *place)
                {
                    wrong.get_or_insert(format!(
                        "{place:?} is committed (offset {offset}), and Comet {comet} doesn't have it: {map:?}"
                    ));
                }
            }
        }
        if let Some(wrong) = wrong {
            self.breaks(now, wrong);
        }
    }

    /// What is due and not there yet, with the time when it was written.
    pub fn due(&self) -> Vec<(usize, Place, Duration)> {
        let mut due = Vec::new();
        for (place, record) in &self.written {
            for comet in (0..self.comets).filter(|comet| self.wants(*comet, record)) {
                if !self.has(comet, *place) {
                    due.push((comet, *place, record.at));
                }
            }
            if record.target.is_none() && !self.letters.contains(&(*place, None)) {
                due.push((usize::MAX, *place, record.at));
            }
        }
        due
    }

    pub fn end(&mut self, now: Duration) {
        if let Some((comet, place, _)) = self.due().first() {
            self.breaks(
                now,
                format!("all is well for minutes, and Comet {comet} doesn't have {place:?}"),
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
        for (comet, place, at) in self.due() {
            if comet == usize::MAX {
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
