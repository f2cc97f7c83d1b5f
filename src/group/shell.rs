//! The group's thread: it hears the events, steps the core, and does what the core asks for. It decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select};
use tokio::sync::{mpsc::UnboundedSender, oneshot};

use super::account::Shape;
use super::effect::{Effect, Order, RequestId};
use super::{COMMIT_EVERY, Counts, Group, Input, debug};
use crate::base::lease::{Lease, Moment};
use crate::base::mailbox::Mailbox;
use crate::base::notify;
use crate::figures::Figures;
use crate::message::consumer::Control;
use crate::message::fleet::Node;
use crate::message::group::{Event, Read, Skip, Skipped};
use crate::message::membership::Command;
use crate::message::{CometId, Commit, dead_letter, worker};

/// How the group hears from the other threads, and reaches them.
pub struct Channels {
    pub events: Receiver<Event>,
    /// What was read. Nothing waits for it, so it wakes nobody: it is taken in before whatever comes next.
    pub reads: Receiver<Read>,
    /// Ends the service.
    pub stop: Receiver<()>,
    pub consumer: Sender<Control>,
    pub workers: Vec<Mailbox<worker::Event>>,
    pub dead_letters: Sender<dead_letter::Event>,
    pub membership: UnboundedSender<Command>,
    /// The workers send under it.
    pub lease: Arc<Lease>,
    pub figures: Arc<Figures>,
    /// Told of each Comet that left when nothing of it is in flight any more.
    pub gone: Box<dyn Fn(CometId) + Send>,
}

/// Blocks until `stop` gets a message and the membership has ended, `shutdown_timeout` later at most. `comets` are in the
/// fleet at first.
///
/// # Errors
/// The membership can't be: the broker refuses the settings for good, or another process has this member's name.
pub fn run(
    channels: Channels,
    comets: Vec<Node>,
    shutdown_timeout: Duration,
) -> Result<Counts, String> {
    let shell = Shell {
        group: Group::new(channels.workers.len(), comets, shutdown_timeout),
        channels,
        replies: BTreeMap::new(),
        skips: BTreeMap::new(),
        requests: 0,
        shape: None,
        commits_fail: false,
    };
    shell.run(shutdown_timeout)
}

struct Shell {
    group: Group,
    channels: Channels,
    /// Where the membership waits for a reply.
    replies: BTreeMap<RequestId, oneshot::Sender<Vec<Commit>>>,
    /// Where an operator waits for one.
    skips: BTreeMap<RequestId, oneshot::Sender<Skipped>>,
    /// Counts the requests.
    requests: u64,
    /// What was ours when the account was published.
    shape: Option<Shape>,
    /// Whether the last commit failed.
    commits_fail: bool,
}

impl Shell {
    fn run(mut self, mut shutdown_timeout: Duration) -> Result<Counts, String> {
        let tick = crossbeam_channel::tick(COMMIT_EVERY);
        let mut stop = self.channels.stop.clone();
        let mut end = crossbeam_channel::never();
        loop {
            let due = match self.group.wake_at() {
                Some(at) => crossbeam_channel::at(at),
                None => crossbeam_channel::never(),
            };
            self.channels.figures.group.heart.rests();
            let input = select! {
                recv(self.channels.events) -> event => match event {
                    Ok(Event::Left) | Err(_) => break,
                    Ok(Event::Impossible(why)) => return Err(why),
                    Ok(Event::Revoked { partitions, reply }) => {
                        Input::Revoked { request: self.keep(reply), partitions }
                    }
                    Ok(Event::Lost { partitions, reply }) => {
                        Input::Lost { request: self.keep(reply), partitions }
                    }
                    Ok(Event::Skip(Skip { partition, offset, uid, reply })) => {
                        let request = self.next_request();
                        self.skips.insert(request, reply);
                        Input::Skip { request, partition, offset, uid }
                    }
                    Ok(Event::ShutdownWithin(timeout)) => {
                        shutdown_timeout = timeout;
                        Input::ShutdownWithin(timeout)
                    }
                    Ok(event) => Input::Told(event),
                },
                recv(tick) -> _ => Input::Tick { lapse: self.channels.lease.renew(Moment::now()) },
                recv(stop) -> _ => {
                    stop = crossbeam_channel::never();
                    end = crossbeam_channel::after(shutdown_timeout);
                    notify::tell(&notify::stopping(shutdown_timeout));
                    Input::Stop
                }
                recv(end) -> _ => {
                    log::warn!("time is up: leaving without a last commit");
                    break;
                }
                recv(due) -> _ => Input::Due,
            };
            self.channels.figures.group.heart.works();
            self.take_reads();
            let is_tick = matches!(input, Input::Tick { .. });
            self.count(&input);
            if log::log_enabled!(log::Level::Debug) {
                debug::heard(&input, &self.channels.figures.comets);
            }
            self.step(input);
            if is_tick || self.shape != Some(self.group.shape()) {
                self.publish();
            }
        }
        self.take_reads();
        Ok(self.group.finish())
    }

    /// Keeps where a request is answered, and names it.
    fn keep(&mut self, reply: oneshot::Sender<Vec<Commit>>) -> RequestId {
        let request = self.next_request();
        self.replies.insert(request, reply);
        request
    }

    fn next_request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    /// The ledgers have to know of a record before they hear what became of it.
    fn take_reads(&mut self) {
        while let Ok(read) = self.channels.reads.try_recv() {
            self.group.read(read);
        }
    }

    fn count(&mut self, input: &Input) {
        let figures = &self.channels.figures.group;
        match input {
            Input::Told(Event::Joined { .. }) => figures.assigned.add(1),
            Input::Told(Event::Fleet(change)) => self.channels.figures.comets.apply(change),
            Input::Revoked { .. } => figures.revoked.add(1),
            Input::Lost { .. } => figures.lost.add(1),
            Input::Told(Event::Committed(outcome)) => {
                let fails = outcome.failed.is_some();
                figures.failed_commits.add(u64::from(fails));
                let is_back = std::mem::replace(&mut self.commits_fail, fails) && !fails;
                figures.reconnects.add(u64::from(is_back));
            }
            _ => {}
        }
    }

    /// Shows in the figures how the group stands.
    fn publish(&mut self) {
        self.shape = Some(self.group.shape());
        let figures = &self.channels.figures.group;
        let now = Instant::now();
        let mut account = self.group.account(now);
        account.follows(&figures.account());
        // Taken together with the watermarks: records that came since would look like a lag.
        let consumer = &self.channels.figures.consumer;
        for ours in &mut account.partitions {
            (ours.end, ours.behind) = consumer.lag(ours.partition, ours.watermark, now);
        }
        figures.publish(account);
    }

    /// Steps the core. A thread that is gone is not told: the process ends.
    fn step(&mut self, input: Input) {
        let says = log::log_enabled!(log::Level::Debug);
        for effect in self.group.step(input, Instant::now()) {
            if says {
                debug::does(&effect, &self.channels.figures.comets);
            }
            match effect {
                Effect::Consumer(control) => drop(self.channels.consumer.send(control)),
                Effect::Workers(order) => {
                    for worker in &self.channels.workers {
                        let _ = worker.send(order.into());
                    }
                    if let Some(event) = of_letters(order) {
                        let _ = self.channels.dead_letters.send(event);
                    }
                }
                Effect::Letter(letter) => {
                    let event = dead_letter::Event::Write(letter);
                    let _ = self.channels.dead_letters.send(event);
                }
                Effect::Membership(command) => drop(self.channels.membership.send(command)),
                Effect::Reply { request, commits } => {
                    if let Some(reply) = self.replies.remove(&request) {
                        let _ = reply.send(commits);
                    }
                }
                Effect::Skipped { request, skipped } => {
                    if let Some(reply) = self.skips.remove(&request) {
                        let _ = reply.send(skipped);
                    }
                }
                Effect::Gone(comet) => {
                    self.channels.figures.forget(comet);
                    (self.channels.gone)(comet);
                }
                Effect::Say(notice) => notice.log(),
            }
        }
    }
}

impl From<Order> for worker::Event {
    fn from(order: Order) -> Self {
        match order {
            Order::Revoke(assignment) => Self::Revoke(assignment),
            Order::Suspend(assignment) => Self::Suspend(assignment),
            Order::Resume(assignment) => Self::Resume(assignment),
            Order::Forget(assignment) => Self::Forget(assignment),
            Order::Skip { record, uid } => Self::Skip { record, uid },
            Order::Lapsed(number) => Self::Lapsed(number),
        }
    }
}

/// What the order says of letters that are not written yet.
fn of_letters(order: Order) -> Option<dead_letter::Event> {
    match order {
        Order::Suspend(assignment) => Some(dead_letter::Event::Suspend(assignment)),
        // Kafka takes a partition back from the member that has it. While that is drained, its letters are written.
        Order::Resume(assignment) | Order::Revoke(assignment) => {
            Some(dead_letter::Event::Resume(assignment))
        }
        Order::Forget(assignment) => Some(dead_letter::Event::Forget(assignment)),
        Order::Skip { .. } | Order::Lapsed(_) => None,
    }
}
