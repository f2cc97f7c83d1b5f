//! Comets that missed something of a partition before it was ours, and that aren't in the fleet.
//!
//! They may be about to join: another member knew them before this one, or what lists them hasn't answered since the start. So what they
//! missed is kept for a while, in commits too.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Group;
use super::identity::Verdict;
use super::notice::Notice;
use crate::message::consumer::Control;
use crate::message::fleet::Node;
use crate::message::{CometId, Offsets};

/// What lists Comets says so within this, also where a registry has to be asked again.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// What they missed, by their names.
pub(super) struct Strangers {
    missed: BTreeMap<String, Offsets>,
    since: Instant,
}

impl Strangers {
    pub fn new(missed: BTreeMap<String, Offsets>, since: Instant) -> Self {
        Self { missed, since }
    }

    /// For a commit.
    pub fn named(&self) -> impl Iterator<Item = (String, Offsets)> {
        let all = self.missed.iter();
        all.map(|(name, missed)| (name.clone(), missed.clone()))
    }

    /// Goes on where the log does.
    pub fn follow(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Same | Verdict::Open => {}
            Verdict::Cut { to } => self.forget(to..i64::MAX),
            Verdict::Anew { .. } | Verdict::Unclear { .. } => self.missed.clear(),
            Verdict::Deleted { to } => self.forget(i64::MIN..to),
        }
    }

    fn forget(&mut self, offsets: std::ops::Range<i64>) {
        for missed in self.missed.values_mut() {
            missed.remove(offsets.clone());
        }
        self.missed.retain(|_, missed| !missed.is_empty());
    }

    /// What this Comet missed, which is none any more.
    fn take(&mut self, node: &Node) -> Offsets {
        let own = self.missed.extract_if(.., |name, _| node.is_called(name));
        own.flat_map(|(_, missed)| missed.ranges().collect::<Vec<_>>())
            .collect()
    }
}

impl Group {
    /// A Comet joined: it gets what it missed before.
    pub(super) fn meet(&mut self, comet: CometId, node: &Node, now: Instant) {
        let mut met = Vec::new();
        for (partition, owned) in &mut self.partitions {
            let missed = owned.strangers.take(node);
            if missed.is_empty() {
                continue;
            }
            owned.ledger.misses(comet, &missed);
            met.push(*partition);
        }
        let mut missing = Vec::new();
        for partition in met {
            self.is_behind(partition, comet, now);
            let owned = &self.partitions[&partition];
            missing.push((owned.assignment, owned.ledger.to_send_again(comet)));
        }
        if !missing.is_empty() {
            self.effects.consumer(Control::CatchUp {
                comet,
                missing,
                away: None,
            });
        }
    }

    /// Who hasn't joined by now is gone for good.
    pub(super) fn forget_strangers(&mut self, now: Instant) {
        for (partition, owned) in &mut self.partitions {
            let strangers = &mut owned.strangers;
            if now.saturating_duration_since(strangers.since) < KEPT_FOR {
                continue;
            }
            for (comet, missed) in std::mem::take(&mut strangers.missed) {
                self.effects.say(Notice::NotInFleet {
                    partition: *partition,
                    comet,
                    offsets: missed.count(),
                });
            }
        }
    }
}
