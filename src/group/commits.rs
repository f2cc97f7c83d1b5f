//! When to commit, and what: one commit is on its way at a time, with all that changed since the last one.

use std::time::Duration;

use super::Group;
use super::membership::{Command, Commit};
use super::partition::Phase;

/// Between two commits, at most. What was finished since the last one may be sent again after a crash.
pub(super) const COMMIT_EVERY: Duration = Duration::from_secs(1);

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

    /// What is not committed yet, of all partitions.
    pub(super) fn to_commit(&self) -> Vec<Commit> {
        self.partitions
            .iter()
            .map(|(&partition, owned)| (owned, owned.commit(partition)))
            .filter(|(owned, commit)| {
                let ours = !matches!(owned.phase, Phase::Doubtful { .. });
                ours && owned.committed.as_ref() != Some(commit)
            })
            .map(|(_, commit)| commit)
            .collect()
    }

    pub(super) fn committed(&mut self, result: Result<Vec<Commit>, String>) {
        self.commit_in_flight = false;
        match result {
            Ok(commits) => self.note_committed(commits),
            Err(why) => log::warn!("committing offsets failed: {why}; trying again"),
        }
    }
}
