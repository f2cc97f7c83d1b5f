//! When to commit, and what. One commit is on its way at a time, with all that changed since the last one.

use std::time::{Duration, Instant};

use super::Group;
use super::effect::Effect;
use super::notice::Notice;
use super::partition::{Partition, Phase};
use crate::message::membership::Command;
use crate::message::{Commit, CommitOutcome, Failure, PartitionId, offset_map};

/// The longest time between two commits. After a crash, what was finished since the last one may be sent again.
pub const COMMIT_EVERY: Duration = Duration::from_secs(1);
const _: () = assert!(
    // The group renews the lease on the same tick.
    3 * COMMIT_EVERY.as_millis() <= crate::base::lease::SHORTEST.as_millis(),
    "on a busy machine the lease would run out before it is renewed"
);

/// After this many finished messages the next commit is due at once.
const COMMIT_EVERY_MESSAGES: u64 = 5_000;

/// How often the log says that commits fail: at first, and in the long run.
pub(super) const SAY_FIRST: Duration = Duration::from_secs(10);
pub(super) const SAY_LAST: Duration = Duration::from_secs(600);

impl Group {
    pub(super) fn commit_if_many(&mut self) {
        if self.uncommitted >= COMMIT_EVERY_MESSAGES {
            self.commit();
        }
    }

    /// Commits what changed, one commit at a time.
    pub(super) fn commit(&mut self) {
        if self.commit_in_flight {
            return;
        }
        self.uncommitted = 0;
        let changed = self.what_to_commit();
        if !changed.is_empty() {
            self.commit_in_flight = true;
            let commit = Command::Commit(changed);
            self.effects.push(Effect::Membership(commit));
        }
    }

    /// Notes what Kafka has now.
    pub(super) fn note_committed(&mut self, commits: Vec<Commit>) {
        for commit in commits {
            if let Some(owned) = self.partitions.get_mut(&commit.partition) {
                owned.committed = Some(commit);
            }
        }
    }

    /// What is not committed yet, of all partitions. Suspect partitions are committed in any case: Kafka's answer says whether
    /// they are ours. But not those that krafka lost: Kafka would take the commit in the name of a member that no longer has them.
    pub(super) fn what_to_commit(&mut self) -> Vec<Commit> {
        let mut commits = Vec::new();
        let partitions: Vec<PartitionId> = self.partitions.keys().copied().collect();
        for partition in partitions {
            let Some(commit) = self.commit_of(partition) else {
                continue;
            };
            let owned = &self.partitions[&partition];
            let is_due = match owned.phase {
                Phase::Suspect { lost, .. } => !lost,
                Phase::Consuming | Phase::Draining { .. } => {
                    owned.committed.as_ref() != Some(&commit)
                }
            };
            if is_due {
                commits.push(commit);
            }
        }
        commits
    }

    /// Makes the commit of a partition, if it is ours. Says so if its map has no room for all, or has room again.
    pub(super) fn commit_of(&mut self, partition: PartitionId) -> Option<Commit> {
        let owned = self.partitions.get_mut(&partition)?;
        let (commit, left_out) = owned.commit(partition, &self.comets, self.map_len);
        let said = map_full(owned, &commit, left_out, self.map_len);
        self.effects.say(said);
        Some(commit)
    }

    /// Takes Kafka's answer to the commit in flight.
    pub(super) fn committed(&mut self, outcome: CommitOutcome, now: Instant) {
        self.commit_in_flight = false;
        let proves_nothing = std::mem::take(&mut self.commit_is_older);
        let taken = !outcome.taken.is_empty();
        self.note_committed(outcome.taken);
        match outcome.failed {
            Some(Failure::NotMember(why)) => return self.is_cut_off(why, now),
            Some(Failure::OldEpoch(why) | Failure::Other(why)) => self.commit_failed(why, now),
            None => self.commit_worked(now),
        }
        if proves_nothing {
            self.commit();
        } else if taken {
            self.is_member();
        }
    }

    pub(super) fn commit_failed(&mut self, why: String, now: Instant) {
        if self.commit_outage.failed(now) {
            self.effects.say(Notice::CommitsFail { why });
        }
    }

    fn commit_worked(&mut self, now: Instant) {
        if let Some(lasted) = self.commit_outage.worked(now) {
            self.effects.say(Notice::CommitsWork { lasted });
        }
    }

    /// Limits the offset maps to `map_len` bytes: the broker refuses longer ones.
    pub(super) fn shorten_maps(&mut self, map_len: usize) {
        if self.map_len == offset_map::MAX_LEN {
            self.effects.say(Notice::ShorterMaps { map_len });
        }
        self.map_len = self.map_len.min(map_len);
    }
}

/// Notes whether the map of a commit has room for all that is finished. Returns what to say where that changed. A map that
/// was full has room again when it is half empty: a state that comes and goes each second is said once.
fn map_full(
    owned: &mut Partition,
    commit: &Commit,
    left_out: usize,
    map_len: usize,
) -> Option<Notice> {
    let partition = commit.partition;
    if left_out > 0 && !owned.map_is_full {
        owned.map_is_full = true;
        let offset = commit.offset;
        Some(Notice::MapFull {
            partition,
            offset,
            left_out,
        })
    } else if left_out == 0 && owned.map_is_full && commit.metadata.len() <= map_len / 2 {
        owned.map_is_full = false;
        Some(Notice::MapFits { partition })
    } else {
        None
    }
}
