//! Rebalances: partitions that come with a position, partitions to release, and lost ones.

mod assignments;
mod find_positions;
mod taken_for_lost;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use krafka::Kafka;
use krafka::consumer::{
    Consumer, ConsumerGroupMetadata, ConsumerRebalanceListener, TopicPartition,
};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::committer::{Committer, Effort, LAST};
use super::identity::is_member;
use super::positions::Position;
use crate::kafka::Cluster;
use crate::kafka::standing::Asker;
use crate::message::group::Event;
use crate::message::standing::{Question, Standing};
use crate::message::{Commit, CommitOutcome, Failure, PartitionId, Topics, by_topic, topic_tag};
use crate::settings::{Config, GroupProtocol};
use assignments::Assignments;

/// Gets krafka's rebalance callbacks, and tells the group.
pub(super) struct Listener {
    topics: Topics,
    group: String,
    protocol: GroupProtocol,
    kafka: Kafka,
    /// From when on to read where the group has committed nothing.
    beginning: i64,
    committer: Committer,
    asker: tokio::sync::Mutex<Asker>,
    /// Set after the listener is built, since krafka's consumer is built with the listener.
    consumer: OnceLock<Arc<Consumer>>,
    events: Sender<Event>,
    assignments: Mutex<Assignments>,
    /// What Kafka last knew this member as.
    member: Mutex<Option<ConsumerGroupMetadata>>,
    /// Whether partitions were lost and none was assigned since.
    lost: AtomicBool,
    /// Hears of partitions that this member released.
    released: UnboundedSender<Vec<PartitionId>>,
}

/// How often is looked whether krafka has heard of the next epoch.
const EPOCH_EVERY: Duration = Duration::from_millis(50);

/// A panic ends the process: no lock is left behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Listener {
    pub(super) fn new(
        config: &Config,
        beginning: i64,
        cluster: &Cluster,
        kafka: &Kafka,
        events: Sender<Event>,
        released: UnboundedSender<Vec<PartitionId>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            topics: config.topics.clone(),
            group: config.group.clone(),
            protocol: config.group_protocol,
            kafka: kafka.clone(),
            beginning,
            committer: Committer::new(cluster.clone(), config),
            asker: tokio::sync::Mutex::new(Asker::new(cluster.clone(), config.topics.clone())),
            consumer: OnceLock::new(),
            events,
            assignments: Mutex::default(),
            member: Mutex::default(),
            lost: AtomicBool::new(false),
            released,
        })
    }

    /// Sets the consumer whose rebalances these are.
    pub(super) fn serve(&self, consumer: Arc<Consumer>) {
        let _ = self.consumer.set(consumer);
    }

    /// Tells the group that all partitions are lost.
    pub(super) fn lose_all(&self) {
        let partitions = lock(&self.assignments).end_all();
        if !partitions.is_empty() {
            // Under that name, Kafka takes nothing from this process any longer.
            let (reply, _) = oneshot::channel();
            let _ = self.events.send(Event::Lost { partitions, reply });
        }
    }

    /// What we call these partitions.
    fn ours(&self, partitions: &[TopicPartition]) -> Vec<PartitionId> {
        let named = |p: &TopicPartition| self.topics.partition(&p.topic, p.partition);
        partitions.iter().filter_map(named).collect()
    }

    /// Commits for this member.
    pub(super) async fn commit(&self, commits: &[Commit], effort: Effort) -> CommitOutcome {
        let Some(mut member) = self.look_up_member().await else {
            let why = format!("not a member of group {} now", self.group);
            return CommitOutcome::failed(Failure::Other(why));
        };
        let until = Instant::now() + effort.within;
        loop {
            if let Some(before) = lock(&self.assignments).begun_as_another(member.member_id()) {
                let why = format!("it had them as member {before}, which it is no longer");
                return CommitOutcome::failed(Failure::NotMember(why));
            }
            let outcome = self.commit_as(&member, commits, effort).await;
            // A rebalance may have ended since the look-up. Then the generation is new, and nothing else was wrong.
            if let Some(Failure::NotMember(_)) = outcome.failed
                && let Some(now) = self.look_up_member().await
                && now.member_id() == member.member_id()
                && now.generation_id() != member.generation_id()
            {
                member = now;
                continue;
            }
            if let Some(Failure::OldEpoch(_)) = outcome.failed
                && let Some(now) = self.await_next_epoch(&member, until).await
            {
                member = now;
                continue;
            }
            return outcome;
        }
    }

    /// Waits for the heartbeat that tells this member of its next epoch. Returns None where that comes too late.
    async fn await_next_epoch(
        &self,
        member: &ConsumerGroupMetadata,
        until: Instant,
    ) -> Option<ConsumerGroupMetadata> {
        while Instant::now() < until {
            tokio::time::sleep(EPOCH_EVERY).await;
            let now = self.look_up_member().await?;
            if now.member_id() != member.member_id() {
                return None;
            }
            if now.generation_id() != member.generation_id() {
                return Some(now);
            }
        }
        None
    }

    async fn commit_as(
        &self,
        member: &ConsumerGroupMetadata,
        commits: &[Commit],
        effort: Effort,
    ) -> CommitOutcome {
        let outcome = self.committer.commit(member, commits, effort).await;
        if let Some(map_len) = outcome.map_len {
            let _ = self.events.send(Event::ShorterMaps(map_len));
        }
        outcome
    }

    /// The member id and generation, or None where it isn't a member now.
    async fn look_up_member(&self) -> Option<ConsumerGroupMetadata> {
        let member = self.consumer.get()?.group_metadata().await;
        let member = member.filter(is_member)?;
        *lock(&self.member) = Some(member.clone());
        Some(member)
    }

    /// Tells the group where to read partitions from, unless they are no longer ours, and drops these assignments.
    async fn found(&self, assignments: &mut HashMap<PartitionId, u64>, found: Vec<Position>) {
        if found.is_empty() {
            return;
        }
        let standings = self.standings_of(&found).await;
        lock(&self.assignments).keep_current(assignments);
        for Position {
            partition,
            offset,
            metadata,
            leader_epoch,
        } in found
        {
            if assignments.remove(&partition).is_some() {
                let _ = self.events.send(Event::Assigned {
                    partition,
                    position: offset,
                    metadata,
                    leader_epoch,
                    standing: standings.get(&partition).copied(),
                });
            }
        }
    }

    /// How the logs of partitions stand.
    ///
    /// # Errors
    /// No broker answers, or one answers with an error.
    pub(super) async fn look(
        &self,
        questions: &[Question],
    ) -> Result<BTreeMap<PartitionId, Standing>, String> {
        self.asker.lock().await.look(questions).await
    }

    /// How the logs stand of partitions that are about to be read. Empty where Kafka doesn't answer: a later look asks again.
    async fn standings_of(&self, partitions: &[Position]) -> BTreeMap<PartitionId, Standing> {
        let question = |position: &Position| Question {
            partition: position.partition,
            topic: topic_tag::split(&position.metadata).0,
            leader_epoch: position.leader_epoch,
            thorough: true,
        };
        let questions: Vec<_> = partitions.iter().map(question).collect();
        self.look(&questions).await.unwrap_or_else(|why| {
            log::debug!("asking how the logs stand failed: {why}");
            BTreeMap::new()
        })
    }

    /// Commits what was finished of partitions that go to another member.
    async fn commit_last(&self, commits: &[Commit]) {
        if let Some(failure) = self.commit(commits, LAST).await.failed {
            log::warn!(
                cause = failure.why();
                "the last commit of partitions that are handed over failed: {}; what was finished since the one \
                 before may be sent again",
                failure.why()
            );
        }
    }

    /// Tells the group, and blocks until it says what to commit before Kafka goes on. Returns None where that is nothing.
    async fn ask(
        &self,
        event: impl FnOnce(oneshot::Sender<Vec<Commit>>) -> Event,
    ) -> Option<Vec<Commit>> {
        let (reply, answer) = oneshot::channel();
        self.events.send(event(reply)).ok()?;
        answer.await.ok().filter(|commits| !commits.is_empty())
    }
}

/// krafka's callbacks. A handle, since the tasks that they start outlive them.
pub(super) struct Callbacks(pub(super) Arc<Listener>);

impl ConsumerRebalanceListener for Callbacks {
    async fn on_partitions_assigned(&self, partitions: &[TopicPartition]) {
        let Some(consumer) = self.0.consumer.get() else {
            return;
        };
        let mut new = self.0.ours(partitions);
        let member = self.0.look_up_member().await;
        if let Some(member) = &member {
            log::debug!(
                group = self.0.group, member = member.member_id(), epoch = member.generation_id();
                "member {} of group {} got partitions {new:?} in epoch {}",
                member.member_id(),
                self.0.group,
                member.generation_id()
            );
        }
        let member = member.map_or_else(String::new, |member| member.member_id().to_owned());
        let kept = lock(&self.0.assignments).end_silently_kept(&member);
        if !kept.is_empty() {
            new.extend(&kept);
            let (reply, _) = oneshot::channel();
            let partitions = kept;
            let _ = self.0.events.send(Event::Lost { partitions, reply });
        }
        // Pauses them before the first poll could return records.
        for (topic, indexes) in by_topic(new.iter().map(|p| (p.topic, p.index))) {
            consumer.pause(self.0.topics.name(topic), &indexes).await;
        }
        self.0.rejoin_if_it_was_lost(consumer);
        let assignments = lock(&self.0.assignments).begin(&new, &member);
        tokio::spawn(self.0.clone().find_positions(assignments));
        let partitions = lock(&self.0.assignments).count();
        let _ = self.0.events.send(Event::Joined { partitions });
    }

    async fn on_partitions_revoked(&self, partitions: &[TopicPartition]) {
        let partitions = self.0.ours(partitions);
        log::debug!(group = self.0.group; "Kafka takes partitions {partitions:?} back");
        let partitions = lock(&self.0.assignments).end(&partitions);
        let released = partitions.clone();
        let commits = self.0.ask(|reply| Event::Revoked { partitions, reply });
        if let Some(commits) = commits.await {
            self.0.commit_last(&commits).await;
        }
        let _ = self.0.released.send(released);
    }

    async fn on_partitions_lost(&self, partitions: &[TopicPartition]) {
        self.0.lose(partitions).await;
    }
}
