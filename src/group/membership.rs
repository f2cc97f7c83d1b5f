//! Kafka's side of the group, through krafka: joins, heartbeats, assignments, commits.
//!
//! Its partitions are always paused: krafka keeps the membership, and the consumer thread reads.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use krafka::consumer::{AutoOffsetReset, Consumer, PartitionAssignmentStrategy};
use krafka::error::{ErrorCode, KrafkaError};
use krafka::{CloseOptions, GroupMembershipOperation, Kafka};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use super::listener::{Callbacks, Listener};
use super::offsets::ROUTINE;
use super::{Event, orphans};
use crate::backoff::{Retry, grows};
use crate::config::Config;
use crate::kafka::standing::Question;
use crate::kafka::{Trouble, create_topic_command};
use crate::lease;
use crate::logging::counted;

pub(super) const RETRY_FIRST: Duration = Duration::from_millis(200);
pub(super) const RETRY_MOST: Duration = Duration::from_secs(2);
const _: () = grows(RETRY_FIRST, RETRY_MOST);

/// Members hear of a rebalance with their next heartbeat: until then what moves stays unread.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);
const _: () = assert!(
    lease::SHORTEST.as_millis() + HEARTBEAT.as_millis() < lease::SHORTEST_SESSION.as_millis(),
    "workers would send under the lease when Kafka, which counts from the last heartbeat, gave the partitions to another"
);

/// Kafka's default. Only a hand-over takes time between two polls, and that is bounded.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(300);

/// How long one poll may take; between two of them the members' state is looked after.
const POLL: Duration = Duration::from_secs(1);

/// So often within so long another process has to take this member's name for it to be there: a broker that comes back
/// may remember, once, the process that had the name before this one.
const FENCED_MOST: usize = 3;
const FENCED_WITHIN: Duration = Duration::from_secs(60);

/// What the group asks of the membership.
pub enum Command {
    Commit(Vec<Commit>),
    /// Look how the logs of these partitions stand.
    Look(Vec<Question>),
    /// Hand everything over, and leave the group.
    Leave,
}

/// One partition's offset to commit: the next one to read, and the map of what is finished above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub partition: i32,
    pub offset: i64,
    /// Of the leader under which the offset was seen to be in the log. Where the log is cut, it tells the next owner.
    pub leader_epoch: Option<i32>,
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
        name: config
            .group_instance_id
            .clone()
            .unwrap_or_else(name_for_this_life),
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
    /// The group instance id. Every member has one: krafka, when it takes a living member for lost, comes back under
    /// a new member id, and only by this name does Kafka know that the old one needn't be waited for.
    name: String,
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
        let mut fenced: Vec<Instant> = Vec::new();
        while let Some(why) = self.be_member(&kafka, &mut commands).await? {
            fenced.retain(|at| at.elapsed() < FENCED_WITHIN);
            fenced.push(Instant::now());
            if fenced.len() >= FENCED_MOST {
                return Err(why);
            }
            log::warn!("{why}; or Kafka remembered one that is gone. Joining anew");
        }
        Ok(())
    }

    /// Joins, and stays until told to leave, or until Kafka takes another process for this member: why.
    ///
    /// # Errors
    /// A sentence, where what is wrong can't heal.
    async fn be_member(
        &self,
        kafka: &Kafka,
        commands: &mut UnboundedReceiver<Command>,
    ) -> Result<Option<String>, String> {
        let (consumer, listener) = self.join(kafka).await?;
        let leaving = Arc::new(AtomicBool::new(false));
        // Ends with this membership.
        let mut watching = JoinSet::new();
        watching.spawn(orphans::watch(
            kafka.clone(),
            consumer.clone(),
            self.config.clone(),
        ));
        let mut polling = tokio::spawn(poll(
            consumer.clone(),
            self.config.clone(),
            self.name.clone(),
            leaving.clone(),
        ));
        loop {
            let command = tokio::select! {
                ended = &mut polling => {
                    let fenced = ended
                        .unwrap_or_else(|panic| Err(format!("the membership's poll ended: {panic}")))?;
                    // Whatever it had is the other's: there is nothing to hand over.
                    listener.lose_all();
                    let _ = consumer.close_with(CloseOptions::new().timeout(RETRY_MOST)).await;
                    return Ok(fenced);
                }
                command = commands.recv() => command,
            };
            let (listener, events) = (listener.clone(), self.events.clone());
            match command {
                Some(Command::Commit(commits)) => drop(tokio::spawn(async move {
                    let outcome = listener.commit(&commits, ROUTINE).await;
                    let _ = events.send(Event::Committed(outcome));
                })),
                Some(Command::Look(questions)) => drop(tokio::spawn(async move {
                    let answer = listener.look(&questions).await;
                    let _ = events.send(Event::Looked(answer));
                })),
                Some(Command::Leave) | None => break,
            }
        }
        watching.abort_all();
        // A poll may be in the middle of a hand-over: it ends before the consumer is closed.
        leaving.store(true, Ordering::Relaxed);
        consumer.wakeup();
        let _ = polling.await;
        // A name of one's own comes back with it; one that was made up never does.
        let leaving = match self.config.group_instance_id {
            Some(_) => GroupMembershipOperation::RemainInGroup,
            None => GroupMembershipOperation::LeaveGroup,
        };
        let options = CloseOptions::new()
            .timeout(self.config.shutdown_timeout)
            .group_membership_operation(leaving);
        if let Err(error) = consumer.close_with(options).await {
            log::warn!("leaving the group {} failed: {error}", self.config.group);
        }
        Ok(None)
    }

    /// Tries until Kafka answers and has the topic.
    async fn connect(&self) -> Kafka {
        let mut retry = Retry::new(RETRY_FIRST, RETRY_MOST);
        let Config { brokers, topic, .. } = &self.config;
        let kafka = loop {
            match crate::kafka::connect(brokers).await {
                Ok(kafka) => break kafka,
                Err(error) => {
                    let trouble = Trouble::with_connecting(brokers, &error).await;
                    wait(&mut retry, &trouble.to_string()).await;
                }
            }
        };
        loop {
            let why = match crate::kafka::partitions(&kafka, topic).await {
                Ok(Some(partitions)) => {
                    log::info!(
                        "connected to Kafka at {}: topic {topic} has {}",
                        brokers.join(","),
                        counted(partitions as u64, "partition")
                    );
                    return kafka;
                }
                Ok(None) => format!(
                    "Kafka at {} has no topic {topic}. Check the topic (--topic, JOB_TOPIC), or make it: {}",
                    brokers.join(","),
                    create_topic_command(brokers, topic)
                ),
                Err(error) => Trouble::new(brokers, &error).to_string(),
            };
            wait(&mut retry, &why).await;
        }
    }

    async fn join(&self, kafka: &Kafka) -> Result<(Arc<Consumer>, Arc<Listener>), String> {
        let listener = Listener::new(&self.config, kafka, self.events.clone());
        let builder = kafka
            .consumer(self.config.group.clone())
            .group_instance_id(self.name.clone())
            .enable_auto_commit(false)
            .auto_offset_reset(AutoOffsetReset::Earliest)
            // The first that every member knows is taken: cooperative moves only the partitions that have to move,
            // range is what the service before this one speaks.
            .partition_assignment_strategies([
                PartitionAssignmentStrategy::CooperativeSticky,
                PartitionAssignmentStrategy::Range,
            ])
            .session_timeout(self.config.session_timeout)
            .heartbeat_interval((self.config.session_timeout / 3).min(HEARTBEAT))
            .max_poll_interval(self.config.session_timeout.max(MAX_POLL_INTERVAL))
            .idle_poll_backoff(Duration::from_millis(100))
            .metrics_push(false)
            .rebalance_listener(Callbacks(listener.clone()));
        let consumer = builder.build().await.map_err(|error| {
            format!(
                "the settings don't make a member of group {}: {error}",
                self.config.group
            )
        })?;
        let consumer = Arc::new(consumer);
        listener.serve(consumer.clone());
        consumer
            .subscribe([&self.config.topic])
            .await
            .map_err(|error| format!("subscribing to {} failed: {error}", self.config.topic))?;
        Ok((consumer, listener))
    }
}

/// A group instance id that no other process has, nor this one at its next start.
fn name_for_this_life() -> String {
    let random = RandomState::new().hash_one(std::process::id());
    format!("job-{random:016x}")
}

/// Says, now and then, what keeps the service from reading, and waits before it is tried again.
pub(super) async fn wait(retry: &mut Retry, why: &str) {
    let wait = retry.failed(why, |why| {
        log::error!("Failed to initialize Kafka consumer: {why}. Trying again until it works");
    });
    tokio::time::sleep(wait).await;
}

/// Waits for the command to leave, or for the group to be gone.
async fn left(commands: &mut UnboundedReceiver<Command>) {
    while let Some(Command::Commit(_) | Command::Look(_)) = commands.recv().await {}
}

/// Keeps the membership alive: krafka joins, rejoins and calls the listener from within `poll`. Ends when it is told
/// to, or when Kafka takes another process for this member: why.
///
/// # Errors
/// A sentence, where what is wrong can't heal.
async fn poll(
    consumer: Arc<Consumer>,
    config: Config,
    name: String,
    leaving: Arc<AtomicBool>,
) -> Result<Option<String>, String> {
    let mut retry = Retry::new(RETRY_FIRST, RETRY_MOST);
    while !leaving.load(Ordering::Relaxed) {
        match consumer.poll(POLL).await {
            Ok(records) if records.is_empty() => drop(retry.worked()),
            Ok(records) => log::error!(
                "{} records came past the consumer thread: not delivered",
                records.len()
            ),
            Err(KrafkaError::Wakeup) => {}
            Err(error) => {
                if let Some(why) = is_fenced(&error, &config, &name) {
                    return Ok(Some(why));
                }
                if let Some(why) = cannot_heal(&error, &config) {
                    return Err(why);
                }
                let trouble = Trouble::new(&config.brokers, &error);
                wait(
                    &mut retry,
                    &format!("joining group {} failed: {trouble}", config.group),
                )
                .await;
            }
        }
    }
    Ok(None)
}

/// What to say where Kafka knows another process under this one's name.
fn is_fenced(error: &KrafkaError, config: &Config, name: &str) -> Option<String> {
    let KrafkaError::Broker {
        code: ErrorCode::FencedInstanceId,
        ..
    } = error
    else {
        return None;
    };
    Some(format!(
        "Failed to initialize Kafka consumer: {error}. Another process is in group {} with the same \
         --group-instance-id {name:?}: each needs its own",
        config.group,
    ))
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
        _ => None,
    }
}
