//! The group's decisions: the core in virtual time, and the shell around it.

mod catch_up;
mod commit;
mod fleet;
mod life;
mod logs;
mod lost;
mod missing;
mod revoke;
mod shell;
mod skip;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

use super::effect::{Effect, Order, RequestId};
use super::notice::Notice;
use super::{COMMIT_EVERY, Group, Input};
use crate::base::lease::Lapse;
use crate::message::consumer::Control;
use crate::message::dead_letter::Letter;
use crate::message::group::{Event, Read, ReadAgain, Skipped, Written};
use crate::message::membership::Command;
use crate::message::standing::{Question, Standing};
use crate::message::{
    Assignment, CometId, Commit, CommitOutcome, Completion, Failure, PartitionId, RecordId, Settled,
};

/// The fleet's addresses.
const COMETS: [&str; 3] = ["comet-a:50051", "comet-b:50051", "comet-c:50051"];

const TIMEOUT: Duration = Duration::from_secs(60);

/// Partition 0 at a core with one worker, in virtual time; what the core asked for and no test has looked at yet.
struct Core {
    group: Group,
    now: Instant,
    requests: u64,
    control: VecDeque<Control>,
    orders: VecDeque<Order>,
    letters: VecDeque<Letter>,
    commands: VecDeque<Command>,
    replies: BTreeMap<RequestId, Vec<Commit>>,
    notices: Vec<Notice>,
    skipped: Vec<(RequestId, Skipped)>,
    gone: Vec<CometId>,
    /// Comets that live records are not sent to.
    behind: Vec<CometId>,
}

impl Core {
    fn new(shutdown_timeout: Duration) -> Self {
        Self {
            group: Group::new(1, COMETS.map(Into::into).into(), shutdown_timeout),
            now: Instant::now(),
            requests: 0,
            control: VecDeque::new(),
            orders: VecDeque::new(),
            letters: VecDeque::new(),
            commands: VecDeque::new(),
            replies: BTreeMap::new(),
            notices: Vec::new(),
            skipped: Vec::new(),
            gone: Vec::new(),
            behind: Vec::new(),
        }
    }

    fn step(&mut self, input: Input) {
        for effect in self.group.step(input, self.now) {
            match effect {
                Effect::Consumer(control) => self.control.push_back(control),
                Effect::Workers(order) => self.orders.push_back(order),
                Effect::Letter(letter) => self.letters.push_back(letter),
                Effect::Membership(command) => self.commands.push_back(command),
                Effect::Reply { request, commits } => {
                    let answered = self.replies.insert(request, commits);
                    assert!(answered.is_none(), "{request:?} is answered twice");
                }
                Effect::Skipped { request, skipped } => self.skipped.push((request, skipped)),
                Effect::Gone(comet) => self.gone.push(comet),
                Effect::Say(notice) => self.notices.push(notice),
            }
        }
    }

    fn tell(&mut self, event: Event) {
        self.step(Input::Told(event));
    }

    fn tick(&mut self) {
        self.now += COMMIT_EVERY;
        self.step(Input::Tick { lapse: None });
    }

    /// As if this process had not run for `time`.
    fn halt(&mut self, time: Duration) {
        self.now += time;
        self.step(Input::Tick {
            lapse: Some(Lapse {
                number: 1,
                lasted: time,
            }),
        });
    }

    /// Lets time pass up to when the core wants to be called, and calls it.
    fn await_due(&mut self) {
        let due = self.group.wake_at().expect("nothing is due");
        assert!(due > self.now, "it is due again at once");
        self.now = due;
        self.step(Input::Due);
    }

    fn assign(&mut self, index: i32, position: i64, metadata: &str) {
        self.tell(Event::Assigned {
            partition: PartitionId::of_first(index),
            position,
            metadata: metadata.into(),
            leader_epoch: None,
            standing: None,
        });
    }

    fn read(&mut self, epoch: u64, offsets: Range<i64>) {
        self.group.read(Read {
            assignment: assignment(epoch),
            next: offsets.end,
            offsets: offsets.collect(),
            behind: self.behind.clone(),
        });
    }

    /// Assigns partition 0 from offset 0 and reads `offsets`. Returns the assignment's epoch.
    fn consuming(&mut self, offsets: Range<i64>) -> u64 {
        self.assign(0, 0, "");
        let (epoch, position) = self.assigned();
        assert_eq!(position, 0);
        self.read(epoch, offsets);
        epoch
    }

    fn settle(&mut self, epoch: u64, offset: i64, completion: Completion) {
        let record = record(epoch, offset);
        self.tell(Event::Settled(vec![Settled {
            record,
            bytes: 1,
            completion,
        }]));
    }

    fn request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    fn revoke(&mut self) -> RequestId {
        let request = self.request();
        self.step(Input::Revoked {
            request,
            partitions: vec![PartitionId::FIRST],
        });
        request
    }

    /// krafka loses partition 0. Returns what may still be committed.
    fn lose(&mut self) -> Vec<Commit> {
        let request = self.request();
        self.step(Input::Lost {
            request,
            partitions: vec![PartitionId::FIRST],
        });
        self.reply(request).expect("a reply at once")
    }

    fn reply(&mut self, request: RequestId) -> Option<Vec<Commit>> {
        self.replies.remove(&request)
    }

    /// Ticks until a commit is begun.
    fn next_commit(&mut self) -> Vec<Commit> {
        for _ in 0..10 {
            while let Some(command) = self.commands.pop_front() {
                if let Command::Commit(commits) = command {
                    return commits;
                }
            }
            self.tick();
        }
        panic!("no commit");
    }

    /// Ticks until a look is begun.
    fn next_look(&mut self) -> Vec<Question> {
        for _ in 0..10 {
            while let Some(command) = self.commands.pop_front() {
                match command {
                    Command::Look(questions) => return questions,
                    Command::Commit(commits) => self.tell(Event::Committed(taken(commits))),
                    Command::Leave => panic!("it leaves"),
                }
            }
            self.tick();
        }
        panic!("no look");
    }

    /// Answers a look at partition 0.
    fn answer(&mut self, standing: Standing) {
        self.next_look();
        self.tell(Event::Looked(Ok(BTreeMap::from([(
            PartitionId::FIRST,
            standing,
        )]))));
    }

    /// The epoch and the position from which the consumer is to read partition 0.
    fn assigned(&mut self) -> (u64, i64) {
        let (epoch, position, _) = self.assigned_without();
        (epoch, position)
    }

    /// And the offsets that it is to leave out.
    fn assigned_without(&mut self) -> (u64, i64, Vec<i64>) {
        while let Some(control) = self.control.pop_front() {
            if let Control::Assign {
                assignment:
                    Assignment {
                        partition: PartitionId::FIRST,
                        epoch,
                    },
                position,
                finished,
                ..
            } = control
            {
                return (epoch, position, finished.into_iter().flatten().collect());
            }
        }
        panic!("not assigned");
    }

    /// A commit of partition 0 comes back as from no member of the group.
    fn refuse(&mut self) {
        let commits = self.next_commit();
        assert!(
            commits
                .iter()
                .any(|commit| commit.partition == PartitionId::FIRST)
        );
        let why = Failure::NotMember("Kafka answered UnknownMemberId".into());
        self.tell(Event::Committed(CommitOutcome::failed(why)));
    }

    /// Takes what the worker and the consumer were told: that nothing of partition 0 may be read or sent.
    fn suspended(&mut self, epoch: u64) {
        assert_eq!(
            self.orders.pop_front(),
            Some(Order::Suspend(assignment(epoch)))
        );
        let suspends =
            |control| matches!(control, Control::Suspend(one) if one == assignment(epoch));
        assert!(self.control.drain(..).any(suspends));
    }

    /// Whether the consumer was told to drop partition 0.
    fn is_dropped(&mut self) -> bool {
        let drops = |control| {
            matches!(
                control,
                Control::Revoke {
                    partition: PartitionId::FIRST
                }
            )
        };
        self.control.drain(..).any(drops)
    }
}

fn taken(commits: Vec<Commit>) -> CommitOutcome {
    CommitOutcome {
        taken: commits,
        ..CommitOutcome::default()
    }
}

/// Of partition 0.
fn assignment(epoch: u64) -> Assignment {
    Assignment {
        partition: PartitionId::FIRST,
        epoch,
    }
}

fn record(epoch: u64, offset: i64) -> RecordId {
    RecordId {
        assignment: assignment(epoch),
        offset,
    }
}

fn written(letter: &Letter) -> Event {
    Event::Written(vec![Written {
        record: letter.record,
        bytes: letter.bytes,
        at: letter.at,
    }])
}
