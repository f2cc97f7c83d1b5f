//! Commits offsets, on a connection of its own to the group's coordinator.
//!
//! # A fault of krafka 0.28.1
//!
//! krafka sends a commit on the connection on which the member's JoinGroup may be waiting, and Kafka reads a connection's
//! next request only after it has answered the one before. A join waits until the session of a killed member is over. For
//! ten seconds nothing could be committed, and after a crash it would be sent again. Kafka itself takes commits during a join.
//!
//! - One sees it where a member is killed: krafka's commits of the others end only after its session.
//! - Once krafka commits on another connection than it joins on, delete this file and `attempt.rs`, and call krafka's commit.
//!   Look first whether it says of each partition what failed: `attempt.rs` decides by that.
//!
//! # How it commits
//!
//! A broker closes a connection that is idle for long, a firewall forgets it, and a group's coordinator moves. So a
//! commit is retried: at once on a fresh connection where the kept one is dead, and with back-off where another broker
//! is the coordinator by now.

use std::time::{Duration, Instant};

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, OffsetCommitRequest, OffsetCommitResponse,
};
use krafka::consumer::ConsumerGroupMetadata;
use tokio::sync::Mutex;

use super::attempt::{Attempt, Next};
use crate::base::backoff::{Backoff, grows};
use crate::kafka::Cluster;
use crate::kafka::acl;
use crate::kafka::ask::{Connection, address_of, text};
use crate::kafka::bootstrap::Bootstrap;
use crate::message::{Commit, CommitOutcome, Topics, by_topic};
use crate::settings::{Config, GroupProtocol};

/// For how long a commit is tried, and whether it is retried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// Limit that includes finding the coordinator and connecting to it.
    pub(super) within: Duration,
    /// Whether a broker that can't be reached is retried within that time.
    keep_on: bool,
}

/// The regular commit: the next one comes within a second.
pub(super) const ROUTINE: Effort = Effort {
    within: Duration::from_secs(5),
    keep_on: false,
};

/// The last commit of revoked partitions. A stop ends within its own time, however long this takes.
pub(super) const LAST: Effort = Effort {
    within: Duration::from_secs(5),
    keep_on: true,
};

/// The parting commit of lost partitions: joining anew waits for it.
pub(super) const PARTING: Effort = Effort {
    within: Duration::from_secs(1),
    keep_on: true,
};

/// Waits between two tries.
const AGAIN_FIRST: Duration = Duration::from_millis(50);
const AGAIN_MOST: Duration = Duration::from_millis(500);
const _: () = grows(AGAIN_FIRST, AGAIN_MOST);

/// A connection that was idle for this long may be dead without a sign. If no answer comes on it within
/// [`FORGOTTEN_AFTER`], the commit is sent again on a fresh one.
pub const IDLE: Duration = Duration::from_secs(5);
pub const FORGOTTEN_AFTER: Duration = Duration::from_millis(500);
const _: () = assert!(
    FORGOTTEN_AFTER.as_millis() < PARTING.within.as_millis(),
    "no time would be left for the fresh connection"
);

/// Protocol versions: the first that know static members (Kafka 2.3), and member epochs (KIP-848). Kafka 4 takes all of them.
const OFFSET_COMMIT: i16 = 7;
const OFFSET_COMMIT_BY_EPOCH: i16 = 9;
const FIND_COORDINATOR: i16 = 2;

pub(super) struct Committer {
    cluster: Cluster,
    bootstrap: Bootstrap,
    group: String,
    topics: Topics,
    version: i16,
    coordinator: Mutex<Option<Kept>>,
}

/// The connection to the coordinator, between two commits.
struct Kept {
    connection: Connection,
    since: Instant,
}

impl Committer {
    pub(super) fn new(cluster: Cluster, config: &Config) -> Self {
        Self {
            bootstrap: Bootstrap::new(cluster.clone()),
            cluster,
            group: config.group.clone(),
            topics: config.topics.clone(),
            version: match config.group_protocol {
                GroupProtocol::Classic => OFFSET_COMMIT,
                GroupProtocol::Consumer => OFFSET_COMMIT_BY_EPOCH,
            },
            coordinator: Mutex::new(None),
        }
    }

    /// Commits for a member, one commit at a time.
    pub(super) async fn commit(
        &self,
        member: &ConsumerGroupMetadata,
        commits: &[Commit],
        effort: Effort,
    ) -> CommitOutcome {
        let mut attempt = Attempt::new(commits);
        attempt.trouble(format!("no answer within {:?}", effort.within));
        let trying = self.keep_trying(member, &mut attempt, effort.keep_on);
        // After the limit, the attempt holds what went wrong last.
        let _ = tokio::time::timeout(effort.within, trying).await;
        attempt.end()
    }

    async fn keep_trying(
        &self,
        member: &ConsumerGroupMetadata,
        attempt: &mut Attempt,
        keep_on: bool,
    ) {
        let mut coordinator = self.coordinator.lock().await;
        let mut backoff = Backoff::new(AGAIN_FIRST, AGAIN_MOST);
        loop {
            // Taken out, so that after an error or the limit the next try finds the coordinator anew.
            let kept = coordinator.take();
            let was_kept = kept.is_some();
            match self.send(kept, &self.request(member, attempt.left())).await {
                Ok((connection, answer)) => {
                    let why = |error: ResponseError| acl::why(&self.cluster, error.code());
                    let next = attempt.answered(&connection.address, why, |partition| {
                        let name = self.topics.name(partition.topic);
                        let mut topics = answer.topics.iter();
                        let topic = topics.find(|topic| topic.name.as_str() == name)?;
                        let mut partitions = topic.partitions.iter();
                        let of_it = partitions.find(|p| p.partition_index == partition.index)?;
                        Some(of_it.error_code.err())
                    });
                    if next != Next::Later {
                        *coordinator = Some(Kept {
                            connection,
                            since: Instant::now(),
                        });
                    }
                    match next {
                        Next::Done => return,
                        Next::AtOnce => {}
                        Next::Later => tokio::time::sleep(backoff.wait()).await,
                    }
                }
                Err(why) => {
                    attempt.trouble(why);
                    if was_kept {
                        continue;
                    }
                    if !keep_on {
                        return;
                    }
                    tokio::time::sleep(backoff.wait()).await;
                }
            }
        }
    }

    /// Sends on the kept connection, or on a fresh one where there is none.
    async fn send(
        &self,
        kept: Option<Kept>,
        request: &OffsetCommitRequest,
    ) -> Result<(Connection, OffsetCommitResponse), String> {
        let (mut connection, was_idle) = match kept {
            Some(Kept { connection, since }) => (connection, since.elapsed() >= IDLE),
            None => (self.find_coordinator().await?, false),
        };
        let asking = connection.ask(request, self.version);
        let answer = if was_idle {
            let answer = tokio::time::timeout(FORGOTTEN_AFTER, asking).await;
            answer.map_err(|_| {
                format!("no answer within {FORGOTTEN_AFTER:?} on a connection that was idle")
            })??
        } else {
            asking.await?
        };
        Ok((connection, answer))
    }

    async fn find_coordinator(&self) -> Result<Connection, String> {
        let request = FindCoordinatorRequest::default().with_key(text(&self.group));
        let asked = self.bootstrap.ask(&request, FIND_COORDINATOR).await;
        let (asked, answer): (_, FindCoordinatorResponse) = asked?;
        let address = match answer.error_code.err() {
            None => address_of(&answer.host, answer.port),
            Some(error) => {
                return Err(format!(
                    "Kafka at {} answered {error:?} when asked for the coordinator of group {}{}",
                    asked.address,
                    self.group,
                    acl::why(&self.cluster, error.code())
                ));
            }
        };
        Connection::open(&self.cluster, &address).await
    }

    fn request(&self, member: &ConsumerGroupMetadata, commits: &[Commit]) -> OffsetCommitRequest {
        let topics = by_topic(commits.iter().map(|commit| {
            let asked = OffsetCommitRequestPartition::default()
                .with_partition_index(commit.partition.index)
                .with_committed_offset(commit.offset)
                .with_committed_leader_epoch(commit.leader_epoch.unwrap_or(-1))
                .with_committed_metadata(Some(text(&commit.metadata)));
            (commit.partition.topic, asked)
        }));
        let topics = topics.into_iter().map(|(topic, partitions)| {
            OffsetCommitRequestTopic::default()
                .with_name(text(self.topics.name(topic)).into())
                .with_partitions(partitions)
        });
        OffsetCommitRequest::default()
            .with_group_id(text(&self.group).into())
            .with_generation_id_or_member_epoch(member.generation_id())
            .with_member_id(text(member.member_id()))
            .with_group_instance_id(member.group_instance_id().map(text))
            .with_topics(topics.collect())
    }
}
