//! When a process was through with a message, as far as it could know.

use super::super::Evidence;
use super::super::fleet::SEEN;
use super::{Facts, Repeat};
use crate::timeline::{Micros, SECOND, Scope};

/// How long a call may take, and a little.
pub const CALL: Micros = 6 * SECOND;

/// How long the answer that a Comet wrote down may be on its way to its job.
const ON_ITS_WAY: Micros = 2 * SECOND;

/// How long after its repair a Comet, or the network, may still pass on calls that the job has given up.
const LEFT_OVER: Micros = 3 * SECOND;

impl Facts {
    /// When nothing was left to do for the message that came again, in the process from which it came before: its Comet had
    /// it, and each other one had it or was behind. `Micros::MAX` where that never came.
    pub fn finished(&self, evidence: &Evidence<'_>, repeat: &Repeat) -> Micros {
        let stream = self.messages[repeat.message].stream;
        let others = (0..evidence.records.len())
            .filter(|comet| *comet != repeat.comet && evidence.streams.reaches(stream, *comet))
            .map(|comet| self.settled(evidence, repeat, comet));
        others.max().unwrap_or(0).max(repeat.before.0)
    }

    /// When the process from which it came before no longer waited for another Comet with it.
    fn settled(&self, evidence: &Evidence<'_>, repeat: &Repeat, other: usize) -> Micros {
        let (before, life) = repeat.before;
        let partition = self.messages[repeat.message].partition;
        let is_behind = |comet| {
            let mut of = self.behind.iter().filter(|b| b.life == life);
            of.any(|b| {
                let time = b.from..=b.until(partition);
                b.comet == comet && b.is_in(partition) && time.contains(&before)
            })
        };
        let is_behind_at_once = is_behind(other);
        let behind = self
            .behind
            .iter()
            .filter(|b| (b.life, b.comet) == (life, other) && b.is_in(partition));
        let detached = behind
            .filter(|b| b.until(partition) >= before)
            .map(|b| b.from.max(before));
        // It was read again for this Comet alone, after another process had brought it to the other one.
        let is_again = is_behind(repeat.comet) && !is_behind_at_once;
        let taken = self.taken(repeat.message, other).filter_map(|(at, by)| {
            if by == life {
                Some(self.heard(evidence, at, life, other))
            } else {
                (is_again && at <= before).then_some(before)
            }
        });
        // Nobody waits for one that left, when its calls are over.
        let outs = self.outs.of(other).iter();
        let left = outs
            .filter(|(_, back)| *back >= before)
            .map(|(left, _)| left.saturating_add(SEEN + CALL).max(before));
        taken
            .chain(detached)
            .chain(left)
            .min()
            .unwrap_or(Micros::MAX)
    }

    /// Each time that a Comet took a message, and from whom.
    fn taken(&self, message: usize, comet: usize) -> impl Iterator<Item = (Micros, usize)> {
        let first = self.messages[message].at[comet];
        let again = self.repeats_of.get(&message).into_iter().flatten();
        let again = again.map(|place| &self.repeats[*place]);
        let again = again.filter(move |r| r.comet == comet).map(|r| r.again);
        let first = (first.first < Micros::MAX).then_some((first.first, first.life));
        first.into_iter().chain(again)
    }

    /// When a process knew at the latest what a Comet took at `at`: where the answer may be lost, it asks again when it can.
    fn heard(&self, evidence: &Evidence<'_>, at: Micros, life: usize, comet: usize) -> Micros {
        let heard = answer_lost(evidence, at, life, comet);
        heard.map_or(at, |until| until.saturating_add(CALL))
    }
}

/// Until when there was trouble between a process and a Comet, if any of it may have kept the answer of a call that the
/// Comet took at `at`.
pub fn answer_lost(
    evidence: &Evidence<'_>,
    at: Micros,
    life: usize,
    comet: usize,
) -> Option<Micros> {
    let slot = evidence.lives.get(life)?.slot;
    let is_theirs = |scope| match scope {
        Scope::Comet(c) => c == comet,
        Scope::CometOf { comet: c, slot: s } => (c, s) == (comet, slot),
        _ => false,
    };
    let (since, until) = (at.saturating_sub(LEFT_OVER), at + ON_ITS_WAY);
    let windows = evidence.timeline.windows.iter();
    windows
        .filter(|w| w.touches(is_theirs))
        .map(|w| (w.from, w.to.saturating_add(w.echo)))
        .filter(|(from, to)| *from <= until && *to >= since)
        .map(|(_, to)| to)
        .max()
}
