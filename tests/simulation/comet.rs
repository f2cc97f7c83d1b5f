//! The Comets, and the calls on their way to them. They must not know why a job calls.

use std::collections::BTreeMap;
use std::time::Duration;

use super::judge::{Begun, Place};
use super::kafka::Member;
use super::world::{What, World};

/// One Comet.
#[derive(Default)]
pub struct Comet {
    pub down: u32,
    pub hangs: u32,
    pub slow: Option<Duration>,
    pub fails: Option<i32>,
    pub refuses: u32,
    /// Connections on which everything fails, by job and worker.
    pub bad_connections: Vec<(usize, usize)>,
    /// Calls that it has and hasn't taken.
    parked: Vec<u64>,
    /// When its last fault ended; `None` while there is one.
    pub well_since: Option<Duration>,
    /// When calls were unclear for long, each time: from, and until, where that is over.
    pub unclear: Vec<(Duration, Option<Duration>)>,
    /// When it last refused everything.
    pub refused_until: Option<Duration>,
}

impl Comet {
    pub fn is_unclear(&self) -> bool {
        self.hangs > 0 || self.slow.is_some() || self.fails.is_some()
    }

    pub fn is_well(&self) -> bool {
        let is_bad = self.down > 0 || self.refuses > 0 || !self.bad_connections.is_empty();
        !is_bad && !self.is_unclear()
    }

    /// Notes how it is now.
    pub fn changed(&mut self, now: Duration) {
        let was_well_since = self.well_since;
        self.well_since = match (self.is_well(), self.well_since) {
            (true, None) => Some(now),
            (true, since) => since,
            (false, _) => None,
        };
        let is_unclear = self.is_unclear() || !self.bad_connections.is_empty();
        // A message that waits to be tried again doesn't see that it was well in between.
        let was_seen_well = was_well_since.is_some_and(|since| now > since + LONGEST_WAIT);
        match self.unclear.last_mut() {
            Some((_, until @ None)) if !is_unclear => *until = Some(now),
            Some((_, None)) => {}
            Some((_, until)) if is_unclear && !was_seen_well => *until = None,
            Some((_, until)) if is_unclear && until.is_some_and(|end| now < end + TRIED_AGAIN) => {
                *until = None;
            }
            _ if is_unclear => self.unclear.push((now, None)),
            _ => {}
        }
        if self.refuses > 0 {
            self.refused_until = Some(Duration::MAX);
        } else if self.refused_until == Some(Duration::MAX) {
            self.refused_until = Some(now);
        }
    }

    /// Whether a good message that was written at `written` may be a dead letter for it: it was sick for long, or refused all.
    pub fn may_lack(&self, written: Duration, now: Duration) -> bool {
        let is_long = |(from, until): &(Duration, Option<Duration>)| {
            let until = until.unwrap_or(now);
            until >= written && until >= *from + SICK
        };
        self.refused_until.is_some_and(|until| until >= written) || self.unclear.iter().any(is_long)
    }
}

/// A call, until nobody waits for it and the Comet is done with it.
pub struct Call {
    pub job: usize,
    pub life: u64,
    pub worker: usize,
    pub comet: usize,
    /// The worker's own name for it.
    pub id: usize,
    pub place: Place,
    pub begun: Begun,
    /// Whether the caller waits for the answer.
    pub waits: bool,
}

/// All calls that are not over.
#[derive(Default)]
pub struct Calls {
    pub calls: BTreeMap<u64, Call>,
    next: u64,
}

pub const UNAVAILABLE: i32 = 14;
/// Stands for UNAVAILABLE where the connection broke under the call.
pub const BROKE: i32 = -14;
const DEADLINE_EXCEEDED: i32 = 4;
pub const INVALID_ARGUMENT: i32 = 3;
/// The deadline of a first call.
const DEADLINE: Duration = Duration::from_secs(5);
const INTERNAL: i32 = 13;
/// A message that fails waits for no longer than this before it is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(16);
/// A Comet that is sick for less than about a minute costs nobody a message.
const SICK: Duration = Duration::from_secs(55);
/// A message that failed for long may not be tried again for so long: it doesn't see that the Comet was well meanwhile.
const TRIED_AGAIN: Duration = Duration::from_secs(25);

impl World<'_> {
    pub fn call(&mut self, call: Call, doublings: u32) {
        let id = self.calls.next;
        let member = (call.job, call.life);
        self.judge
            .calls(self.now, member, call.comet, call.place, id);
        self.calls.next += 1;
        self.calls.calls.insert(id, call);
        let way = self.some_micros(3_000);
        self.later(way, What::Arrives(id));
        self.later(DEADLINE * (1 << doublings), What::Deadline(id));
    }

    /// A call reaches its Comet.
    pub fn arrives(&mut self, id: u64) {
        let Some(call) = self.calls.calls.get(&id) else {
            return;
        };
        let (comet, place) = (call.comet, call.place);
        let connection = (call.job, call.worker);
        let refused = self.refused_by(place) == Some(comet) || self.comets[comet].refuses > 0;
        let of = &mut self.comets[comet];
        if of.down > 0 {
            self.answer(id, Err(UNAVAILABLE));
            self.calls.calls.remove(&id);
        } else if of.hangs > 0 {
            of.parked.push(id);
        } else if of.bad_connections.contains(&connection) {
            self.answer(id, Err(INTERNAL));
            self.calls.calls.remove(&id);
        } else if let Some(code) = of.fails {
            self.answer(id, Err(code));
            self.calls.calls.remove(&id);
        } else if refused {
            self.answer(id, Err(INVALID_ARGUMENT));
            self.calls.calls.remove(&id);
        } else if let Some(slow) = of.slow {
            of.parked.push(id);
            self.later(slow, What::Takes(id));
        } else {
            self.takes(id);
        }
    }

    /// A Comet takes a call, whether or not somebody still waits for it.
    pub fn takes(&mut self, id: u64) {
        let Some(call) = self.calls.calls.get(&id) else {
            return;
        };
        let (comet, place, begun) = (call.comet, call.place, call.begun);
        if self.crashing.contains(&place) {
            return self.crash(comet);
        }
        self.comets[comet].parked.retain(|parked| *parked != id);
        if self.refused_by(place) == Some(comet) {
            self.answer(id, Err(INVALID_ARGUMENT));
        } else {
            self.judge.takes(self.now, comet, place, begun);
            self.answer(id, Ok(()));
        }
        self.calls.calls.remove(&id);
    }

    /// Calls of a job no longer count as in flight. `which` are those that it gave back, or all.
    pub fn forget(&mut self, member: Member, which: impl Fn(Place) -> bool) {
        for (&id, call) in &self.calls.calls {
            if (call.job, call.life) == member && which(call.place) {
                self.judge.forget(call.comet, call.place, id);
            }
        }
    }

    pub fn deadline(&mut self, id: u64) {
        self.answer(id, Err(DEADLINE_EXCEEDED));
    }

    /// Answers the caller, if it still waits.
    fn answer(&mut self, id: u64, answer: Result<(), i32>) {
        let way = self.some_micros(2_000);
        if let Some(call) = self.calls.calls.get_mut(&id)
            && std::mem::take(&mut call.waits)
        {
            let answered = What::Answered {
                job: call.job,
                life: call.life,
                worker: call.worker,
                comet: call.comet,
                id: call.id,
                place: call.place,
                call: id,
                taken: call.begun.taken,
                answer,
            };
            self.later(way, answered);
        }
    }

    /// Cuts the Comet's connections. Each call is taken before, or is not.
    pub fn cut(&mut self, comet: usize) {
        let calls = self.calls.calls.iter();
        let cut: Vec<u64> = calls
            .filter(|(_, call)| call.comet == comet)
            .map(|(id, _)| *id)
            .collect();
        for id in cut {
            let (place, begun) = (self.calls.calls[&id].place, self.calls.calls[&id].begun);
            let may_take = self.refused_by(place) != Some(comet) && !self.crashing.contains(&place);
            if self.rng.bool() && may_take {
                self.judge.takes(self.now, comet, place, begun);
            }
            self.answer(id, Err(BROKE));
            self.calls.calls.remove(&id);
        }
        self.comets[comet].parked.clear();
    }

    /// A Comet crashes, and is started again.
    fn crash(&mut self, comet: usize) {
        self.comets[comet].down += 1;
        self.comets[comet].changed(self.now);
        self.cut(comet);
        let wait = Duration::from_millis(self.rng.u64(300..3_000));
        self.later(wait, What::Restarts(comet));
    }

    pub fn restarts(&mut self, comet: usize) {
        self.comets[comet].down -= 1;
        self.comets[comet].changed(self.now);
    }

    /// A Comet that hung takes what waits.
    pub fn goes_on(&mut self, comet: usize) {
        for id in std::mem::take(&mut self.comets[comet].parked) {
            self.takes(id);
        }
    }

    /// What a probe is answered with, if it is.
    pub fn probed(&self, comet: usize, connection: (usize, usize)) -> Option<Result<(), i32>> {
        let of = &self.comets[comet];
        if of.bad_connections.contains(&connection) {
            return Some(Err(INTERNAL));
        }
        match (of.down > 0, of.hangs > 0) {
            (true, _) => Some(Err(UNAVAILABLE)),
            (false, true) => None,
            (false, false) => Some(Ok(())),
        }
    }
}
