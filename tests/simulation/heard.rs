//! What each life of a job heard from each Comet, and what it may do after that. It must not know more than what was answered:
//! threads that stand still may hear it later, and not in this order.

use std::collections::BTreeMap;
use std::time::Duration;

use super::comet::INVALID_ARGUMENT;
use super::job::STANDS_STILL;
use super::kafka::Member;

/// A Comet that took nothing for this long may be detached, if another one delivers for as long.
const DETACH_AFTER: Duration = Duration::from_secs(3);
/// A Comet delivers for this long after a message that it took.
const DELIVERS_FOR: Duration = Duration::from_secs(2);
/// After this many refusals in a row it gets one message a [`TURN`].
const REFUSALS: u32 = 100;
const TURN: Duration = Duration::from_secs(1);
/// Where a Comet took nothing for this long, a message is given up in its turn.
const TAKES_NOTHING: Duration = Duration::from_secs(30);
/// The job counts whole milliseconds.
const BLUR: Duration = Duration::from_millis(10);

#[derive(Default)]
struct Heard {
    /// When it took the first message after its last outage, and the last one.
    took: Option<(Duration, Duration)>,
    /// When it failed first since it took something.
    failed: Option<Duration>,
    /// Refusals since it took something, but for those that a thread may have heard before that.
    refused: u32,
    /// Since when it refuses everything, which each thread knows a moment later.
    refuses_since: Option<Duration>,
    called: Option<Duration>,
    gave_up: Option<Duration>,
}

/// What a Comet answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    Took,
    Refused,
    Failed,
}

impl From<Result<(), i32>> for Said {
    fn from(answer: Result<(), i32>) -> Self {
        match answer {
            Ok(()) => Self::Took,
            Err(INVALID_ARGUMENT) => Self::Refused,
            Err(_) => Self::Failed,
        }
    }
}

/// By life and Comet.
#[derive(Default)]
pub struct AllHeard(BTreeMap<(Member, usize), Heard>);

impl AllHeard {
    pub fn answered(&mut self, now: Duration, member: Member, comet: usize, answer: Said) {
        let heard = self.0.entry((member, comet)).or_default();
        match answer {
            Said::Took => {
                let is_outage = |at: Duration| now > at + 2 * STANDS_STILL;
                let since = match heard.took {
                    Some((since, _)) if !heard.failed.is_some_and(is_outage) => since,
                    _ => now,
                };
                heard.took = Some((since, now));
                heard.failed = None;
                heard.refused = 0;
                heard.refuses_since = None;
            }
            Said::Refused => {
                let is_after = |(_, last): (Duration, Duration)| now > last + STANDS_STILL;
                heard.refused += u32::from(heard.took.is_none_or(is_after));
                if heard.refused >= REFUSALS {
                    heard.refuses_since.get_or_insert(now);
                }
            }
            Said::Failed => {
                heard.failed.get_or_insert(now);
                // One that is down is tried in another way.
                heard.refuses_since = None;
            }
        }
    }

    /// A job detaches a Comet. When it comes back it is tried, before it is slowed down again.
    pub fn detached(&mut self, member: Member, comet: usize) {
        let heard = self.0.entry((member, comet)).or_default();
        heard.refused = 0;
        heard.refuses_since = None;
    }

    /// Whether a job may detach a Comet that holds up nothing: whether another one delivers for long enough.
    pub fn may_detach(&self, now: Duration, member: Member, comet: usize) -> bool {
        let all = self.0.range((member, 0)..=(member, usize::MAX));
        let mut others = all.filter(|((_, other), _)| *other != comet);
        others.any(|(_, other)| {
            other.took.is_some_and(|(since, last)| {
                since + DETACH_AFTER <= now + BLUR
                    && now <= last + DELIVERS_FOR + STANDS_STILL + BLUR
            })
        })
    }

    /// A job calls a Comet. Returns false where that one refuses everything, and it wasn't its turn.
    pub fn may_call(&mut self, now: Duration, member: Member, comet: usize) -> bool {
        let heard = self.0.entry((member, comet)).or_default();
        let before = heard.called.replace(now);
        let is_slowed = heard
            .refuses_since
            .is_some_and(|since| now > since + STANDS_STILL + TURN);
        !is_slowed || before.is_none_or(|before| now + BLUR >= before + TURN)
    }

    /// A job gives up a message that fails at a Comet. Returns false where that one takes nothing, and gave one up just before.
    pub fn may_give_up(&mut self, now: Duration, member: Member, comet: usize) -> bool {
        let heard = self.0.entry((member, comet)).or_default();
        let before = heard.gave_up.replace(now);
        let takes = heard
            .took
            .is_some_and(|(_, last)| now < last + TAKES_NOTHING);
        takes || before.is_none_or(|before| now + BLUR >= before + TURN)
    }
}
