//! Kafka's side of the group, through krafka: joins, heartbeats, assignments, commits.
//!
//! Its partitions are always paused: krafka keeps the membership, and the consumer thread reads.

mod absent;
mod attempt;
mod committer;
mod connect;
mod identity;
mod positions;
mod rebalance;
mod refusal;
mod rejoin;
mod retry;
mod rival;
mod served;
mod unowned;
mod visible;

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::Sender;
use krafka::consumer::{
    AutoOffsetReset, Consumer, GroupProtocol as KafkasProtocol, PartitionAssignmentStrategy,
};
use krafka::error::KrafkaError;
use krafka::{CloseOptions, GroupMembershipOperation, Kafka};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::base::backoff::Retry;
use crate::base::heart::Heart;
use crate::base::lease;
use crate::base::trial;
use crate::kafka::{Cluster, Trouble, is_login_refused};
use crate::message::group::Event;
use crate::message::membership::Command;
use crate::message::{CommitOutcome, Failure, PartitionId};
use crate::settings::{Config, GroupProtocol};
use committer::ROUTINE;
use identity::is_member;
use rebalance::{Callbacks, Listener};
use retry::{RETRY_FIRST, RETRY_MOST, wait};

pub use committer::{FORGOTTEN_AFTER, IDLE};
pub use positions::beginning;
pub use refusal::NO_CONSUMER_PROTOCOL;
pub use served::serves_consumer_protocol;

/// Limit for the parting commit of lost partitions.
pub const PARTING_WITHIN: Duration = committer::PARTING.within;

/// How the line begins that says why the service does not read yet. People search for these words.
const NOT_BEGUN: &str = "Failed to initialize Kafka consumer";

/// Members hear of a rebalance with their next heartbeat. Until then, partitions that move stay unread.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);
const _: () = assert!(
    lease::SHORTEST.as_millis() + HEARTBEAT.as_millis() < lease::SHORTEST_SESSION.as_millis(),
    "workers would send under the lease when Kafka, which counts from the last heartbeat, gave the partitions to another"
);

/// Limits a rebalance, beside the time of a hand-over. Kafka gives up a member that doesn't join again within it. krafka gives up its
/// own join: on a connection that a firewall forgot, the answer never comes.
const REBALANCE: Duration = Duration::from_secs(30);

/// Limit for one poll. Between two polls the member's state is checked.
const POLL: Duration = Duration::from_secs(1);

/// Leaving the group may take this long beyond the time for a stop. The group's thread ends the process when that is up, and
/// says so: with equal limits either of the two could be first.
const BEYOND_STOP: Duration = Duration::from_secs(10);

/// Starts the thread that keeps the membership until [`Command::Leave`].
///
/// # Errors
/// The system gives no thread, or no epoll for the runtime.
pub fn spawn(
    config: &Config,
    commands: UnboundedReceiver<Command>,
    events: Sender<Event>,
    heart: Arc<Heart>,
) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let membership = Membership {
        beginning: positions::beginning(config.auto_offset_reset, SystemTime::now()),
        name: identity::name(config),
        cluster: Cluster::of(config),
        config: config.clone(),
        events: events.clone(),
        was_member: AtomicBool::new(false),
    };
    let membership = Arc::new(membership);
    std::thread::Builder::new()
        .name("group".into())
        .spawn(move || {
            let last = match runtime.block_on(heart.during(membership.keep(commands))) {
                Ok(()) => Event::Left,
                Err(why) => Event::Impossible(why),
            };
            let _ = events.send(last);
        })
}

/// How a membership ended. The texts are for the log.
enum End {
    /// It was told to leave.
    Left,
    /// Another process took its name, as Kafka says: what failed, and what to do about it.
    Fenced(String, String),
    /// krafka forgot who it is (`rival.rs`).
    Forgot(String),
    /// Kafka still has a member of its name. A later join may find the name free.
    NameTaken(String),
    /// The broker doesn't take the password that krafka has. The next krafka reads it again.
    LoginRefused(String),
}

struct Membership {
    config: Config,
    cluster: Cluster,
    /// The group instance id, where it has one.
    name: Option<String>,
    /// From when on to read where the group has committed nothing.
    beginning: i64,
    events: Sender<Event>,
    /// Whether it ever joined. What fails later is no failure to begin.
    was_member: AtomicBool,
}

impl Membership {
    /// # Errors
    /// The broker refuses the settings for good, or another process keeps taking this member's name.
    async fn keep(self: Arc<Self>, mut commands: UnboundedReceiver<Command>) -> Result<(), String> {
        let mut retry = Retry::new(RETRY_FIRST, RETRY_MOST);
        let mut fencings = rival::Fencings::default();
        let mut kafka = None;
        loop {
            let connected = match &kafka {
                Some(kafka) => kafka,
                None => tokio::select! {
                    connected = self.connect() => kafka.insert(connected),
                    () = self.told_to_leave(&mut commands) => return Ok(()),
                },
            };
            fail::fail_point!("membership");
            match self.be_member(connected, &mut commands).await? {
                End::Left => return Ok(()),
                End::Forgot(failed) => {
                    log::warn!(cause = failed; "{failed}. Another broker looks after the group now; joining anew");
                }
                End::Fenced(failed, advice) => {
                    let why = format!("{failed}. {advice}");
                    if fencings.are_too_many(Instant::now()) {
                        return Err(why);
                    }
                    log::warn!(cause = why; "{why}; or Kafka remembered one that is gone. Joining anew");
                }
                End::NameTaken(why) => tokio::select! {
                    () = wait(&mut retry, &why) => {}
                    () = self.told_to_leave(&mut commands) => return Ok(()),
                },
                End::LoginRefused(why) => {
                    kafka = None;
                    tokio::select! {
                        () = wait(&mut retry, &why) => {}
                        () = self.told_to_leave(&mut commands) => return Ok(()),
                    }
                }
            }
        }
    }

    /// Joins, and stays a member until something ends that.
    ///
    /// # Errors
    /// The broker refuses the settings for good, or the poll's task panicked.
    async fn be_member(
        self: &Arc<Self>,
        kafka: &Kafka,
        commands: &mut UnboundedReceiver<Command>,
    ) -> Result<End, String> {
        let (released, releases) = unbounded_channel();
        let (consumer, listener) = self.make_consumer(kafka, released).await?;
        tokio::select! {
            subscribed = self.subscribe(kafka, &consumer) => subscribed?,
            () = self.told_to_leave(commands) => {
                self.close(&consumer).await;
                return Ok(End::Left);
            }
        }
        let leaving = Arc::new(AtomicBool::new(false));
        // Ends with this membership.
        let mut watching = JoinSet::new();
        watching.spawn(unowned::watch(
            kafka.clone(),
            consumer.clone(),
            self.config.clone(),
            self.events.clone(),
            releases,
        ));
        let mut polling = tokio::spawn(self.clone().poll(consumer.clone(), leaving.clone()));
        loop {
            let command = tokio::select! {
                ended = &mut polling => {
                    let end = ended
                        .unwrap_or_else(|panic| Err(format!("the membership's poll ended: {panic}")))?;
                    // Its partitions are the other process's, or soon the next member's of this one: there is nothing to release.
                    listener.lose_all();
                    let _ = consumer.close_with(CloseOptions::new().timeout(RETRY_MOST)).await;
                    return Ok(match end {
                        End::Fenced(failed, _) if !self.has_rival(kafka, &listener).await => {
                            End::Forgot(failed)
                        }
                        end => end,
                    });
                }
                Some(Ok(trouble)) = watching.join_next() => {
                    // krafka's heartbeats fail silently then.
                    leaving.store(true, Ordering::Relaxed);
                    consumer.wakeup();
                    if tokio::time::timeout(RETRY_MOST, &mut polling).await.is_err() {
                        polling.abort();
                    }
                    listener.lose_all();
                    let _ = consumer.close_with(CloseOptions::new().timeout(RETRY_MOST)).await;
                    return Ok(End::LoginRefused(self.failed(&trouble)));
                }
                command = commands.recv() => command,
            };
            match command {
                Some(Command::Leave) | None => break,
                Some(command) => self.apply(command, &listener),
            }
        }
        watching.abort_all();
        leaving.store(true, Ordering::Relaxed);
        let leave = async {
            // A poll may be in the middle of a revocation. It ends before the consumer is closed.
            consumer.wakeup();
            let _ = polling.await;
            self.close(&consumer).await;
        };
        tokio::pin!(leave);
        // The revocation waits for the answer to each commit, also to one that begins while it lasts.
        loop {
            tokio::select! {
                () = &mut leave => return Ok(End::Left),
                Some(command) = commands.recv() => self.apply(command, &listener),
            }
        }
    }

    /// Starts what the group asks for. Each commit and each look is answered.
    fn apply(&self, command: Command, listener: &Arc<Listener>) {
        let (listener, events) = (listener.clone(), self.events.clone());
        match command {
            Command::Commit(commits) => drop(tokio::spawn(async move {
                let outcome = listener.commit(&commits, ROUTINE).await;
                let _ = events.send(Event::Committed(outcome));
            })),
            Command::Look(questions) => drop(tokio::spawn(async move {
                let answer = listener.look(&questions).await;
                let _ = events.send(Event::Looked(answer));
            })),
            Command::Leave => {}
        }
    }

    /// Blocks until the command to leave comes, or the group is gone. Answers each command before that.
    async fn told_to_leave(&self, commands: &mut UnboundedReceiver<Command>) {
        let why = || format!("not a member of group {} now", self.config.group);
        loop {
            let answer = match commands.recv().await {
                Some(Command::Commit(_)) => {
                    Event::Committed(CommitOutcome::failed(Failure::Other(why())))
                }
                Some(Command::Look(_)) => Event::Looked(Err(why())),
                Some(Command::Leave) | None => return,
            };
            let _ = self.events.send(answer);
        }
    }

    /// Releases all partitions, and leaves the group.
    async fn close(&self, consumer: &Consumer) {
        // A configured name comes back at the next start; a random one never does.
        let leaving = match (&self.config.group_instance_id, self.config.group_protocol) {
            (Some(_), GroupProtocol::Classic) => GroupMembershipOperation::RemainInGroup,
            // Kafka is told that the name comes back, or nobody could take it before the session ends.
            (Some(_), GroupProtocol::Consumer) => GroupMembershipOperation::Default,
            (None, _) => GroupMembershipOperation::LeaveGroup,
        };
        let options = CloseOptions::new()
            .timeout(self.config.shutdown_timeout + BEYOND_STOP)
            .group_membership_operation(leaving);
        if let Err(error) = consumer.close_with(options).await {
            log::warn!(group = self.config.group, cause:% = error; "leaving the group {} failed: {error}", self.config.group);
        }
    }

    fn rebalance_timeout(&self) -> Duration {
        trial::limit("rebalance", REBALANCE) + self.config.shutdown_timeout
    }

    async fn make_consumer(
        &self,
        kafka: &Kafka,
        released: UnboundedSender<Vec<PartitionId>>,
    ) -> Result<(Arc<Consumer>, Arc<Listener>), String> {
        let listener = Listener::new(
            &self.config,
            self.beginning,
            &self.cluster,
            kafka,
            self.events.clone(),
            released,
        );
        let mut builder = kafka
            .consumer(self.config.group.clone())
            .enable_auto_commit(false)
            .auto_offset_reset(AutoOffsetReset::Earliest)
            .session_timeout(self.config.session_timeout)
            .max_poll_interval(self.config.session_timeout.max(self.rebalance_timeout()))
            .idle_poll_backoff(Duration::from_millis(100))
            .metrics_push(false)
            .rebalance_listener(Callbacks(listener.clone()));
        if let Some(name) = &self.name {
            builder = builder.group_instance_id(name.clone());
        }
        builder = match self.config.group_protocol {
            GroupProtocol::Classic => builder
                // Kafka takes the first that every member knows. Cooperative moves only the partitions that have to move;
                // range is what the service before this one speaks.
                .partition_assignment_strategies([
                    PartitionAssignmentStrategy::CooperativeSticky,
                    PartitionAssignmentStrategy::Range,
                ])
                .heartbeat_interval((self.config.session_timeout / 3).min(HEARTBEAT)),
            // Kafka assigns, and says how long a session is and how often it wants a heartbeat.
            GroupProtocol::Consumer => builder.group_protocol(KafkasProtocol::Consumer),
        };
        let consumer = builder.build().await.map_err(|error| {
            format!(
                "the settings don't make a member of group {}: {error}",
                self.config.group
            )
        })?;
        let consumer = Arc::new(consumer);
        listener.serve(consumer.clone());
        Ok((consumer, listener))
    }

    /// Keeps the membership alive: krafka joins, rejoins and calls the listener from within `poll`.
    ///
    /// # Errors
    /// The broker refuses the settings for good.
    async fn poll(
        self: Arc<Self>,
        consumer: Arc<Consumer>,
        leaving: Arc<AtomicBool>,
    ) -> Result<End, String> {
        let mut retry = Retry::new(RETRY_FIRST, RETRY_MOST);
        while !leaving.load(Ordering::Relaxed) {
            let polled = consumer.poll(POLL).await;
            let member = consumer.group_metadata().await;
            let is_member = member.as_ref().is_some_and(is_member);
            self.was_member.fetch_or(is_member, Ordering::Relaxed);
            match polled {
                Ok(records) if records.is_empty() => {
                    // A join may still be under way.
                    if is_member && let Some(lasted) = retry.worked() {
                        let epoch = member.as_ref().map(|member| member.generation_id());
                        let member = member.as_ref().map(|member| member.member_id());
                        log::info!(
                            group = self.config.group, member = member, epoch = epoch;
                            "a member of group {}, after {:.1} s of trying",
                            self.config.group,
                            lasted.as_secs_f64()
                        );
                    }
                }
                Ok(records) => log::error!(
                    "{} records came past the consumer thread: not delivered",
                    records.len()
                ),
                Err(KrafkaError::Wakeup) => {}
                Err(error) => {
                    let name = self.name.as_deref().unwrap_or_default();
                    if let Some(advice) = refusal::fenced(&error, &self.config, name) {
                        return Ok(End::Fenced(self.failed(&error), advice));
                    }
                    if let Some(advice) = refusal::name_taken(&error, &self.config, name) {
                        return Ok(End::NameTaken(format!("{}. {advice}", self.failed(&error))));
                    }
                    if let Some(advice) = refusal::cannot_heal(&error, &self.config) {
                        return Err(format!("{}. {advice}", self.failed(&error)));
                    }
                    let failed = self.failed(&Trouble::new(&self.cluster, &error));
                    if is_login_refused(&error) {
                        return Ok(End::LoginRefused(failed));
                    }
                    wait(&mut retry, &failed).await;
                }
            }
        }
        Ok(End::Left)
    }

    /// Says what failed: joining, or staying a member.
    fn failed(&self, trouble: &(impl Display + ?Sized)) -> String {
        let group = &self.config.group;
        if self.was_member.load(Ordering::Relaxed) {
            format!("staying a member of group {group} failed: {trouble}")
        } else {
            format!("{NOT_BEGUN}: joining group {group} failed: {trouble}")
        }
    }
}
