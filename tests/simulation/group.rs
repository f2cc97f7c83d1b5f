//! A job's group thread, and what it reaches: the membership, and the thread that writes dead letters. It decides nothing.

use std::time::Duration;

use super::job::Thread;
use super::job::WORKERS;
use super::kafka::Member;
use super::world::{What, World};
use crate::group::Input;
use crate::group::effect::{Effect, Order};
use crate::group::notice::Notice;
use crate::message::group::{Event, Skipped, Written};
use crate::message::membership::Command;
use crate::message::standing::{Log, Standing};
use crate::message::{CometId, Commit, Completion, PartitionId, Settled};
impl World<'_> {
    pub fn run_group(&mut self, member: Member) {
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
                self.judge.has_letter(place);
                let comets = letter.why.comets;
                let written = Written {
                    record: letter.record,
                    bytes: letter.bytes,
                    at: letter.at,
                };
                let wait = self.some_micros(20_000);
                self.later(wait, What::LetterWritten(member, written, comets));
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
            Effect::Skipped { skipped, .. } => {
                self.judge.figures.skipped += u64::from(matches!(skipped, Skipped::Taken { .. }));
                self.tell(|| format!("job {member:?}: {skipped:?}"));
            }
            Effect::Gone(comet) => self.tell(|| format!("job {member:?}: {comet:?} is gone")),
            Effect::Say(notice) => {
                if matches!(notice, Notice::CometDetached { .. }) {
                    self.judge.figures.detached += 1;
                }
                self.tell(|| format!("job {member:?}: {notice:?}"));
            }
        }
    }

    /// krafka lost partitions: the parting commit is taken or not, and they are back in a moment or never.
    fn parts(&mut self, member: Member, partitions: Vec<PartitionId>, commits: Vec<Commit>) {
        self.judge.may_repeat(member);
        self.judge.lost(member, &partitions);
        self.forget(member, |place| partitions.contains(&place.0));
        if self.rng.bool() {
            let outcome = self.commit(member, commits);
            self.tell_group(member, Event::PartingCommit(outcome.taken));
        }
        let wait = Duration::from_millis(self.rng.u64(200..4_000));
        let cores = self.cores(member);
        if cores.is_some_and(|cores| std::mem::take(&mut cores.expelled)) {
            self.is_gone(member);
            self.later(wait, What::Joins(member));
            return;
        }
        self.later(wait, What::Back(member, partitions));
    }

    pub fn looked(&mut self, member: Member, partitions: &[PartitionId]) {
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

    pub fn letter_written(&mut self, member: Member, written: Written, comets: Vec<CometId>) {
        if self.kafka.down > 0 {
            self.later(
                Duration::from_millis(500),
                What::LetterWritten(member, written, comets),
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
            let now = self.now;
            let may_lack = |comet: usize, at| self.comets[comet].may_lack(at, now);
            self.judge.letter(now, place, &comets, may_lack);
            self.tell_group(member, Event::Written(vec![written]));
        }
    }
}
