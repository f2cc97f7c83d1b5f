//! Kafka's side of the group, through krafka: joins, heartbeats, assignments, commits.
//!
//! Its partitions are always paused: krafka keeps the membership, and the consumer thread reads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use krafka::admin::{
    DescribeTopicsOptions, ListConsumerGroupOffsetsOptions, ListOffsetsOptions, OffsetSpec,
};
use krafka::consumer::{
    AutoOffsetReset, Consumer, ConsumerRebalanceListener, OffsetAndMetadata,
    PartitionAssignmentStrategy, TopicPartition,
};
use krafka::error::{ErrorCode, KrafkaError};
use krafka::{CloseOptions, Kafka};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::Event;
use crate::backoff::Backoff;
use crate::config::Config;

const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MOST: Duration = Duration::from_secs(2);

/// While something keeps failing, it is said this often.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// How long one poll may take; between two of them the members' state is looked after.
const POLL: Duration = Duration::from_secs(1);

/// What the group asks of the membership.
pub enum Command {
    Commit(Vec<Commit>),
    /// Hand everything over, and leave the group.
    Leave,
}

/// One partition's offset to commit: the next one to read, and the map of what is finished above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub partition: i32,
    pub offset: i64,
    pub metadata: String,
}

/// Starts the thread that keeps the membership until it is told to leave.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn(
    config: &Config,
    commands: UnboundedReceiver<Command>,
    events: Sender<Event>,
) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let membership = Membership {
        config: config.clone(),
        events: events.clone(),
    };
    std::thread::Builder::new()
        .name("group".into())
        .spawn(move || {
            let last = match runtime.block_on(membership.keep(commands)) {
                Ok(()) => Event::Left,
                Err(why) => Event::Impossible(why),
            };
            let _ = events.send(last);
        })
}

struct Membership {
    config: Config,
    events: Sender<Event>,
}

impl Membership {
    /// # Errors
    /// A sentence, where what is wrong can't heal.
    async fn keep(self, mut commands: UnboundedReceiver<Command>) -> Result<(), String> {
        let kafka = tokio::select! {
            kafka = self.connect() => kafka,
            _ = left(&mut commands) => return Ok(()),
        };
        let (consumer, listener) = self.join(&kafka).await?;
        let leaving = Arc::new(AtomicBool::new(false));
        let mut polling =
            tokio::spawn(poll(consumer.clone(), self.config.clone(), leaving.clone()));
        loop {
            let command = tokio::select! {
                ended = &mut polling => {
                    return ended.unwrap_or_else(|panic| Err(format!("the membership's poll ended: {panic}")));
                }
                command = commands.recv() => command,
            };
            let Some(Command::Commit(commits)) = command else {
                break;
            };
            let (listener, events) = (listener.clone(), self.events.clone());
            tokio::spawn(async move {
                let result = listener
                    .commit(&commits)
                    .await
                    .map(|()| commits)
                    .map_err(|error| error.to_string());
                let _ = events.send(Event::Committed(result));
            });
        }
        // A poll may be in the middle of a hand-over: it ends before the consumer is closed.
        leaving.store(true, Ordering::Relaxed);
        consumer.wakeup();
        let _ = polling.await;
        let options = CloseOptions::new().timeout(self.config.shutdown_timeout);
        if let Err(error) = consumer.close_with(options).await {
            log::warn!("leaving the group {} failed: {error}", self.config.group);
        }
        Ok(())
    }

    /// Tries until Kafka answers and has the topic.
    async fn connect(&self) -> Kafka {
        let mut complaint = Complaint::new();
        let brokers = self.config.brokers.join(",");
        let kafka = loop {
            match crate::kafka::connect(&self.config.brokers).await {
                Ok(kafka) => break kafka,
                Err(error) => {
                    complaint
                        .wait(|| {
                            format!(
                                "Failed to initialize Kafka consumer: connecting to {brokers} failed: {error}. \
                                 Is Kafka running there, and reachable from here? (--brokers; Kafka's log says more.) \
                                 Trying again until it answers"
                            )
                        })
                        .await
                }
            }
        };
        let topic = &self.config.topic;
        loop {
            match self.has_topic(&kafka).await {
                Ok(partitions) => {
                    log::info!("connected to Kafka at {brokers}: topic {topic} has {partitions} partitions");
                    return kafka;
                }
                Err(why) => {
                    complaint
                        .wait(|| format!("Failed to initialize Kafka consumer: {why}. Trying again until it is there"))
                        .await
                }
            }
        }
    }

    async fn has_topic(&self, kafka: &Kafka) -> Result<usize, String> {
        let topic = &self.config.topic;
        let brokers = self.config.brokers.join(",");
        let described = kafka
            .admin()
            .describe_topics([topic], DescribeTopicsOptions::default())
            .await
            .and_then(|mut topics| {
                topics
                    .remove(topic)
                    .unwrap_or_else(|| Err(KrafkaError::unknown_topic(topic.clone())))
            });
        match described {
            Ok(description) => Ok(description.partitions.len()),
            Err(
                KrafkaError::UnknownTopic { .. }
                | KrafkaError::Broker {
                    code: ErrorCode::UnknownTopicOrPartition,
                    ..
                },
            ) => Err(format!(
                "Kafka at {brokers} has no topic {topic}. Check --topic, or make it: \
                 bin/kafka-topics.sh --create --bootstrap-server {brokers} --topic {topic} --partitions 4"
            )),
            Err(error) => Err(format!(
                "asking Kafka at {brokers} for topic {topic} failed: {error}"
            )),
        }
    }

    async fn join(&self, kafka: &Kafka) -> Result<(Arc<Consumer>, Arc<Listener>), String> {
        let listener = Arc::new(Listener {
            topic: self.config.topic.clone(),
            group: self.config.group.clone(),
            kafka: kafka.clone(),
            consumer: OnceLock::new(),
            events: self.events.clone(),
            turns: Mutex::default(),
        });
        let mut builder = kafka
            .consumer(self.config.group.clone())
            .enable_auto_commit(false)
            .auto_offset_reset(AutoOffsetReset::Earliest)
            // The first that every member knows is taken: cooperative moves only the partitions that have to move,
            // range is what the service before this one speaks.
            .partition_assignment_strategies([
                PartitionAssignmentStrategy::CooperativeSticky,
                PartitionAssignmentStrategy::Range,
            ])
            .session_timeout(self.config.session_timeout)
            .heartbeat_interval((self.config.session_timeout / 3).min(Duration::from_secs(3)))
            .idle_poll_backoff(Duration::from_millis(100))
            .metrics_push(false)
            .rebalance_listener(Callbacks(listener.clone()));
        if let Some(id) = &self.config.group_instance_id {
            builder = builder.group_instance_id(id.clone());
        }
        let consumer = builder.build().await.map_err(|error| {
            format!(
                "the settings don't make a member of group {}: {error}",
                self.config.group
            )
        })?;
        let consumer = Arc::new(consumer);
        let _ = listener.consumer.set(consumer.clone());
        consumer
            .subscribe([&self.config.topic])
            .await
            .map_err(|error| format!("subscribing to {} failed: {error}", self.config.topic))?;
        Ok((consumer, listener))
    }
}

/// Waits for the command to leave, or for the group to be gone.
async fn left(commands: &mut UnboundedReceiver<Command>) {
    while let Some(Command::Commit(_)) = commands.recv().await {}
}

/// Keeps the membership alive: krafka joins, rejoins and calls the listener from within `poll`.
///
/// # Errors
/// A sentence, where what is wrong can't heal.
async fn poll(
    consumer: Arc<Consumer>,
    config: Config,
    leaving: Arc<AtomicBool>,
) -> Result<(), String> {
    let mut complaint = Complaint::new();
    while !leaving.load(Ordering::Relaxed) {
        match consumer.poll(POLL).await {
            Ok(records) if records.is_empty() => complaint = Complaint::new(),
            Ok(records) => log::error!(
                "{} records came past the consumer thread: not delivered",
                records.len()
            ),
            Err(KrafkaError::Wakeup) => {}
            Err(error) => {
                if let Some(why) = cannot_heal(&error, &config) {
                    return Err(why);
                }
                let group = &config.group;
                let brokers = config.brokers.join(",");
                complaint
                    .wait(|| {
                        format!(
                            "Failed to initialize Kafka consumer: joining group {group} at {brokers} failed: {error}. \
                             Trying again until it works"
                        )
                    })
                    .await;
            }
        }
    }
    Ok(())
}

/// Why trying again won't help, where it won't.
fn cannot_heal(error: &KrafkaError, config: &Config) -> Option<String> {
    let said = format!("Failed to initialize Kafka consumer: {error}");
    match error {
        KrafkaError::Config { .. } => Some(format!("{said}. Check the settings")),
        KrafkaError::Broker {
            code: ErrorCode::InvalidSessionTimeout,
            ..
        } => Some(format!(
            "{said}. --session-timeout {:?} is outside of what the broker allows (group.min.session.timeout.ms to \
             group.max.session.timeout.ms)",
            config.session_timeout
        )),
        KrafkaError::Broker {
            code: ErrorCode::InvalidGroupId,
            ..
        } => Some(format!("{said}. Check --group {:?}", config.group)),
        KrafkaError::Broker {
            code: ErrorCode::FencedInstanceId,
            ..
        } => Some(format!(
            "{said}. Another process is in group {} with the same --group-instance-id {:?}: each needs its own",
            config.group,
            config.group_instance_id.as_deref().unwrap_or_default()
        )),
        _ => None,
    }
}

/// Something that keeps failing: says so now and then, and waits longer each time.
struct Complaint {
    backoff: Backoff,
    said: Option<Instant>,
}

impl Complaint {
    fn new() -> Self {
        Self {
            backoff: Backoff::new(RETRY_FIRST, RETRY_MOST),
            said: None,
        }
    }

    async fn wait(&mut self, text: impl FnOnce() -> String) {
        if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            log::error!("{}", text());
            self.said = Some(Instant::now());
        }
        tokio::time::sleep(self.backoff.wait()).await;
    }
}

/// Hears from krafka which partitions come and go.
struct Listener {
    topic: String,
    group: String,
    kafka: Kafka,
    consumer: OnceLock<Arc<Consumer>>,
    events: Sender<Event>,
    turns: Mutex<Turns>,
}

/// The partitions that are ours, each with a number that tells this turn of owning it from others.
#[derive(Default)]
struct Turns {
    count: u64,
    ours: HashMap<i32, u64>,
}

impl Listener {
    async fn commit(&self, commits: &[Commit]) -> Result<(), KrafkaError> {
        let Some(consumer) = self.consumer.get() else {
            return Ok(());
        };
        let offsets = commits.iter().map(|commit| {
            (
                TopicPartition::new(self.topic.clone(), commit.partition),
                OffsetAndMetadata::with_metadata(commit.offset, commit.metadata.clone()),
            )
        });
        consumer.commit_offsets(offsets).await
    }

    /// Finds out where to read the partitions from, and tells the group, unless they are gone by then.
    async fn find_positions(self: Arc<Self>, turns: HashMap<i32, u64>) {
        let mut complaint = Complaint::new();
        loop {
            let ours = |turns: &HashMap<i32, u64>| -> Vec<i32> {
                let current = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
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
                    let still = ours(&turns);
                    for (partition, position, metadata) in found {
                        if still.contains(&partition) {
                            let _ = self.events.send(Event::Assigned {
                                partition,
                                position,
                                metadata,
                            });
                        }
                    }
                    return;
                }
                Err(error) => {
                    complaint
                        .wait(|| {
                            format!(
                                "Failed to initialize Kafka consumer: asking for the offsets of group {} failed: {error}. \
                                 Trying again until it works",
                                self.group
                            )
                        })
                        .await;
                }
            }
        }
    }

    /// Where to read each partition from: the committed offset with its metadata, or else the earliest one.
    async fn positions(&self, partitions: &[i32]) -> Result<Vec<(i32, i64, String)>, KrafkaError> {
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
            match stored.and_then(|stored| Some((stored.offset?, stored.metadata.clone()))) {
                Some((offset, metadata)) => {
                    found.push((*partition, offset, metadata.unwrap_or_default()))
                }
                None => new.push((of(partition), OffsetSpec::Earliest)),
            }
        }
        if !new.is_empty() {
            for (of, listed) in admin
                .list_offsets(new, ListOffsetsOptions::default())
                .await?
            {
                found.push((of.partition, listed?.offset, String::new()));
            }
        }
        Ok(found)
    }

    fn begin_turns(&self, partitions: &[i32]) -> HashMap<i32, u64> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.count += 1;
        let turn = turns.count;
        turns.ours.extend(partitions.iter().map(|p| (*p, turn)));
        partitions.iter().map(|p| (*p, turn)).collect()
    }

    fn end_turns(&self, partitions: &[TopicPartition]) -> Vec<i32> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        partitions
            .iter()
            .map(|p| p.partition)
            .filter(|p| turns.ours.remove(p).is_some())
            .collect()
    }
}

/// What krafka calls: a handle, since what it starts outlives the callback.
struct Callbacks(Arc<Listener>);

impl ConsumerRebalanceListener for Callbacks {
    async fn on_partitions_assigned(&self, partitions: &[TopicPartition]) {
        let Some(consumer) = self.0.consumer.get() else {
            return;
        };
        let new: Vec<i32> = partitions.iter().map(|p| p.partition).collect();
        // Paused before the first poll could bring records.
        consumer.pause(&self.0.topic, &new).await;
        let turns = self.0.begin_turns(&new);
        tokio::spawn(self.0.clone().find_positions(turns));
    }

    async fn on_partitions_revoked(&self, partitions: &[TopicPartition]) {
        let partitions = self.0.end_turns(partitions);
        let (reply, answer) = oneshot::channel();
        if self
            .0
            .events
            .send(Event::Revoked { partitions, reply })
            .is_err()
        {
            return;
        }
        let Ok(commits) = answer.await else { return };
        if !commits.is_empty()
            && let Err(error) = self.0.commit(&commits).await
        {
            log::warn!(
                "the last commit of partitions that are handed over failed: {error}; what was finished since the one \
                 before may be sent again"
            );
        }
    }

    async fn on_partitions_lost(&self, partitions: &[TopicPartition]) {
        let partitions = self.0.end_turns(partitions);
        let _ = self.0.events.send(Event::Lost { partitions });
    }
}
