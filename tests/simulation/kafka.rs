//! Kafka: logs, what is committed, and which job has which partition. It must not know what a record is for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::judge::Place;
use super::world::{What, World};
use crate::kafka::fetch::{Batch, FetchError, Outcome, Positions, Record};
use crate::message::group::Event;
use crate::message::{Commit, CommitOutcome, Failure, PartitionId, offset_map};

/// A job in one of its lives.
pub type Member = (usize, u64);

/// How long Kafka waits for a member that is silent.
const SESSION: Duration = Duration::from_secs(10);
/// Nobody notices that a partition changes hands within this.
const QUICKLY: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Kafka {
    pub down: u32,
    pub commits_fail: u32,
    pub well_since: Option<Duration>,
    logs: BTreeMap<PartitionId, Vec<Bytes>>,
    committed: BTreeMap<PartitionId, (i64, String)>,
    members: BTreeSet<Member>,
    owners: BTreeMap<PartitionId, Member>,
    /// Partitions that their owner was asked to give back, and since when.
    asked: BTreeMap<PartitionId, Duration>,
    /// Grows when Kafka shares the partitions out in another way.
    turn: usize,
    /// When a member came or went last, or one took long to give something back.
    settled_since: Duration,
}

impl Kafka {
    pub fn write(&mut self, partition: PartitionId, value: Bytes) -> Place {
        let log = self.logs.entry(partition).or_default();
        log.push(value);
        (partition, log.len() as i64 - 1)
    }

    pub fn end(&self, partition: PartitionId) -> i64 {
        self.logs.get(&partition).map_or(0, |log| log.len() as i64)
    }

    /// Since when each partition is with one member or changes hands quickly.
    pub fn settled_since(&self, now: Duration) -> Duration {
        match self.asked.values().any(|at| now > *at + QUICKLY) {
            true => now,
            false => self.settled_since,
        }
    }

    /// Whether its owner is giving it back.
    pub fn is_asked(&self, partition: PartitionId) -> bool {
        self.asked.contains_key(&partition)
    }

    pub fn is_member(&self, member: Member) -> bool {
        self.members.contains(&member)
    }

    /// Whether all is committed, and no Comet misses anything.
    pub fn is_committed(&self) -> bool {
        self.logs.iter().all(|(partition, log)| {
            let committed = self.committed.get(partition);
            committed.is_some_and(|(offset, metadata)| {
                let map = offset_map::decode(*offset, metadata).unwrap_or_default();
                *offset == log.len() as i64 && map.missing.is_empty()
            })
        })
    }

    /// What is committed of each partition, beside its end.
    pub fn lags(&self) -> String {
        let lag = |(partition, log): (&PartitionId, &Vec<Bytes>)| {
            let (offset, metadata) = self.committed.get(partition).cloned().unwrap_or_default();
            let map = offset_map::decode(offset, &metadata);
            format!("{partition}: {offset} of {}, {map:?}; ", log.len())
        };
        self.logs.iter().map(lag).collect()
    }

    /// Whether something is to be read from there.
    pub fn has_more(&self, positions: &Positions) -> bool {
        positions
            .iter()
            .any(|(&partition, &at)| self.end(partition) > at)
    }

    /// Reads at most `most` records of each partition.
    pub fn fetch(&self, positions: &Positions, most: usize) -> Result<Vec<Batch>, FetchError> {
        if self.down > 0 {
            return Err(FetchError::Failed("down".into()));
        }
        let batch = |(&partition, &at): (&PartitionId, &i64)| {
            let log = self.logs.get(&partition)?;
            let values = log.get(at as usize..)?.iter().take(most);
            let records: Vec<_> = (at..)
                .zip(values)
                .map(|(offset, value)| Record {
                    trace: None,
                    offset,
                    value: Some(value.clone()),
                    size: value.len(),
                    timestamp: -1,
                })
                .collect();
            let next = records.last()?.offset + 1;
            let outcome = Outcome::Records { records, next };
            Some(Batch { partition, outcome })
        };
        Ok(positions.iter().filter_map(batch).collect())
    }
}

impl World<'_> {
    /// A commit reaches Kafka. Returns what is answered.
    pub fn commit(&mut self, member: Member, commits: Vec<Commit>) -> CommitOutcome {
        if self.kafka.down > 0 || self.kafka.commits_fail > 0 {
            return CommitOutcome::failed(Failure::Other("down".into()));
        }
        if !self.kafka.is_member(member) {
            return CommitOutcome::failed(Failure::NotMember("gone".into()));
        }
        let mut outcome = CommitOutcome::default();
        for mut commit in commits {
            if self.kafka.owners.get(&commit.partition) != Some(&member) {
                outcome.failed = Some(Failure::NotMember("another's".into()));
                continue;
            }
            let limit = self.plan.metadata;
            if commit.metadata.len() > limit {
                (commit.offset, commit.metadata) =
                    offset_map::shorten(commit.offset, &commit.metadata, limit);
                outcome.map_len = Some(limit);
            }
            self.judge
                .committed(self.now, commit.partition, commit.offset, &commit.metadata);
            let place = (commit.offset, commit.metadata.clone());
            self.kafka.committed.insert(commit.partition, place);
            outcome.taken.push(commit);
        }
        outcome
    }

    pub fn joins(&mut self, member: Member) {
        if self.is_alive(member) {
            self.kafka.members.insert(member);
            self.kafka.settled_since = self.now;
            self.share_out();
        }
    }

    /// A member left, or was silent for too long.
    pub fn is_gone(&mut self, member: Member) {
        self.kafka.members.remove(&member);
        self.kafka.settled_since = self.now;
        let owners = &mut self.kafka.owners;
        let gone: Vec<PartitionId> = owners
            .iter()
            .filter(|(_, of)| **of == member)
            .map(|(p, _)| *p)
            .collect();
        owners.retain(|_, owner| *owner != member);
        self.kafka
            .asked
            .retain(|partition, _| !gone.contains(partition));
        self.share_out();
    }

    pub fn is_silent(&mut self, member: Member) {
        self.later(SESSION, What::Gone(member));
    }

    /// Gives each partition to the member whose turn it is, once its owner has given it back.
    pub fn share_out(&mut self) {
        let members: Vec<Member> = self.kafka.members.iter().copied().collect();
        if members.is_empty() {
            return;
        }
        let mut wanted: BTreeMap<Member, Vec<PartitionId>> = BTreeMap::new();
        for n in 0..self.plan.partitions {
            let partition = self.plan.partition(n);
            let due = members[(n as usize + self.kafka.turn) % members.len()];
            match self.kafka.owners.get(&partition) {
                Some(owner) if *owner == due => {}
                Some(_) if self.kafka.asked.contains_key(&partition) => {}
                Some(owner) => {
                    wanted.entry(*owner).or_default().push(partition);
                }
                // krafka calls back about one thing after the other.
                None if self.is_losing(due) => {}
                None => {
                    self.kafka.owners.insert(partition, due);
                    self.assign(due, partition);
                }
            }
        }
        for (owner, partitions) in wanted {
            // krafka calls back about one thing after the other.
            if self.is_alive(owner) && !self.is_losing(owner) {
                self.asks_back(&partitions);
                self.judge.is_owner(owner, &partitions);
                self.revoke(owner, partitions);
            }
        }
    }

    /// A member has to give all its partitions back, also where it is the only one.
    pub fn moves(&mut self, member: Member) {
        let mut partitions = self.partitions_of(member);
        partitions.retain(|partition| !self.kafka.asked.contains_key(partition));
        if !self.is_alive(member) || self.is_losing(member) || partitions.is_empty() {
            return;
        }
        self.kafka.turn += 1;
        self.asks_back(&partitions);
        self.judge.is_owner(member, &partitions);
        self.revoke(member, partitions);
    }

    fn asks_back(&mut self, partitions: &[PartitionId]) {
        let asked = partitions.iter().map(|partition| (*partition, self.now));
        self.kafka.asked.extend(asked);
    }

    /// A member gives partitions back, and says what to commit.
    pub fn gives_back(&mut self, member: Member, partitions: &[PartitionId], commits: Vec<Commit>) {
        self.commit(member, commits);
        for partition in partitions {
            let asked = self.kafka.asked.remove(partition);
            if asked.is_some_and(|at| self.now > at + QUICKLY) {
                self.kafka.settled_since = self.now;
            }
            if self.kafka.owners.get(partition) == Some(&member) {
                self.kafka.owners.remove(partition);
            }
        }
        self.share_out();
    }

    /// Tells a member that a partition is its own.
    pub fn assign(&mut self, member: Member, partition: PartitionId) {
        self.judge.is_owner(member, &[partition]);
        let (position, metadata) = self
            .kafka
            .committed
            .get(&partition)
            .cloned()
            .unwrap_or_default();
        let assigned = Event::Assigned {
            partition,
            position,
            metadata,
            leader_epoch: None,
            standing: None,
        };
        self.tell_group(member, assigned);
    }

    pub fn partitions_of(&self, member: Member) -> Vec<PartitionId> {
        let owners = self.kafka.owners.iter();
        owners
            .filter(|(_, owner)| **owner == member)
            .map(|(p, _)| *p)
            .collect()
    }
}
