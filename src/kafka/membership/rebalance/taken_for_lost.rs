//! A living member that krafka takes for lost.
//!
//! # A fault of krafka 0.28.1
//!
//! krafka's heartbeats wait behind its JoinGroup on one connection. Kafka answers them after the join, and says that their
//! generation is old. krafka then takes its living member for lost, and joins under a new member id.
//!
//! - One sees it as `on_partitions_lost` in a rebalance, while Kafka still takes a commit under the old member id.
//! - Once krafka's heartbeats don't wait for a join, delete [`Listener::rejoin_if_it_was_lost`] and the name that
//!   `membership.rs` makes up for a member without `--group-instance-id`. The parting commit may stay: a member can also be
//!   lost in earnest, and Kafka then refuses it. docs/decisions/static-members.md and parting-commit.md say more.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use krafka::consumer::{Consumer, TopicPartition};

use super::super::committer::PARTING;
use super::super::rejoin::rejoin;
use super::{Listener, lock};
use crate::message::group::Event;
use crate::message::{Commit, CommitOutcome, Failure};
use crate::settings::GroupProtocol;

impl Listener {
    /// Tells the group that partitions are lost, and makes the parting commit.
    pub(super) async fn lose(&self, partitions: &[TopicPartition]) {
        self.lost.store(true, Ordering::Relaxed);
        let partitions = self.ours(partitions);
        let partitions = lock(&self.assignments).end(&partitions);
        let commits = self.ask(|reply| Event::Lost { partitions, reply });
        let Some(commits) = commits.await else { return };
        let CommitOutcome { taken, failed, .. } = self.commit_as_before(&commits).await;
        if !taken.is_empty() {
            let _ = self.events.send(Event::PartingCommit(taken));
        }
        if let Some(failure) = failed {
            let why = failure.why();
            log::info!("what was finished of them since the last commit may be sent again: {why}");
        }
    }

    /// The id of the member that it was last.
    pub fn last_member_id(&self) -> Option<String> {
        let member = lock(&self.member);
        member.as_ref().map(|member| member.member_id().to_owned())
    }

    /// Commits as the member that had the lost partitions. Kafka may still know it. If it doesn't, it refuses the commit.
    async fn commit_as_before(&self, commits: &[Commit]) -> CommitOutcome {
        let member = lock(&self.member).clone();
        match member {
            Some(member) => self.commit_as(&member, commits, PARTING).await,
            None => {
                let why = "it was a member never before".into();
                CommitOutcome::failed(Failure::Other(why))
            }
        }
    }

    /// Joins once more after a loss. The member came back without a rebalance, and what it was about to release when it was
    /// lost waits for one.
    pub(super) fn rejoin_if_it_was_lost(&self, consumer: &Arc<Consumer>) {
        if self.lost.swap(false, Ordering::Relaxed) && self.protocol == GroupProtocol::Classic {
            let (consumer, topics) = (consumer.clone(), self.topics.clone());
            tokio::spawn(async move { rejoin(&consumer, &topics).await });
        }
    }
}
