//! A job: the real cores, and between them what the threads and channels are in the service. It decides nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::comet::Call;
use super::judge::{self, Place};
use super::kafka::Member;
use super::world::{What, World};
use crate::consumer::core as consumer;
use crate::consumer::route::Router;
use crate::group::effect::{Effect, Order, RequestId};
use crate::group::{COMMIT_EVERY, Group, Input};
use crate::kafka::fetch::Positions;
use crate::message::call::Call as Wanted;
use crate::message::consumer::Control;
use crate::message::group::{Event, Read};
use crate::message::membership::Command;
use crate::message::standing::{Log, Standing};
use crate::message::worker::Event as Told;
use crate::message::{Answer, Assignment, CometId, Commit, Completion, Settled, Status};
use crate::worker::core::Core as Worker;
use crate::worker::effects::{Effects, Said};
use crate::worker::{EndpointStats, Fleet};

const WORKERS: usize = 2;
const WINDOW: usize = 4;
const SHUTDOWN: Duration = Duration::from_secs(8);
/// Kafka answers a fetch that finds nothing after this.
const FETCH_WAIT: Duration = Duration::from_millis(500);
/// What one fetch brings of a partition.
const AT_ONCE: usize = 10;
/// A Comet that hangs leaves a probe unanswered for this long.
const PROBE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thread {
    Consumer,
    Group,
    Worker(usize),
}

#[derive(Default)]
pub struct Job {
    pub life: u64,
    cores: Option<Cores>,
    /// When it began to live without a break.
    pub alive_since: Option<Duration>,
}

impl Job {
    /// Whether it lives and isn't about to end.
    pub fn is_well(&self) -> bool {
        self.cores.as_ref().is_some_and(|cores| !cores.stopping)
    }
}

struct Cores {
    group: Group,
    consumer: consumer::Core,
    workers: Vec<Worker>,
    controls: VecDeque<Control>,
    again: VecDeque<(Positions, Result<Vec<crate::kafka::fetch::Batch>, ()>)>,
    events: VecDeque<Input>,
    reads: VecDeque<Read>,
    inboxes: Vec<VecDeque<Told>>,
    /// Threads that are about to run.
    scheduled: Vec<Thread>,
    /// When each worker is to run at the latest.
    timers: Vec<Option<Instant>>,
    fetching: Option<(u64, Positions)>,
    tickets: u64,
    is_asked_again: bool,
    failing: bool,
    requests: BTreeMap<RequestId, Vec<i32>>,
    lost: BTreeMap<RequestId, Vec<i32>>,
    next_request: u64,
    stopping: bool,
    /// Assignments whose letters their next owner writes.
    forgotten: Vec<Assignment>,
}

/// What a worker wants done.
#[derive(Default)]
struct Outbox {
    calls: Vec<(CometId, usize, Place, u32)>,
    probes: Vec<CometId>,
    settled: Vec<Settled>,
    events: Vec<Event>,
    said: Vec<String>,
}

impl Outbox {
    fn report(&mut self) {
        if !self.settled.is_empty() {
            let settled = std::mem::take(&mut self.settled);
            self.events.push(Event::Settled(settled));
        }
    }
}

impl Effects for Outbox {
    fn call(&mut self, comet: CometId, id: usize, call: &Wanted, doublings: u32, _now: Instant) {
        let body = call.clone().body_mut().clone();
        let text = std::str::from_utf8(&body).expect("a place");
        let (partition, offset) = text.split_once(' ').expect("a place");
        let place = (
            partition.parse().expect("a number"),
            offset.parse().expect("a number"),
        );
        self.calls.push((comet, id, place, doublings));
    }
    fn probe(&mut self, comet: CometId) {
        self.probes.push(comet);
    }
    fn settled(&mut self, settled: Settled) {
        self.settled.push(settled);
    }
    fn revoke_ack(&mut self, assignment: Assignment) {
        self.report();
        self.events.push(Event::RevokeAck(assignment));
    }
    fn away(&mut self, comet: CometId) {
        self.events.push(Event::Away(comet));
    }
    fn detached(&mut self, comet: CometId) {
        self.report();
        self.events.push(Event::Detached(comet));
    }
    fn answers(&mut self, comet: CometId) {
        self.events.push(Event::Answers(comet));
    }
    fn say(&mut self, comet: CometId, said: Said<'_>) {
        self.said.push(format!("Comet {}: {said:?}", comet.0));
    }
}

impl World<'_> {
    pub fn is_alive(&self, (job, life): Member) -> bool {
        self.jobs[job].life == life && self.jobs[job].cores.is_some()
    }

    fn cores(&mut self, (job, life): Member) -> Option<&mut Cores> {
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
        let names: Vec<String> = (0..self.plan.comets).map(judge::name).collect();
        let fleet: Fleet = names
            .iter()
            .map(|_| Arc::new(EndpointStats::new(now)))
            .collect();
        let workers = (0..WORKERS)
            .map(|_| Worker::new(names.clone(), &fleet, WINDOW, None, now, self.rng.fork()));
        let workers = workers.collect();
        let caps = consumer::Held {
            messages: self.plan.hold,
            bytes: usize::MAX / 4,
        };
        let cores = Cores {
            group: Group::new(WORKERS, names.clone(), SHUTDOWN),
            consumer: consumer::Core::new(WORKERS, Router::new(names), caps),
            workers,
            controls: VecDeque::new(),
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
            forgotten: Vec::new(),
        };
        let of = &mut self.jobs[job];
        of.life += 1;
        of.cores = Some(cores);
        of.alive_since = Some(self.now);
        let member = (job, of.life);
        self.tell(|| format!("job {member:?} starts"));
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

    fn ends(&mut self, member: Member) {
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
                    partitions: vec![-1],
                    commits: Vec::new(),
                },
            );
        }
    }

    pub fn lose(&mut self, member: Member) {
        let partitions = self.partitions_of(member);
        if let Some(cores) = self.cores(member) {
            if cores.stopping || partitions.is_empty() {
                return;
            }
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
        }
    }

    pub fn revoke(&mut self, member: Member, partitions: Vec<i32>) {
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

    pub fn gave_back(&mut self, member: Member, partitions: &[i32], commits: Vec<Commit>) {
        let is_leaving = self.cores(member).is_some_and(|cores| cores.stopping);
        if partitions == [-1] {
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

    fn input(&mut self, member: Member, input: Input) {
        if let Some(cores) = self.cores(member) {
            cores.events.push_back(input);
            self.poke(member, Thread::Group);
        }
    }

    /// The thread has something to do. It does it in a moment.
    fn poke(&mut self, member: Member, thread: Thread) {
        let wait = self.some_micros(1_500);
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

    fn run_group(&mut self, member: Member) {
        loop {
            let now = self.instant();
            let Some(cores) = self.cores(member) else {
                return;
            };
            let due = cores.group.wake_at().filter(|at| *at <= now);
            let Some(input) = cores.events.pop_front().or(due.map(|_| Input::Due)) else {
                let wake = cores.group.wake_at();
                if let Some(at) = wake {
                    let wait = at - now;
                    self.later(wait, What::Runs(member, Thread::Group));
                }
                return;
            };
            while let Some(read) = cores.reads.pop_front() {
                cores.group.read(read);
            }
            let effects: Vec<Effect> = cores.group.step(input, now).collect();
            for effect in effects {
                self.group_wants(member, effect);
            }
        }
    }

    fn group_wants(&mut self, member: Member, effect: Effect) {
        let Some(cores) = self.cores(member) else {
            return;
        };
        match effect {
            Effect::Consumer(control) => {
                cores.controls.push_back(control);
                self.poke(member, Thread::Consumer);
            }
            Effect::Workers(order) => {
                if let Order::Forget(assignment) = order {
                    cores.forgotten.push(assignment);
                }
                for n in 0..WORKERS {
                    self.tell_worker(member, n, order.into());
                }
            }
            Effect::Letter(letter) => {
                let place = (letter.record.assignment.partition, letter.record.offset);
                self.judge.gives_up(place);
                let written = crate::message::group::Written {
                    record: letter.record,
                    bytes: letter.bytes,
                    at: letter.at,
                };
                let wait = self.some_micros(20_000);
                self.later(wait, What::LetterWritten(member, written));
            }
            Effect::Membership(Command::Commit(commits)) => {
                let way = self.some_micros(10_000);
                self.later(way, What::Commits(member, commits));
            }
            Effect::Membership(Command::Look(questions)) => {
                let partitions = questions
                    .iter()
                    .map(|question| question.partition)
                    .collect();
                let way = self.some_micros(10_000);
                self.later(way, What::Looked(member, partitions));
            }
            Effect::Membership(Command::Leave) => {
                let partitions = self.partitions_of(member);
                if partitions.is_empty() {
                    self.ends(member);
                    self.is_gone(member);
                } else {
                    self.revoke(member, partitions);
                }
            }
            Effect::Reply { request, commits } => {
                let way = self.some_micros(10_000);
                if let Some(cores) = self.cores(member) {
                    if let Some(partitions) = cores.requests.remove(&request) {
                        self.later(
                            way,
                            What::GivesBack {
                                member,
                                partitions,
                                commits,
                            },
                        );
                    } else if let Some(partitions) = cores.lost.remove(&request) {
                        self.parts(member, partitions, commits);
                    }
                }
            }
            Effect::Say(notice) => {
                if matches!(notice, crate::group::notice::Notice::CometDetached { .. }) {
                    self.judge.figures.detached += 1;
                }
                self.tell(|| format!("job {member:?}: {notice:?}"));
            }
        }
    }

    /// krafka lost partitions: the parting commit is taken or not, and they are back in a moment or never.
    fn parts(&mut self, member: Member, partitions: Vec<i32>, commits: Vec<Commit>) {
        self.judge.may_repeat(member);
        self.forget(member, |place| partitions.contains(&place.0));
        if self.rng.bool() {
            let outcome = self.commit(member, commits);
            self.tell_group(member, Event::PartingCommit(outcome.taken));
        }
        let wait = Duration::from_millis(self.rng.u64(200..4_000));
        self.later(wait, What::Back(member, partitions));
    }

    pub fn looked(&mut self, member: Member, partitions: &[i32]) {
        let answer = match self.kafka.down {
            0 => Ok(partitions
                .iter()
                .map(|&partition| {
                    let log = Log {
                        start: 0,
                        end: self.kafka.end(partition),
                        epoch_end: None,
                    };
                    let standing = Standing {
                        topic: None,
                        leader_epoch: None,
                        log: Some(log),
                    };
                    (partition, standing)
                })
                .collect()),
            _ => Err("down".into()),
        };
        self.tell_group(member, Event::Looked(answer));
    }

    pub fn letter_written(&mut self, member: Member, written: crate::message::group::Written) {
        if self.kafka.down > 0 {
            self.later(
                Duration::from_millis(500),
                What::LetterWritten(member, written),
            );
            return;
        }
        let Some(cores) = self.cores(member) else {
            return;
        };
        if cores.forgotten.contains(&written.record.assignment) {
            let completion = match written.at {
                None => Completion::Released,
                Some(comet) => Completion::Again { comet, took: false },
            };
            let settled = Settled {
                record: written.record,
                bytes: written.bytes,
                completion,
            };
            self.tell_group(member, Event::Settled(vec![settled]));
        } else {
            let place = (written.record.assignment.partition, written.record.offset);
            self.judge.letter(self.now, place, written.at);
            self.tell_group(member, Event::Written(vec![written]));
        }
    }

    fn tell_worker(&mut self, member: Member, n: usize, event: Told) {
        if let Some(cores) = self.cores(member) {
            cores.inboxes[n].push_back(event);
            self.poke(member, Thread::Worker(n));
        }
    }

    pub fn answered(
        &mut self,
        member: Member,
        n: usize,
        comet: usize,
        id: usize,
        answer: Result<(), i32>,
    ) {
        let comet = CometId(comet as u32);
        let answer = status(answer);
        self.tell_worker(member, n, Told::Answered { comet, id, answer });
    }

    pub fn probe_answered(
        &mut self,
        member: Member,
        n: usize,
        comet: usize,
        answer: Result<(), i32>,
    ) {
        let comet = CometId(comet as u32);
        let answer = status(answer);
        self.tell_worker(member, n, Told::Probed { comet, answer });
    }

    fn run_worker(&mut self, member: Member, n: usize) {
        let now = self.instant();
        let Some(cores) = self.cores(member) else {
            return;
        };
        let mut outbox = Outbox::default();
        let worker = &mut cores.workers[n];
        while let Some(event) = cores.inboxes[n].pop_front() {
            worker.step(event, now, &mut outbox);
        }
        worker.wake(now);
        while let Some(comet) = worker.next_ready() {
            worker.drive(comet, now, &mut outbox);
            while worker.start_calls(comet, 64, now, &mut outbox) {}
            worker.rest(comet, None, now);
        }
        outbox.report();
        if let Some(at) = worker.wake_at()
            && cores.timers[n].is_none_or(|timer| timer <= now || at < timer)
        {
            cores.timers[n] = Some(at);
            let wait = at
                .saturating_duration_since(now)
                .max(Duration::from_micros(10));
            self.later(wait, What::Runs(member, Thread::Worker(n)));
        }
        for (comet, id, place, doublings) in outbox.calls {
            self.tell(|| {
                format!(
                    "job {member:?} worker {n} calls Comet {} with {place:?}",
                    comet.0
                )
            });
            let call = Call {
                job: member.0,
                life: member.1,
                worker: n,
                comet: comet.0 as usize,
                id,
                place,
                begun: self.now,
                waits: true,
            };
            self.call(call, doublings);
        }
        for comet in outbox.probes {
            let comet = comet.0 as usize;
            let (wait, answer) = match self.probed(comet) {
                Some(answer) => (self.some_micros(2_000), answer),
                None => (PROBE, Err(4)),
            };
            let worker = n;
            self.later(
                wait,
                What::Probed {
                    member,
                    worker,
                    comet,
                    answer,
                },
            );
        }
        for said in outbox.said {
            self.tell(|| format!("job {member:?} worker {n}: {said}"));
        }
        for event in outbox.events {
            if let Event::Settled(settled) = &event {
                for one in settled {
                    self.tell(|| format!("job {member:?} worker {n}: {one:?}"));
                }
            }
            self.tell_group(member, event);
        }
    }

    fn run_consumer(&mut self, member: Member) {
        let Some(cores) = self.cores(member) else {
            return;
        };
        if cores.fetching.is_some() {
            return;
        }
        self.apply_pending(member);
        let Some(cores) = self.cores(member) else {
            return;
        };
        let Some(positions) = cores.consumer.positions() else {
            return;
        };
        cores.tickets += 1;
        let ticket = cores.tickets;
        cores.fetching = Some((ticket, positions.clone()));
        let wait = match self.kafka.has_more(&positions) || self.kafka.down > 0 {
            true => self.some_micros(5_000),
            false => FETCH_WAIT,
        };
        self.later(wait, What::Fetched { member, ticket });
    }

    /// Records were written: a fetch that waits for them ends.
    pub fn records_came(&mut self) {
        for job in 0..self.jobs.len() {
            let member = (job, self.jobs[job].life);
            let Some(cores) = self.jobs[job].cores.as_mut() else {
                continue;
            };
            let Some((ticket, positions)) = cores.fetching.as_mut() else {
                continue;
            };
            if self.kafka.has_more(positions) {
                cores.tickets += 1;
                *ticket = cores.tickets;
                let ticket = *ticket;
                let wait = self.some_micros(5_000);
                self.later(wait, What::Fetched { member, ticket });
            }
        }
    }

    fn apply_pending(&mut self, member: Member) {
        loop {
            let Some(cores) = self.cores(member) else {
                return;
            };
            if let Some(control) = cores.controls.pop_front() {
                if let Control::CatchUp { .. } | Control::Assign { .. } | Control::Detach(_) =
                    &control
                {
                    let words = words(&control);
                    self.tell(|| format!("job {member:?} consumer: {words}"));
                }
                self.step_consumer(member, consumer::Event::Control(control));
            } else if let Some((positions, batches)) = cores.again.pop_front() {
                cores.is_asked_again = false;
                let batches = batches.unwrap_or_default();
                self.step_consumer(
                    member,
                    consumer::Event::FetchedAgain {
                        positions: &positions,
                        batches,
                    },
                );
            } else {
                break;
            }
        }
        let Some(cores) = self.cores(member) else {
            return;
        };
        if !cores.is_asked_again
            && let Some(positions) = cores.consumer.positions_again()
        {
            cores.is_asked_again = true;
            let wait = self.some_micros(5_000);
            self.later(wait, What::FetchedAgain { member, positions });
        }
    }

    fn step_consumer(&mut self, member: Member, event: consumer::Event<'_>) {
        let Some(cores) = self.cores(member) else {
            return;
        };
        let (mut reads, mut groups, mut workers) = (Vec::new(), Vec::new(), Vec::new());
        cores.consumer.step(event, &mut |effect| match effect {
            consumer::Effect::Read(read) => reads.push(read),
            consumer::Effect::Group(event) => groups.push(event),
            consumer::Effect::Worker(n, event) => workers.push((n, event)),
            consumer::Effect::Say(_) => {}
        });
        cores.reads.extend(reads);
        for event in groups {
            if let Event::ReadAgain(read) = &event {
                self.judge.figures.sent_again += read.sent.len() as u64;
            }
            self.tell_group(member, event);
        }
        for (n, event) in workers {
            self.tell_worker(member, n, event);
        }
    }

    pub fn fetched(&mut self, member: Member, ticket: u64) {
        let Some(cores) = self.cores(member) else {
            return;
        };
        let Some((_, positions)) = cores.fetching.take_if(|(of, _)| *of == ticket) else {
            return;
        };
        let was_failing = cores.failing;
        match self.kafka.fetch(&positions, AT_ONCE) {
            Ok(batches) => {
                if was_failing {
                    self.step_consumer(member, consumer::Event::Interrupted);
                }
                self.apply_pending(member);
                self.step_consumer(
                    member,
                    consumer::Event::Fetched {
                        positions: &positions,
                        batches,
                    },
                );
                self.set_failing(member, false);
                self.poke(member, Thread::Consumer);
            }
            Err(_) => {
                self.step_consumer(member, consumer::Event::Interrupted);
                self.set_failing(member, true);
                self.later(
                    Duration::from_millis(500),
                    What::Runs(member, Thread::Consumer),
                );
            }
        }
    }

    fn set_failing(&mut self, member: Member, failing: bool) {
        if let Some(cores) = self.cores(member) {
            cores.failing = failing;
        }
    }

    pub fn fetched_again(&mut self, member: Member, positions: Positions) {
        let batches = self.kafka.fetch(&positions, AT_ONCE).map_err(drop);
        if batches.is_err() {
            self.later(
                Duration::from_secs(1),
                What::FetchedAgain { member, positions },
            );
            return;
        }
        if let Some(cores) = self.cores(member) {
            cores.again.push_back((positions, batches));
            self.poke(member, Thread::Consumer);
        }
    }
}

fn words(control: &Control) -> String {
    match control {
        Control::Assign {
            assignment,
            position,
            finished,
            behind,
        } => format!("assign {assignment:?} at {position}, finished {finished:?}, {behind:?}"),
        Control::CatchUp { comet, missing } => format!("{comet:?} catches up on {missing:?}"),
        Control::Detach(comet) => format!("detach {comet:?}"),
        _ => String::new(),
    }
}

fn status(answer: Result<(), i32>) -> Answer {
    answer.map_err(|code| Status {
        code,
        text: "made up".into(),
    })
}
