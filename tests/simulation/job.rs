//! A job: the real cores, and between them what the threads and channels are in the service. It decides nothing. The threads are
//! in the files beside it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::kafka::Member;
use super::world::{What, World};
use crate::consumer::age::Ages;
use crate::consumer::core as consumer;
use crate::consumer::route::Router;
use crate::group::effect::RequestId;
use crate::group::{COMMIT_EVERY, Group, Input};
use crate::kafka::fetch::Positions;
use crate::message::consumer::Control;
use crate::message::group::{Event, Read};
use crate::message::worker::Event as Told;
use crate::message::{Assignment, Commit, Held, PartitionId};
use crate::settings::Window;
use crate::worker::Fleet;
use crate::worker::core::Core as Worker;

pub const WORKERS: usize = 2;
const WINDOW: Window = Window::Calls(4);
const SHUTDOWN: Duration = Duration::from_secs(8);
/// A thread on a busy machine stands still for this long at most.
pub const STANDS_STILL: Duration = Duration::from_secs(4);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thread {
    Consumer,
    Group,
    Worker(usize),
}

#[derive(Default)]
pub struct Job {
    pub life: u64,
    pub cores: Option<Cores>,
    /// When it began to live without a break.
    pub alive_since: Option<Duration>,
    /// While this isn't 0, its threads often stand still; and when that or a pause began or ended last.
    pub busy: u32,
    /// While this isn't 0, somebody may have it read nothing.
    pub paused: u32,
    pub calm_since: Duration,
}

impl Job {
    /// Whether it lives and isn't about to end.
    pub fn is_well(&self) -> bool {
        let is_well = |cores: &Cores| !cores.stopping && self.busy == 0 && self.paused == 0;
        self.cores.as_ref().is_some_and(is_well)
    }
}

pub struct Cores {
    pub group: Group,
    pub consumer: consumer::Core,
    pub workers: Vec<Worker>,
    pub controls: VecDeque<Control>,
    pub pauses: VecDeque<bool>,
    pub again: VecDeque<(Positions, Result<Vec<crate::kafka::fetch::Batch>, ()>)>,
    pub events: VecDeque<Input>,
    pub reads: VecDeque<Read>,
    pub inboxes: Vec<VecDeque<Told>>,
    /// Threads that are about to run.
    pub scheduled: Vec<Thread>,
    /// When each worker is to run at the latest.
    pub timers: Vec<Option<Instant>>,
    pub fetching: Option<(u64, Positions)>,
    pub tickets: u64,
    pub is_asked_again: bool,
    pub failing: bool,
    pub requests: BTreeMap<RequestId, Vec<PartitionId>>,
    pub lost: BTreeMap<RequestId, Vec<PartitionId>>,
    pub next_request: u64,
    pub stopping: bool,
    /// Whether Kafka gives away what it is losing.
    pub expelled: bool,
    /// Assignments whose letters their next owner writes.
    pub forgotten: Vec<Assignment>,
}

impl World<'_> {
    pub fn is_alive(&self, (job, life): Member) -> bool {
        self.jobs[job].life == life && self.jobs[job].cores.is_some()
    }

    pub fn cores(&mut self, (job, life): Member) -> Option<&mut Cores> {
        let job = &mut self.jobs[job];
        if job.life == life {
            job.cores.as_mut()
        } else {
            None
        }
    }

    pub fn start(&mut self, job: usize) {
        if let Some(cores) = &self.jobs[job].cores {
            if cores.stopping {
                // It is started again when it has ended.
                self.later(COMMIT_EVERY, What::Start(job));
            }
            return;
        }
        let now = self.instant();
        let fleet = Arc::new(Fleet::new(now));
        let workers =
            (0..WORKERS).map(|_| Worker::new(fleet.clone(), WINDOW, None, self.rng.fork()));
        let workers = workers.collect();
        let caps = Held {
            messages: self.plan.hold,
            bytes: usize::MAX / 4,
        };
        let router = Router::new(Vec::new());
        let mut consumer = consumer::Core::new(WORKERS, router, caps, Ages::ALL);
        if self.plan.by_rooms {
            consumer.by_rooms();
        }
        let cores = Cores {
            group: Group::new(WORKERS, Vec::new(), SHUTDOWN),
            consumer,
            workers,
            controls: VecDeque::new(),
            pauses: VecDeque::new(),
            again: VecDeque::new(),
            events: VecDeque::new(),
            reads: VecDeque::new(),
            inboxes: (0..WORKERS).map(|_| VecDeque::new()).collect(),
            scheduled: Vec::new(),
            timers: vec![None; WORKERS],
            fetching: None,
            tickets: 0,
            is_asked_again: false,
            failing: false,
            requests: BTreeMap::new(),
            lost: BTreeMap::new(),
            next_request: 0,
            stopping: false,
            expelled: false,
            forgotten: Vec::new(),
        };
        let of = &mut self.jobs[job];
        of.life += 1;
        of.cores = Some(cores);
        of.alive_since = Some(self.now);
        let member = (job, of.life);
        self.tell(|| format!("job {member:?} starts"));
        self.knows_fleet(member);
        self.asks_rooms(member);
        let wait = Duration::from_millis(self.rng.u64(300..2_000));
        self.later(wait, What::Joins(member));
        self.later(COMMIT_EVERY, What::Tick(member));
    }

    /// The job is gone at once. Its calls are on their way, or not.
    pub fn kill(&mut self, member: Member) {
        if !self.is_alive(member) {
            return;
        }
        self.judge.may_repeat(member);
        self.ends(member);
        self.is_silent(member);
    }

    pub fn ends(&mut self, member: Member) {
        self.jobs[member.0].cores = None;
        self.jobs[member.0].alive_since = None;
        self.tell(|| format!("job {member:?} ends"));
        self.forget(member, |_| true);
        for call in self.calls.calls.values_mut() {
            call.waits &= (call.job, call.life) != member;
        }
    }

    pub fn stop(&mut self, job: usize) {
        let member = (job, self.jobs[job].life);
        if let Some(cores) = self.cores(member)
            && !std::mem::replace(&mut cores.stopping, true)
        {
            self.input(member, Input::Stop);
            // It leaves without a last word where that takes too long.
            self.later(
                SHUTDOWN,
                What::GivesBack {
                    member,
                    partitions: vec![PartitionId::of_first(-1)],
                    commits: Vec::new(),
                },
            );
        }
    }

    /// krafka loses what it has. Returns false if that is nothing.
    pub fn lose(&mut self, member: Member) -> bool {
        let partitions = self.partitions_of(member);
        let cores = self.cores(member);
        if let Some(cores) = cores.filter(|cores| !cores.stopping && !partitions.is_empty()) {
            cores.next_request += 1;
            let request = RequestId(cores.next_request);
            cores.lost.insert(request, partitions.clone());
            self.input(
                member,
                Input::Lost {
                    request,
                    partitions,
                },
            );
            return true;
        }
        false
    }

    /// Whether a job hasn't answered yet that it lost partitions.
    pub fn is_losing(&self, member: Member) -> bool {
        let cores = self.jobs[member.0].cores.as_ref();
        self.is_alive(member) && cores.is_some_and(|cores| !cores.lost.is_empty())
    }

    pub fn revoke(&mut self, member: Member, partitions: Vec<PartitionId>) {
        if let Some(cores) = self.cores(member) {
            cores.next_request += 1;
            let request = RequestId(cores.next_request);
            cores.requests.insert(request, partitions.clone());
            self.input(
                member,
                Input::Revoked {
                    request,
                    partitions,
                },
            );
        }
    }

    pub fn gave_back(&mut self, member: Member, partitions: &[PartitionId], commits: Vec<Commit>) {
        let is_leaving = self.cores(member).is_some_and(|cores| cores.stopping);
        if partitions == [PartitionId::of_first(-1)] {
            if is_leaving {
                self.judge.may_repeat(member);
                self.ends(member);
                self.is_silent(member);
            }
            return;
        }
        self.judge.may_repeat(member);
        self.forget(member, |place| partitions.contains(&place.0));
        self.gives_back(member, partitions, commits);
        if is_leaving && self.is_alive(member) {
            self.ends(member);
            self.is_gone(member);
        }
    }

    pub fn tell_group(&mut self, member: Member, event: Event) {
        self.input(member, Input::Told(event));
    }

    pub fn input(&mut self, member: Member, input: Input) {
        if let Some(cores) = self.cores(member) {
            cores.events.push_back(input);
            self.poke(member, Thread::Group);
        }
    }

    /// The thread has something to do. It does it in a moment, or now and then, on a busy machine, in some seconds.
    pub fn poke(&mut self, member: Member, thread: Thread) {
        let is_busy = self.jobs[member.0].busy > 0;
        let one_in = if is_busy { 50 } else { 2_000 };
        let wait = match self.rng.u16(..one_in) {
            0 => Duration::from_millis(self.rng.u64(10..STANDS_STILL.as_millis() as u64)),
            _ => self.some_micros(1_500),
        };
        if let Some(cores) = self.cores(member)
            && !cores.scheduled.contains(&thread)
        {
            cores.scheduled.push(thread);
            self.later(wait, What::Runs(member, thread));
        }
    }

    pub fn runs(&mut self, member: Member, thread: Thread) {
        let Some(cores) = self.cores(member) else {
            return;
        };
        cores.scheduled.retain(|scheduled| *scheduled != thread);
        match thread {
            Thread::Consumer => self.run_consumer(member),
            Thread::Group => self.run_group(member),
            Thread::Worker(n) => self.run_worker(member, n),
        }
    }

    pub fn tick(&mut self, member: Member) {
        if self.is_alive(member) {
            self.input(member, Input::Tick { lapse: None });
            self.later(COMMIT_EVERY, What::Tick(member));
        }
    }
}
