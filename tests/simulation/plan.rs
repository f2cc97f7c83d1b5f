//! What goes wrong in a life, and how the fleet is made: all of it from the seed. It knows no state.

use std::fmt;
use std::time::Duration;

use super::job::WORKERS;
use crate::message::{PartitionId, TopicId};

/// How long records are written and faults begin. Then everything heals.
pub const LASTS: Duration = Duration::from_secs(600);

#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    /// In the fleet at first. One of them stays.
    pub comets: usize,
    /// That may join.
    pub joiners: usize,
    /// Whether jobs send a room's messages only where it is.
    pub by_rooms: bool,
    pub jobs: usize,
    pub partitions: i32,
    /// They are of one topic, or of two in turn.
    pub topics: i32,
    /// The broker's limit for a commit's metadata, in bytes.
    pub metadata: usize,
    /// Limit for the messages that a job holds.
    pub hold: usize,
    /// The mean time between two records.
    pub between: Duration,
    pub faults: Vec<Fault>,
}

#[derive(Clone, Debug)]
pub struct Fault {
    pub at: Duration,
    pub lasts: Duration,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Its calls are cut and it refuses connections.
    CometDown(usize),
    AllDown,
    /// It takes no call until this ends. Then it takes what waits.
    CometHangs(usize),
    /// It takes each call this much later.
    CometSlow(usize, Duration),
    /// Each call fails with this status; probes don't.
    CometFails(usize, i32),
    /// Its connections are cut, and work again at once.
    Cut(usize),
    /// Nothing can be read or committed.
    KafkaDown,
    /// Commits fail.
    CommitsFail,
    /// Killed, and started again when this ends.
    JobKilled(usize),
    /// Asked to stop, and started again when this ends.
    JobStopped(usize),
    /// Kafka wants its partitions back, and shares them out in another way.
    Moves(usize),
    /// krafka loses the partitions, and gets them back at once or not.
    Lost(usize),
    /// Kafka takes the job for gone and gives its partitions away, until it joins anew.
    Expelled(usize),
    /// Each call to any Comet fails with this status; probes don't.
    AllFail(i32),
    /// It refuses each message.
    CometRefuses(usize),
    /// What one worker sends to a Comet fails on the way, probes too.
    ConnectionFails {
        job: usize,
        worker: usize,
        comet: usize,
    },
    /// Many messages come at once, and it refuses the first of them.
    Flood(usize),
    /// Its threads often stand still for seconds.
    JobBusy(usize),
    /// A message is written that crashes each Comet which gets it.
    Crashing,
    /// An operator has it read nothing. A job that is started reads.
    Paused(usize),
    /// An operator has each job skip some of what is on its way.
    Skip,
    /// A new Comet joins the fleet. Each job hears of it within some seconds.
    Joins(usize),
    /// A Comet leaves it for good.
    Leaves(usize),
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let comets = rng.usize(2..4);
        let jobs = rng.usize(1..3);
        // Troubles come one by one, or all together.
        let (count, within) = match rng.u8(..4) {
            0 => (rng.usize(10..30), 60_000),
            _ => (rng.usize(1..14), LASTS.as_millis() as u64),
        };
        let all = (0..count).map(|_| fault(&mut rng, comets, jobs, within));
        let mut faults: Vec<Fault> = all.collect();
        // Drawn apart, so that each seed keeps the rest of its life.
        let mut apart = fastrand::Rng::with_seed(seed ^ 0x0dd2);
        if apart.bool() {
            let near = |rng: &mut fastrand::Rng| faults[rng.usize(..faults.len())].at;
            let more = (0..apart.usize(1..5)).map(|_| {
                let at = near(&mut apart);
                rare(&mut apart, comets, jobs, at)
            });
            let more: Vec<Fault> = more.collect();
            faults.extend(more);
        }
        let mut apart = fastrand::Rng::with_seed(seed ^ 0x0c4a);
        if apart.u8(..4) == 0 {
            let at = |rng: &mut fastrand::Rng| Duration::from_millis(rng.u64(5_000..500_000));
            faults.extend((0..apart.usize(1..3)).map(|_| Fault {
                at: at(&mut apart),
                lasts: Duration::from_millis(1),
                kind: Kind::Crashing,
            }));
        }
        let mut apart = fastrand::Rng::with_seed(seed ^ 0x3a9d);
        if apart.u8(..6) == 0 {
            faults.extend(restless(&mut apart, jobs));
        }
        let mut apart = fastrand::Rng::with_seed(seed ^ 0x9c71);
        if apart.u8(..3) == 0 {
            let more = (0..apart.usize(1..6)).map(|_| {
                let at = faults[apart.usize(..faults.len())].at;
                operated(&mut apart, jobs, at)
            });
            let more: Vec<Fault> = more.collect();
            faults.extend(more);
        }
        let mut apart = fastrand::Rng::with_seed(seed ^ 0xf1ee);
        let joiners = match apart.u8(..3) {
            0 => apart.usize(..4),
            _ => 0,
        };
        if joiners > 0 {
            faults.extend(changes(&mut apart, comets, joiners));
        }
        faults.sort_by_key(|fault| fault.at);
        let topics = fastrand::Rng::with_seed(seed ^ 0x2709).i32(1..3);
        Self {
            topics,
            seed,
            comets,
            joiners,
            by_rooms: fastrand::Rng::with_seed(seed ^ 0x3005).u8(..3) == 0,
            jobs,
            partitions: rng.i32(1..4),
            metadata: if rng.u8(..5) == 0 { 64 } else { 4096 },
            hold: if rng.u8(..3) == 0 { 60 } else { 10_000 },
            between: Duration::from_millis(rng.u64(50..1_500)),
            faults,
        }
    }
}

fn fault(rng: &mut fastrand::Rng, comets: usize, jobs: usize, within: u64) -> Fault {
    let (comet, job) = (rng.usize(..comets), rng.usize(..jobs));
    let kind = match rng.u8(..18) {
        0..=2 => Kind::CometDown(comet),
        3 => Kind::AllDown,
        4..=6 => Kind::CometHangs(comet),
        7 => Kind::CometSlow(comet, Duration::from_millis(rng.u64(50..7_000))),
        8 => Kind::CometFails(comet, [2, 4, 13, 14][rng.usize(..4)]),
        9 => Kind::Cut(comet),
        10 => Kind::KafkaDown,
        11 => Kind::CommitsFail,
        12..=13 => Kind::JobKilled(job),
        14 => Kind::JobStopped(job),
        15..=16 => Kind::Moves(job),
        _ => Kind::Lost(job),
    };
    let longest = [3_000, 15_000, 90_000][rng.usize(..3)];
    Fault {
        at: Duration::from_millis(rng.u64(5_000..within)),
        lasts: Duration::from_millis(rng.u64(200..longest)),
        kind,
    }
}

/// An operator steers the jobs, some time after something went wrong.
fn operated(rng: &mut fastrand::Rng, jobs: usize, near: Duration) -> Fault {
    let kind = match rng.u8(..3) {
        0 => Kind::Paused(rng.usize(..jobs)),
        _ => Kind::Skip,
    };
    Fault {
        at: near + Duration::from_millis(rng.u64(..10_000)),
        lasts: Duration::from_millis(rng.u64(200..60_000)),
        kind,
    }
}

/// For some minutes the partitions change hands every few seconds.
fn restless(rng: &mut fastrand::Rng, jobs: usize) -> Vec<Fault> {
    let longest = [3_000, 20_000][rng.usize(..2)];
    let (mut at, end) = (rng.u64(5_000..400_000), rng.u64(60_000..200_000));
    let end = at + end;
    let mut faults = Vec::new();
    while at < end {
        faults.push(Fault {
            at: Duration::from_millis(at),
            lasts: Duration::from_millis(1),
            kind: Kind::Moves(rng.usize(..jobs)),
        });
        at += rng.u64(longest / 2..longest);
    }
    faults
}

/// New Comets join, and Comets leave, those too that joined before.
fn changes(rng: &mut fastrand::Rng, comets: usize, joiners: usize) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut change = |millis, kind| {
        faults.push(Fault {
            at: Duration::from_millis(millis),
            lasts: Duration::from_millis(1),
            kind,
        });
    };
    for comet in comets..comets + joiners {
        let joins = rng.u64(5_000..400_000);
        change(joins, Kind::Joins(comet));
        if rng.bool() {
            let stays = rng.u64(5_000..150_000);
            change(joins + stays, Kind::Leaves(comet));
        }
    }
    for comet in 1..comets {
        if rng.bool() {
            change(rng.u64(5_000..550_000), Kind::Leaves(comet));
        }
    }
    faults
}

/// A fault that begins about when another one does.
fn rare(rng: &mut fastrand::Rng, comets: usize, jobs: usize, near: Duration) -> Fault {
    let (comet, job) = (rng.usize(..comets), rng.usize(..jobs));
    let kind = match rng.u8(..9) {
        0..=1 => Kind::Expelled(job),
        2 => Kind::AllFail([2, 4, 13][rng.usize(..3)]),
        3 => Kind::CometRefuses(comet),
        4 => Kind::ConnectionFails {
            job,
            worker: rng.usize(..WORKERS),
            comet,
        },
        5 => Kind::Flood(comet),
        _ => Kind::JobBusy(job),
    };
    let early = Duration::from_millis(rng.u64(..4_000));
    let longest = [10_000, 150_000][rng.usize(..2)];
    Fault {
        at: near.saturating_sub(early),
        lasts: Duration::from_millis(rng.u64(200..longest)),
        kind,
    }
}

impl Plan {
    /// The nth partition.
    pub fn partition(&self, n: i32) -> PartitionId {
        let topic = TopicId((n % self.topics) as u16);
        let index = n / self.topics;
        PartitionId { topic, index }
    }

    /// Whether so little may be held that reading stops for a Comet that is slow.
    pub fn holds_few(&self) -> bool {
        self.hold < 1_000
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} jobs, {} Comets and {} that join, {} partitions of {} topics, {} bytes of metadata, {} messages held, a record each {:?}",
            self.jobs,
            self.comets,
            self.joiners,
            self.partitions,
            self.topics,
            self.metadata,
            self.hold,
            self.between
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, end) = (self.at.as_secs_f64(), (self.at + self.lasts).as_secs_f64());
        write!(f, "  {at:.1} s to {end:.1} s: {:?}", self.kind)
    }
}
