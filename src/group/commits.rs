//! When to commit, and what: one commit is on its way at a time, with all that changed since the last one.

use std::time::Duration;

use super::Group;
use super::attempt::{CommitOutcome, Failure};
use super::membership::{Command, Commit};
use super::offset_map;
use super::partition::Phase;
use crate::lease;

/// Between two commits, at most. What was finished since the last one may be sent again after a crash.
pub(super) const COMMIT_EVERY: Duration = Duration::from_secs(1);
const _: () = assert!(
    // The group renews the lease in the same turn.
    3 * COMMIT_EVERY.as_millis() <= lease::SHORTEST.as_millis(),
    "on a busy machine the lease would run out before it is renewed"
);

/// So many messages finished, and the next commit is due at once.
const COMMIT_EVERY_MESSAGES: u64 = 5_000;

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
        let changed = self.to_commit();
        if !changed.is_empty() {
            self.commit_in_flight = self.links.membership.send(Command::Commit(changed)).is_ok();
        }
    }

    pub(super) fn note_committed(&mut self, commits: Vec<Commit>) {
        for commit in commits {
            if let Some(owned) = self.partitions.get_mut(&commit.partition) {
                owned.committed = Some(commit);
            }
        }
    }

    /// What is not committed yet, of all partitions. What is in doubt is committed in any case: Kafka's answer says whether it is
    /// ours. But not what krafka lost: by then Kafka would take it in the name of a member that has it no longer.
    pub(super) fn to_commit(&self) -> Vec<Commit> {
        self.partitions
            .iter()
            .map(|(&partition, owned)| (owned, owned.commit(partition, self.map_len)))
            .filter(|(owned, commit)| match owned.phase {
                Phase::Doubtful { lost, .. } => !lost,
                Phase::Consuming | Phase::Draining { .. } => {
                    owned.committed.as_ref() != Some(commit)
                }
            })
            .map(|(_, commit)| commit)
            .collect()
    }

    pub(super) fn committed(&mut self, outcome: CommitOutcome) {
        self.commit_in_flight = false;
        let proves_nothing = std::mem::take(&mut self.commit_is_older);
        let taken = !outcome.taken.is_empty();
        self.note_committed(outcome.taken);
        match outcome.failed {
            Some(Failure::NotMember(why)) => self.is_cut_off(&why),
            failed => {
                if let Some(Failure::Other(why)) = failed {
                    log::warn!("committing offsets failed: {why}; trying again");
                }
                if proves_nothing {
                    self.commit();
                } else if taken {
                    self.is_member();
                }
            }
        }
    }

    /// The broker refuses longer maps.
    pub(super) fn shorten_maps(&mut self, map_len: usize) {
        if self.map_len == offset_map::MAX_LEN {
            log::warn!(
                "Kafka refused the metadata of a commit as too large (the broker's offset.metadata.max.bytes is below its \
                 default of {}): it gets {map_len} bytes of it from now on. After a crash, more of what was finished behind \
                 a message that is not is sent again",
                offset_map::MAX_LEN
            );
        }
        self.map_len = self.map_len.min(map_len);
    }
}
