//! Rebalances: partitions that come with a position, partitions to release, and lost ones.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crossbeam_channel::Sender;
use krafka::Kafka;
use krafka::consumer::{
    Consumer, ConsumerGroupMetadata, ConsumerRebalanceListener, TopicPartition,
};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::committer::{Committer, Effort, LAST, PARTING};
use super::positions::{self, Position};
use super::{RETRY_FIRST, RETRY_MOST, unowned, wait};
use crate::base::backoff::Retry;
use crate::kafka::standing::Asker;
use crate::message::group::Event;
use crate::message::standing::{Question, Standing};
use crate::message::{Commit, CommitOutcome, Failure, topic_tag};
use crate::settings::Config;

/// Gets krafka's rebalance callbacks, and tells the group.
pub(super) struct Listener {
    topic: String,
    group: String,
    kafka: Kafka,
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
}

/// The partitions that are ours. Each has a number that tells this assignment from earlier ones.
#[derive(Default)]
struct Assignments {
    count: u64,
    /// The member id under which they came.
    member: String,
    ours: HashMap<i32, u64>,
}

impl Assignments {
    /// The member id under which the partitions came, where that is another one.
    fn begun_as_another(&self, member: &str) -> Option<String> {
        let is_other = !self.ours.is_empty() && self.member != member;
        is_other.then(|| self.member.clone())
    }
}

/// A panic ends the process: no lock is left behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Listener {
    pub(super) fn new(config: &Config, kafka: &Kafka, events: Sender<Event>) -> Arc<Self> {
        Arc::new(Self {
            topic: config.topic.clone(),
            group: config.group.clone(),
            kafka: kafka.clone(),
            committer: Committer::new(
                config.brokers.clone(),
                config.group.clone(),
                config.topic.clone(),
            ),
            asker: tokio::sync::Mutex::new(Asker::new(
                config.brokers.clone(),
                config.topic.clone(),
            )),
            consumer: OnceLock::new(),
            events,
            assignments: Mutex::default(),
            member: Mutex::default(),
            lost: AtomicBool::new(false),
        })
    }

    /// Sets the consumer whose rebalances these are.
    pub(super) fn serve(&self, consumer: Arc<Consumer>) {
        let _ = self.consumer.set(consumer);
    }

    /// Tells the group that all partitions are lost.
    pub(super) fn lose_all(&self) {
        let ours = std::mem::take(&mut lock(&self.assignments).ours);
        if !ours.is_empty() {
            let partitions = ours.into_keys().collect();
            // Under that name, Kafka takes nothing from this process any longer.
            let (reply, _) = oneshot::channel();
            let _ = self.events.send(Event::Lost { partitions, reply });
        }
    }

    /// Commits for this member.
    pub(super) async fn commit(&self, commits: &[Commit], effort: Effort) -> CommitOutcome {
        let Some(mut member) = self.look_up_member().await else {
            let why = format!("not a member of group {} now", self.group);
            return CommitOutcome::failed(Failure::Other(why));
        };
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
            return outcome;
        }
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
        let member = member.filter(|member| member.is_fenceable())?;
        *lock(&self.member) = Some(member.clone());
        Some(member)
    }

    /// The parting commit of lost partitions, as the member that had them. krafka takes a living member for lost where an
    /// answer comes out of order; Kafka then still knows it. If it doesn't, it refuses the commit.
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

    /// Retries until Kafka says where to read the partitions from, and tells the group of each as soon as it does. Drops those
    /// that are no longer ours.
    async fn find_positions(self: Arc<Self>, assignments: HashMap<i32, u64>) {
        let mut retry = Retry::new(RETRY_FIRST, RETRY_MOST);
        let mut left = assignments;
        loop {
            self.keep_ours(&mut left);
            let partitions: Vec<i32> = left.keys().copied().collect();
            if partitions.is_empty() {
                return;
            }
            let why = match positions::committed(&self.kafka, &self.group, &self.topic, &partitions)
                .await
            {
                Ok(positions::Committed { known, new, failed }) => {
                    self.found(&mut left, known).await;
                    // What is asked of one broker doesn't wait for another.
                    let mut rest = left.clone();
                    rest.retain(|partition, _| new.contains(partition));
                    if !rest.is_empty() {
                        tokio::spawn(self.clone().find_earliest(rest));
                    }
                    left.retain(|partition, _| !new.contains(partition));
                    failed
                }
                Err(error) => Some(error.to_string()),
            };
            if let Some(why) = why {
                let group = &self.group;
                let why = format!("asking for the offsets of group {group} failed: {why}");
                wait(&mut retry, &why).await;
            }
        }
    }

    /// Retries until the leaders say where partitions begin for which the group has committed nothing.
    async fn find_earliest(self: Arc<Self>, assignments: HashMap<i32, u64>) {
        let mut retry = Retry::new(RETRY_FIRST, RETRY_MOST);
        let mut left = assignments;
        loop {
            self.keep_ours(&mut left);
            if left.is_empty() {
                return;
            }
            let mut asking = JoinSet::new();
            for partitions in self.by_leader(left.keys().copied()).await {
                let (kafka, topic) = (self.kafka.clone(), self.topic.clone());
                asking.spawn(async move { positions::earliest(&kafka, &topic, &partitions).await });
            }
            let mut failed = BTreeMap::new();
            while let Some(asked) = asking.join_next().await {
                let Ok((found, without)) = asked else {
                    continue;
                };
                self.found(&mut left, found).await;
                failed.extend(without);
            }
            let Some(why) = failed.values().next() else {
                continue;
            };
            let partitions: Vec<i32> = failed.keys().copied().collect();
            let why = format!(
                "partitions {partitions:?} of {} can't be read yet, as nobody says where they begin: {why}",
                self.topic
            );
            let wait = retry.failed(&why, |why| {
                log::warn!("{why}. The others are read, and these as soon as they can be");
            });
            tokio::time::sleep(wait).await;
        }
    }

    /// The partitions, those of one leader together, as far as that is known.
    async fn by_leader(&self, partitions: impl Iterator<Item = i32>) -> Vec<Vec<i32>> {
        let topics = match self.consumer.get() {
            Some(consumer) => consumer.fetch_metadata(Some(&self.topic)).await,
            None => return vec![partitions.collect()],
        };
        let topics = topics.map(|metadata| metadata.topics).unwrap_or_default();
        let topic = topics.first();
        let mut by_leader: BTreeMap<Option<i32>, Vec<i32>> = BTreeMap::new();
        for partition in partitions {
            let leader = topic.and_then(|topic| Some(topic.partition(partition)?.leader));
            by_leader.entry(leader).or_default().push(partition);
        }
        by_leader.into_values().collect()
    }

    /// Drops the assignments that are over.
    fn keep_ours(&self, assignments: &mut HashMap<i32, u64>) {
        let current = lock(&self.assignments);
        assignments.retain(|partition, number| current.ours.get(partition) == Some(number));
    }

    /// Tells the group where to read partitions from, unless they are no longer ours, and drops these assignments.
    async fn found(&self, assignments: &mut HashMap<i32, u64>, found: Vec<Position>) {
        if found.is_empty() {
            return;
        }
        let standings = self.standings_of(&found).await;
        self.keep_ours(assignments);
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
    ) -> Result<BTreeMap<i32, Standing>, String> {
        self.asker.lock().await.look(questions).await
    }

    /// How the logs stand of partitions that are about to be read. Empty where Kafka doesn't answer: a later look asks again.
    async fn standings_of(&self, partitions: &[Position]) -> BTreeMap<i32, Standing> {
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

    /// Tells the group, and blocks until it says what to commit before Kafka goes on. Returns None where that is nothing.
    async fn ask(
        &self,
        event: impl FnOnce(oneshot::Sender<Vec<Commit>>) -> Event,
    ) -> Option<Vec<Commit>> {
        let (reply, answer) = oneshot::channel();
        self.events.send(event(reply)).ok()?;
        answer.await.ok().filter(|commits| !commits.is_empty())
    }

    /// Ends, and returns, the assignments that krafka kept when it came back under another member id. Another member may
    /// have had them in between.
    fn lose_silently_kept(&self, member: &str) -> Vec<i32> {
        let mut assignments = lock(&self.assignments);
        match assignments.begun_as_another(member) {
            Some(_) => std::mem::take(&mut assignments.ours).into_keys().collect(),
            None => Vec::new(),
        }
    }

    fn begin(&self, partitions: &[i32], member: &str) -> HashMap<i32, u64> {
        let mut assignments = lock(&self.assignments);
        assignments.member = member.into();
        assignments.count += 1;
        let number = assignments.count;
        assignments
            .ours
            .extend(partitions.iter().map(|p| (*p, number)));
        partitions.iter().map(|p| (*p, number)).collect()
    }

    fn end(&self, partitions: &[TopicPartition]) -> Vec<i32> {
        let mut assignments = lock(&self.assignments);
        partitions
            .iter()
            .map(|p| p.partition)
            .filter(|p| assignments.ours.remove(p).is_some())
            .collect()
    }
}

/// krafka's callbacks. A handle, since the tasks that they start outlive them.
pub(super) struct Callbacks(pub(super) Arc<Listener>);

impl ConsumerRebalanceListener for Callbacks {
    async fn on_partitions_assigned(&self, partitions: &[TopicPartition]) {
        let Some(consumer) = self.0.consumer.get() else {
            return;
        };
        let mut new: Vec<i32> = partitions.iter().map(|p| p.partition).collect();
        let member = self.0.look_up_member().await;
        let member = member.map_or_else(String::new, |member| member.member_id().to_owned());
        let kept = self.0.lose_silently_kept(&member);
        if !kept.is_empty() {
            new.extend(&kept);
            let (reply, _) = oneshot::channel();
            let partitions = kept;
            let _ = self.0.events.send(Event::Lost { partitions, reply });
        }
        // Pauses them before the first poll could return records.
        consumer.pause(&self.0.topic, &new).await;
        if self.0.lost.swap(false, Ordering::Relaxed) {
            // It came back without a rebalance, and what it was about to release when it was lost waits for one.
            let (consumer, topic) = (consumer.clone(), self.0.topic.clone());
            tokio::spawn(async move { unowned::rejoin(&consumer, &topic).await });
        }
        let assignments = self.0.begin(&new, &member);
        tokio::spawn(self.0.clone().find_positions(assignments));
    }

    async fn on_partitions_revoked(&self, partitions: &[TopicPartition]) {
        let partitions = self.0.end(partitions);
        let commits = self.0.ask(|reply| Event::Revoked { partitions, reply });
        let Some(commits) = commits.await else { return };
        if let Some(Failure::NotMember(why) | Failure::Other(why)) =
            self.0.commit(&commits, LAST).await.failed
        {
            log::warn!(
                "the last commit of partitions that are handed over failed: {why}; what was finished since the one \
                 before may be sent again"
            );
        }
    }

    async fn on_partitions_lost(&self, partitions: &[TopicPartition]) {
        self.0.lost.store(true, Ordering::Relaxed);
        let partitions = self.0.end(partitions);
        let commits = self.0.ask(|reply| Event::Lost { partitions, reply });
        let Some(commits) = commits.await else { return };
        let CommitOutcome { taken, failed, .. } = self.0.commit_as_before(&commits).await;
        if !taken.is_empty() {
            let _ = self.0.events.send(Event::PartingCommit(taken));
        }
        if let Some(Failure::NotMember(why) | Failure::Other(why)) = failed {
            log::info!("what was finished of them since the last commit may be sent again: {why}");
        }
    }
}
