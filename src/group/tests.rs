//! The group's decisions, seen from the channels around it.

mod commit;
mod logs;
mod lost;
mod revoke;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;

use super::{Channels, Counts, Event, Group, Read};
use crate::base::lease::{Lease, Moment};
use crate::message::consumer::Control;
use crate::message::dead_letter::Letter;
use crate::message::membership::Command;
use crate::message::standing::{Question, Standing};
use crate::message::{
    Assignment, Commit, CommitOutcome, Completion, Failure, RecordId, Settled, worker,
};

const TIMEOUT: Duration = Duration::from_secs(60);

/// A group on a thread of its own, and the other ends of its channels.
struct Around {
    events: Sender<Event>,
    reads: Sender<Read>,
    stop: Sender<()>,
    control: Receiver<Control>,
    worker: Receiver<worker::Event>,
    letters: Receiver<Letter>,
    commands: UnboundedReceiver<Command>,
    lease: Arc<Lease>,
    group: std::thread::JoinHandle<Result<Counts, String>>,
}

impl Around {
    fn new(shutdown_timeout: Duration) -> Self {
        let (events, group_events) = unbounded();
        let (record, reads) = unbounded();
        let (stop, stopped) = unbounded();
        let (consumer, control) = unbounded();
        let (to_worker, worker) = unbounded();
        let (dead_letters, letters) = unbounded();
        let (membership, commands) = unbounded_channel();
        let lease = Arc::new(Lease::new(Duration::from_secs(10), Moment::now()));
        let channels = Channels {
            consumer,
            workers: vec![to_worker],
            dead_letters,
            membership,
            lease: lease.clone(),
        };
        let group = Group::new(group_events, reads, channels, shutdown_timeout);
        let group = std::thread::spawn(move || group.run(&stopped, shutdown_timeout));
        Self {
            events,
            reads: record,
            stop,
            control,
            worker,
            letters,
            commands,
            lease,
            group,
        }
    }

    fn tell(&self, event: Event) {
        self.events.send(event).unwrap();
    }

    /// Assigns partition 0 from offset 0 and reads `offsets`. Returns the assignment's epoch.
    fn consuming(&self, offsets: std::ops::Range<i64>) -> u64 {
        self.tell(Event::Assigned {
            partition: 0,
            position: 0,
            metadata: String::new(),
            leader_epoch: None,
            standing: None,
        });
        let Control::Assign {
            assignment: Assignment { epoch, .. },
            ..
        } = self.control.recv().unwrap()
        else {
            panic!("not assigned")
        };
        let next = offsets.end;
        let read = Read {
            assignment: Assignment {
                partition: 0,
                epoch,
            },
            offsets: offsets.collect(),
            next,
        };
        self.reads.send(read).unwrap();
        epoch
    }

    /// Waits until all events sent before are taken in.
    fn caught_up(&self) {
        self.tell(Event::Assigned {
            partition: 9,
            position: 0,
            metadata: String::new(),
            leader_epoch: None,
            standing: None,
        });
        while !matches!(
            self.control.recv().unwrap(),
            Control::Assign {
                assignment: Assignment { partition: 9, .. },
                ..
            }
        ) {}
    }

    fn settle(&self, epoch: u64, offset: i64, completion: Completion) {
        let record = record(epoch, offset);
        self.tell(Event::Settled(vec![Settled {
            record,
            bytes: 1,
            completion,
        }]));
    }

    fn revoke(&self) -> oneshot::Receiver<Vec<Commit>> {
        let (reply, answer) = oneshot::channel();
        let partitions = vec![0];
        self.tell(Event::Revoked { partitions, reply });
        answer
    }

    fn lose(&self) -> oneshot::Receiver<Vec<Commit>> {
        let (reply, answer) = oneshot::channel();
        let partitions = vec![0];
        self.tell(Event::Lost { partitions, reply });
        answer
    }

    /// Waits until a lost partition is given up.
    fn given_up(&self) {
        while !matches!(
            self.control.recv().unwrap(),
            Control::Revoke { partition: 0 }
        ) {}
    }

    fn next_commit(&mut self) -> Vec<Commit> {
        loop {
            match self.commands.blocking_recv() {
                Some(Command::Commit(commits)) => return commits,
                Some(Command::Look(_)) => {}
                _ => panic!("no commit"),
            }
        }
    }

    fn next_look(&mut self) -> Vec<Question> {
        loop {
            match self.commands.blocking_recv() {
                Some(Command::Look(questions)) => return questions,
                Some(Command::Commit(commits)) => self.tell(Event::Committed(taken(commits))),
                _ => panic!("no look"),
            }
        }
    }

    /// Answers a look at partition 0.
    fn answer(&mut self, standing: Standing) {
        self.next_look();
        self.tell(Event::Looked(Ok(BTreeMap::from([(0, standing)]))));
    }

    /// The epoch and the position from which partition 0 is read anew.
    fn assigned(&self) -> (u64, i64) {
        loop {
            if let Control::Assign {
                assignment:
                    Assignment {
                        partition: 0,
                        epoch,
                    },
                position,
                ..
            } = self.control.recv().unwrap()
            {
                return (epoch, position);
            }
        }
    }

    /// A commit of what there is comes back as of no member of the group.
    fn refuse(&mut self) {
        while !self
            .next_commit()
            .iter()
            .any(|commit| commit.partition == 0)
        {}
        let why = Failure::NotMember("Kafka answered UnknownMemberId".into());
        self.tell(Event::Committed(CommitOutcome::failed(why)));
    }

    /// Waits for the word to a worker, and to the consumer, that nothing of the partition may be read or sent.
    fn suspended(&self) {
        while !matches!(
            self.worker.recv().unwrap(),
            worker::Event::Suspend(Assignment { partition: 0, .. })
        ) {}
        while !matches!(
            self.control.recv().unwrap(),
            Control::Suspend(Assignment { partition: 0, .. })
        ) {}
    }

    fn end(self) -> Counts {
        self.tell(Event::Left);
        self.group.join().unwrap().unwrap()
    }
}

fn taken(commits: Vec<Commit>) -> CommitOutcome {
    CommitOutcome {
        taken: commits,
        ..CommitOutcome::default()
    }
}

fn record(epoch: u64, offset: i64) -> RecordId {
    RecordId {
        assignment: Assignment {
            partition: 0,
            epoch,
        },
        offset,
    }
}
