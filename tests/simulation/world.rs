//! The world: what happens next, and to whom. It owns the time, the randomness and the parts, and decides nothing else.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::comet::{Calls, Comet};
use super::figures::Figures;
use super::job::{Job, Thread};
use super::judge::{Judge, Place};
use super::kafka::{Kafka, Member};
use super::plan::{LASTS, Plan};
use super::worker::status;
use crate::kafka::fetch::Positions;
use crate::message::fleet::Change;
use crate::message::worker::Event as Told;
use crate::message::{CometId, Commit, CommitOutcome, PartitionId, group};

/// How long a life may take to end well after all faults.
const HEALS_WITHIN: Duration = Duration::from_secs(400);
/// Nobody waits longer for what is no fault of theirs.
const NOBODY_WAITS: Duration = Duration::from_secs(20);
/// But for a Comet that was away: so long after its return.
const CATCHES_UP: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_secs(5);

/// What happens.
pub enum What {
    Write,
    Begins(usize),
    Ends(usize),
    Look,
    Start(usize),
    Joins(Member),
    Gone(Member),
    Runs(Member, Thread),
    Tick(Member),
    Fetched {
        member: Member,
        ticket: u64,
    },
    FetchedAgain {
        member: Member,
        positions: Positions,
    },
    Arrives(u64),
    Takes(u64),
    /// A Comet that crashed is there again.
    Restarts(usize),
    Deadline(u64),
    Answered {
        job: usize,
        life: u64,
        worker: usize,
        comet: usize,
        id: usize,
        place: Place,
        call: u64,
        /// What the connection had taken when the call began.
        taken: u64,
        answer: Result<(), i32>,
    },
    Probed {
        member: Member,
        worker: usize,
        comet: usize,
        answer: Result<(), i32>,
    },
    Commits(Member, Vec<Commit>),
    Committed(Member, CommitOutcome),
    Looked(Member, Vec<PartitionId>),
    GivesBack {
        member: Member,
        partitions: Vec<PartitionId>,
        commits: Vec<Commit>,
    },
    /// A job hears that the fleet changed.
    Changes(Member, Change),
    /// A job hears of Comets' rooms.
    Rooms(Member),
    /// A dead letter, and the Comets that it is about.
    LetterWritten(Member, group::Written, Vec<CometId>),
    Back(Member, Vec<PartitionId>),
}

struct Next {
    at: Duration,
    order: u64,
    what: What,
}

impl PartialEq for Next {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Next {}
impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Next {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

pub struct World<'a> {
    pub plan: &'a Plan,
    pub now: Duration,
    begun: Instant,
    queue: BinaryHeap<Next>,
    order: u64,
    pub rng: fastrand::Rng,
    /// Draws what is written, whatever else happens.
    pub records: fastrand::Rng,
    pub refused: std::collections::BTreeMap<Place, usize>,
    /// Records that crash each Comet which gets them.
    pub crashing: std::collections::BTreeSet<Place>,
    pub kafka: Kafka,
    pub comets: Vec<Comet>,
    pub calls: Calls,
    pub jobs: Vec<Job>,
    pub judge: Judge,
    tells: bool,
}

impl<'a> World<'a> {
    /// `tells`: prints what happens.
    pub fn new(plan: &'a Plan, tells: bool) -> Self {
        let mut world = Self {
            plan,
            now: Duration::ZERO,
            begun: Instant::now(),
            queue: BinaryHeap::new(),
            order: 0,
            rng: fastrand::Rng::with_seed(plan.seed ^ 0x5eed),
            records: fastrand::Rng::with_seed(plan.seed ^ 0x4ec0),
            refused: Default::default(),
            crashing: Default::default(),
            kafka: Kafka::default(),
            comets: (0..plan.comets + plan.joiners)
                .map(|_| Comet::default())
                .collect(),
            calls: Calls::default(),
            jobs: (0..plan.jobs).map(|_| Job::default()).collect(),
            judge: Judge::new(plan.comets),
            tells,
        };
        world.kafka.well_since = Some(Duration::ZERO);
        for comet in &mut world.comets {
            comet.well_since = Some(Duration::ZERO);
        }
        world.later(Duration::ZERO, What::Write);
        world.later(LOOK, What::Look);
        for job in 0..plan.jobs {
            world.later(Duration::from_millis(10), What::Start(job));
        }
        for (n, fault) in plan.faults.iter().enumerate() {
            world.later(fault.at, What::Begins(n));
        }
        world
    }

    pub fn run(mut self) -> Result<Figures, String> {
        self.judge.figures.faults = self.plan.faults.len() as u64;
        while let Some(Next { at, what, .. }) = self.queue.pop() {
            self.now = at;
            self.happens(what);
            if let Some(broken) = self.judge.broken.take() {
                return Err(broken);
            }
            if at > LASTS && self.is_well() && self.judge.is_done() && self.kafka.is_committed() {
                break;
            }
            if at > LASTS + HEALS_WITHIN {
                self.judge.end(at);
                return Err(self.judge.broken.take().unwrap_or_else(|| {
                    format!("all is delivered, and not committed: {}", self.kafka.lags())
                }));
            }
        }
        self.judge.figures.lives = 1;
        self.judge.figures.lived = self.now;
        Ok(self.judge.figures)
    }

    pub fn instant(&self) -> Instant {
        self.begun + self.now
    }

    pub fn later(&mut self, after: Duration, what: What) {
        self.order += 1;
        self.queue.push(Next {
            at: self.now + after,
            order: self.order,
            what,
        });
    }

    pub fn some_micros(&mut self, most: u64) -> Duration {
        Duration::from_micros(self.rng.u64(50..most))
    }

    pub fn tell(&self, what: impl FnOnce() -> String) {
        if self.tells {
            println!("{:9.3} {}", self.now.as_secs_f64(), what());
        }
    }

    pub fn refused_by(&self, place: Place) -> Option<usize> {
        self.refused.get(&place).copied()
    }

    fn is_well(&self) -> bool {
        self.kafka.down == 0 && self.comets.iter().all(|comet| comet.well_since.is_some())
    }

    fn happens(&mut self, what: What) {
        match what {
            What::Write => self.write(),
            What::Begins(fault) => self.fault(fault, true),
            What::Ends(fault) => self.fault(fault, false),
            What::Look => self.look(),
            What::Start(job) => self.start(job),
            What::Joins(member) => self.joins(member),
            What::Gone(member) => self.is_gone(member),
            What::Runs(member, thread) => self.runs(member, thread),
            What::Tick(member) => self.tick(member),
            What::Fetched { member, ticket } => self.fetched(member, ticket),
            What::FetchedAgain { member, positions } => self.fetched_again(member, positions),
            What::Arrives(call) => self.arrives(call),
            What::Takes(call) => self.takes(call),
            What::Restarts(comet) => self.restarts(comet),
            What::Deadline(call) => self.deadline(call),
            What::Answered {
                job,
                life,
                worker,
                comet,
                id,
                place,
                call,
                taken,
                answer,
            } => {
                if self.is_alive((job, life)) {
                    let connection = ((job, life), worker, comet);
                    self.judge
                        .tries
                        .answered(self.now, connection, place, taken, answer);
                    self.judge
                        .ended(self.now, (job, life), comet, place, call, answer);
                    let comet = CometId(comet as u32);
                    let answer = status(answer);
                    let told = Told::Answered { comet, id, answer };
                    self.tell_worker((job, life), worker, told);
                } else {
                    self.judge.forget(comet, place, call);
                }
            }
            What::Probed {
                member,
                worker,
                comet,
                answer,
            } => {
                if answer.is_ok() {
                    self.judge.tries.probed((member, worker, comet));
                }
                let comet = CometId(comet as u32);
                let answer = status(answer);
                self.tell_worker(member, worker, Told::Probed { comet, answer });
            }
            What::Rooms(member) => self.tells_rooms(member),
            What::Changes(member, change) => self.tell_group(member, group::Event::Fleet(change)),
            What::Commits(member, commits) => {
                let outcome = self.commit(member, commits);
                let wait = match outcome.failed {
                    Some(_) => Duration::from_millis(500),
                    None => self.some_micros(10_000),
                };
                self.later(wait, What::Committed(member, outcome));
            }
            What::Committed(member, outcome) => {
                self.tell_group(member, group::Event::Committed(outcome))
            }
            What::Looked(member, partitions) => self.looked(member, &partitions),
            What::GivesBack {
                member,
                partitions,
                commits,
            } => self.gave_back(member, &partitions, commits),
            What::LetterWritten(member, written, comets) => {
                self.letter_written(member, written, comets)
            }
            // krafka calls back about one thing after the other.
            What::Back(member, _) if self.is_losing(member) => {}
            What::Back(member, partitions) => {
                for partition in partitions {
                    // One that it is giving back isn't assigned to it beside that.
                    if self.partitions_of(member).contains(&partition)
                        && !self.kafka.is_asked(partition)
                    {
                        self.assign(member, partition);
                    }
                }
                self.share_out();
            }
        }
    }

    /// Looks whether somebody waits for what is no fault of theirs.
    fn look(&mut self) {
        self.later(LOOK, What::Look);
        let Some(kafka) = self.kafka.well_since else {
            return;
        };
        if !self.jobs.iter().all(Job::is_well) {
            return;
        }
        // One that was just started may have no partition yet.
        let jobs = self.jobs.iter();
        let calm = jobs.map(|job| job.calm_since.max(job.alive_since.unwrap_or(self.now)));
        let others = calm.fold(self.kafka.settled_since(self.now).max(kafka), Duration::max);
        // A Comet that comes back catches up first, through few places where little may be held.
        // Where little may be held and the job stood still, all of them may be behind by much.
        let stood_still = self.jobs.iter().any(|job| !job.calm_since.is_zero());
        let is_slow = self.plan.holds_few() && stood_still;
        let since = |comet: &Comet| {
            let since = comet.well_since?;
            let catches_up = match since.is_zero() {
                _ if is_slow => 5 * CATCHES_UP,
                true => Duration::ZERO,
                false => CATCHES_UP,
            };
            Some(since.max(others) + catches_up)
        };
        let since: Vec<_> = self.comets.iter().map(since).collect();
        self.judge
            .nobody_waits(self.now, NOBODY_WAITS, |comet| since[comet]);
    }
}
