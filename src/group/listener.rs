//! What krafka's rebalances mean here: partitions that come with a position, and partitions to hand over.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crossbeam_channel::Sender;
use krafka::Kafka;
use krafka::admin::{ListConsumerGroupOffsetsOptions, ListOffsetsOptions, OffsetSpec};
use krafka::consumer::{
    Consumer, ConsumerGroupMetadata, ConsumerRebalanceListener, TopicPartition,
};
use krafka::error::KrafkaError;
use tokio::sync::oneshot;

use super::Event;
use super::attempt::{CommitOutcome, Failure};
use super::membership::{Commit, RETRY_FIRST, RETRY_MOST, wait};
use super::offsets::{Effort, LAST, LAST_WORD, Offsets};
use super::{orphans, topic_tag};
use crate::backoff::Retry;
use crate::config::Config;
use crate::kafka::standing::{Asker, Question, Standing};

/// Hears from krafka which partitions come and go.
pub(super) struct Listener {
    topic: String,
    group: String,
    kafka: Kafka,
    offsets: Offsets,
    asker: tokio::sync::Mutex<Asker>,
    /// Made after the listener, since it is made with it.
    consumer: OnceLock<Arc<Consumer>>,
    events: Sender<Event>,
    turns: Mutex<Turns>,
    /// What Kafka last knew this member as.
    member: Mutex<Option<ConsumerGroupMetadata>>,
    /// Whether the partitions were lost, and none came since.
    lost: AtomicBool,
}

/// What Kafka has of a partition for the group.
struct Committed {
    position: i64,
    metadata: String,
    leader_epoch: Option<i32>,
}

/// The partitions that are ours, each with a number that tells this turn of owning it from others.
#[derive(Default)]
struct Turns {
    count: u64,
    /// The member id under which they came.
    member: String,
    ours: HashMap<i32, u64>,
}

impl Turns {
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
            offsets: Offsets::new(
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
            turns: Mutex::default(),
            member: Mutex::default(),
            lost: AtomicBool::new(false),
        })
    }

    /// Names the consumer whose rebalances these are.
    pub(super) fn serve(&self, consumer: Arc<Consumer>) {
        let _ = self.consumer.set(consumer);
    }

    /// Tells the group that all partitions are another's.
    pub(super) fn lose_all(&self) {
        let ours = std::mem::take(&mut lock(&self.turns).ours);
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
            if let Some(before) = lock(&self.turns).begun_as_another(member.member_id()) {
                let why = format!("it had them as member {before}, which it is no longer");
                return CommitOutcome::failed(Failure::NotMember(why));
            }
            let outcome = self.commit_as(&member, commits, effort).await;
            // A round may have ended since it was looked up: then that is all that was wrong.
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
        let outcome = self.offsets.commit(member, commits, effort).await;
        if let Some(map_len) = outcome.map_len {
            let _ = self.events.send(Event::ShorterMaps(map_len));
        }
        outcome
    }

    /// What Kafka knows this member as, if it is one.
    async fn look_up_member(&self) -> Option<ConsumerGroupMetadata> {
        let member = self.consumer.get()?.group_metadata().await;
        let member = member.filter(|member| member.is_fenceable())?;
        *lock(&self.member) = Some(member.clone());
        Some(member)
    }

    /// Commits what was finished of lost partitions as the member that had them. krafka takes a living member for lost
    /// where an answer comes out of turn; Kafka then still knows it. If it doesn't, it refuses the commit.
    async fn commit_as_before(&self, commits: &[Commit]) -> CommitOutcome {
        let member = lock(&self.member).clone();
        match member {
            Some(member) => self.commit_as(&member, commits, LAST_WORD).await,
            None => {
                let why = "it was a member never before".into();
                CommitOutcome::failed(Failure::Other(why))
            }
        }
    }

    /// Finds out where to read the partitions from, and tells the group, unless they are gone by then.
    async fn find_positions(self: Arc<Self>, turns: HashMap<i32, u64>) {
        let mut retry = Retry::new(RETRY_FIRST, RETRY_MOST);
        loop {
            let ours = |turns: &HashMap<i32, u64>| -> Vec<i32> {
                let current = lock(&self.turns);
                turns
                    .iter()
                    .filter(|(p, turn)| current.ours.get(p) == Some(turn))
                    .map(|(p, _)| *p)
                    .collect()
            };
            let wanted = ours(&turns);
            if wanted.is_empty() {
                return;
            }
            match self.positions(&wanted).await {
                Ok(found) => {
                    let standings = self.standings_of(&found).await;
                    let still = ours(&turns);
                    for (partition, committed) in found {
                        if still.contains(&partition) {
                            let _ = self.events.send(Event::Assigned {
                                partition,
                                position: committed.position,
                                metadata: committed.metadata,
                                leader_epoch: committed.leader_epoch,
                                standing: standings.get(&partition).copied(),
                            });
                        }
                    }
                    return;
                }
                Err(error) => {
                    let group = &self.group;
                    wait(
                        &mut retry,
                        &format!("asking for the offsets of group {group} failed: {error}"),
                    )
                    .await;
                }
            }
        }
    }

    /// How the logs of partitions stand.
    ///
    /// # Errors
    /// A sentence, where Kafka doesn't say.
    pub(super) async fn look(
        &self,
        questions: &[Question],
    ) -> Result<BTreeMap<i32, Standing>, String> {
        self.asker.lock().await.look(questions).await
    }

    /// How the logs stand of partitions that are about to be read. Where Kafka doesn't say it now, a later look does.
    async fn standings_of(&self, partitions: &[(i32, Committed)]) -> BTreeMap<i32, Standing> {
        let question = |(partition, committed): &(i32, Committed)| Question {
            partition: *partition,
            topic: topic_tag::split(&committed.metadata).0,
            leader_epoch: committed.leader_epoch,
            thorough: true,
        };
        let questions: Vec<_> = partitions.iter().map(question).collect();
        self.look(&questions).await.unwrap_or_else(|why| {
            log::debug!("asking how the logs stand failed: {why}");
            BTreeMap::new()
        })
    }

    /// Where to read each partition from: the committed offset, or else the earliest one.
    async fn positions(&self, partitions: &[i32]) -> Result<Vec<(i32, Committed)>, KrafkaError> {
        let of = |p: &i32| TopicPartition::new(self.topic.clone(), *p);
        let admin = self.kafka.admin();
        let options = ListConsumerGroupOffsetsOptions::default()
            .partitions(partitions.iter().map(of).collect());
        let committed = admin
            .list_consumer_group_offsets(self.group.clone(), options)
            .await?;
        let mut found = Vec::new();
        let mut new = Vec::new();
        for partition in partitions {
            let stored = match committed.get(&of(partition)) {
                Some(Ok(stored)) => Some(stored),
                Some(Err(error)) => return Err(error.clone()),
                None => None,
            };
            let committed = stored.and_then(|stored| {
                Some(Committed {
                    position: stored.offset?,
                    metadata: stored.metadata.clone().unwrap_or_default(),
                    leader_epoch: stored.leader_epoch,
                })
            });
            match committed {
                Some(committed) => found.push((*partition, committed)),
                None => new.push((of(partition), OffsetSpec::Earliest)),
            }
        }
        if !new.is_empty() {
            for (of, listed) in admin
                .list_offsets(new, ListOffsetsOptions::default())
                .await?
            {
                let earliest = Committed {
                    position: listed?.offset,
                    metadata: String::new(),
                    leader_epoch: None,
                };
                found.push((of.partition, earliest));
            }
        }
        Ok(found)
    }

    /// Tells the group, and gets what there is to commit before Kafka goes on; `None` where that is nothing.
    async fn ask(
        &self,
        event: impl FnOnce(oneshot::Sender<Vec<Commit>>) -> Event,
    ) -> Option<Vec<Commit>> {
        let (reply, answer) = oneshot::channel();
        self.events.send(event(reply)).ok()?;
        answer.await.ok().filter(|commits| !commits.is_empty())
    }

    /// The partitions that came under another member id, if krafka kept them when it came back under this one. Another
    /// may have had them in between.
    fn lose_silently_kept(&self, member: &str) -> Vec<i32> {
        let mut turns = lock(&self.turns);
        match turns.begun_as_another(member) {
            Some(_) => std::mem::take(&mut turns.ours).into_keys().collect(),
            None => Vec::new(),
        }
    }

    fn begin_turns(&self, partitions: &[i32], member: &str) -> HashMap<i32, u64> {
        let mut turns = lock(&self.turns);
        turns.member = member.into();
        turns.count += 1;
        let turn = turns.count;
        turns.ours.extend(partitions.iter().map(|p| (*p, turn)));
        partitions.iter().map(|p| (*p, turn)).collect()
    }

    fn end_turns(&self, partitions: &[TopicPartition]) -> Vec<i32> {
        let mut turns = lock(&self.turns);
        partitions
            .iter()
            .map(|p| p.partition)
            .filter(|p| turns.ours.remove(p).is_some())
            .collect()
    }
}

/// What krafka calls: a handle, since what it starts outlives the callback.
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
        // Paused before the first poll could bring records.
        consumer.pause(&self.0.topic, &new).await;
        if self.0.lost.swap(false, Ordering::Relaxed) {
            // It came back without a round: what it was about to let go when it was lost waits for one.
            let (consumer, topic) = (consumer.clone(), self.0.topic.clone());
            tokio::spawn(async move { orphans::rejoin(&consumer, &topic).await });
        }
        let turns = self.0.begin_turns(&new, &member);
        tokio::spawn(self.0.clone().find_positions(turns));
    }

    async fn on_partitions_revoked(&self, partitions: &[TopicPartition]) {
        let partitions = self.0.end_turns(partitions);
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
        let partitions = self.0.end_turns(partitions);
        let commits = self.0.ask(|reply| Event::Lost { partitions, reply });
        let Some(commits) = commits.await else { return };
        let CommitOutcome { taken, failed, .. } = self.0.commit_as_before(&commits).await;
        if !taken.is_empty() {
            let _ = self.0.events.send(Event::LastWord(taken));
        }
        if let Some(Failure::NotMember(why) | Failure::Other(why)) = failed {
            log::info!("what was finished of them since the last commit may be sent again: {why}");
        }
    }
}
