//! The thread around the core, seen from its channels.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;

use super::{TIMEOUT, assignment, record};
use crate::base::lease::{Lease, Moment};
use crate::figures::Figures;
use crate::group::{Channels, Counts, Event, run};
use crate::message::consumer::Control;
use crate::message::group::Read;
use crate::message::membership::Command;
use crate::message::{Commit, Completion, Held, PartitionId, Settled, dead_letter, worker};

/// A group on a thread of its own, and the other ends of its channels.
struct Around {
    events: Sender<Event>,
    reads: Sender<Read>,
    stop: Sender<()>,
    control: Receiver<Control>,
    worker: Receiver<worker::Event>,
    letters: Receiver<dead_letter::Event>,
    commands: UnboundedReceiver<Command>,
    lease: Arc<Lease>,
    group: JoinHandle<Result<Counts, String>>,
}

impl Around {
    fn new(shutdown_timeout: Duration) -> Self {
        let (to_group, events) = unbounded();
        let (record, reads) = unbounded();
        let (to_stop, stop) = unbounded();
        let (consumer, control) = unbounded();
        let (to_worker, worker) = unbounded();
        let (dead_letters, letters) = unbounded();
        let (membership, commands) = unbounded_channel();
        let lease = Arc::new(Lease::new(Duration::from_secs(600), Moment::now()));
        let channels = Channels {
            events,
            reads,
            stop,
            consumer,
            workers: vec![to_worker.into()],
            dead_letters,
            membership,
            lease: lease.clone(),
            figures: Arc::new(Figures::new(&[], 1, Held::default())),
            gone: Box::new(|_| ()),
        };
        Self {
            events: to_group,
            reads: record,
            stop: to_stop,
            control,
            worker,
            letters,
            commands,
            lease,
            group: std::thread::spawn(move || run(channels, Vec::new(), shutdown_timeout)),
        }
    }

    fn tell(&self, event: Event) {
        self.events.send(event).unwrap();
    }

    /// Assigns partition 0 from offset 0 and reads three records. Returns the assignment's epoch.
    fn consuming(&self) -> u64 {
        self.tell(Event::Assigned {
            partition: PartitionId::FIRST,
            position: 0,
            metadata: String::new(),
            leader_epoch: None,
            standing: None,
        });
        let Control::Assign {
            assignment: assigned,
            ..
        } = self.control.recv().unwrap()
        else {
            panic!("not assigned")
        };
        let read = Read {
            assignment: assigned,
            offsets: vec![0, 1, 2],
            next: 3,
            behind: Vec::new(),
        };
        self.reads.send(read).unwrap();
        assigned.epoch
    }

    /// Has a thread take each commit. Returns what it took.
    fn take_commits(&mut self) -> Receiver<Vec<Commit>> {
        let (took, taken) = unbounded();
        let (events, mut commands) = (self.events.clone(), unbounded_channel().1);
        std::mem::swap(&mut commands, &mut self.commands);
        std::thread::spawn(move || {
            while let Some(command) = commands.blocking_recv() {
                if let Command::Commit(commits) = command {
                    let _ = took.send(commits.clone());
                    let _ = events.send(Event::Committed(super::taken(commits)));
                }
            }
        });
        taken
    }

    fn end(self) -> Counts {
        self.tell(Event::Left);
        self.group.join().unwrap().unwrap()
    }
}

#[test]
fn each_thread_gets_what_is_for_it_and_the_membership_its_replies() {
    let mut around = Around::new(TIMEOUT);
    let commits = around.take_commits();
    let epoch = around.consuming();
    let settled = [
        (0, Completion::Delivered),
        (
            1,
            Completion::Undeliverable {
                why: "why".into(),
                at: None,
            },
        ),
        (2, Completion::Delivered),
    ];
    let settled = settled.map(|(offset, completion)| Settled {
        record: record(epoch, offset),
        bytes: 1,
        completion,
    });
    around.tell(Event::Settled(settled.into()));
    let dead_letter::Event::Write(letter) = around.letters.recv().unwrap() else {
        panic!("no letter")
    };
    assert_eq!(letter.record, record(epoch, 1));
    assert!(matches!(
        around.control.recv().unwrap(),
        Control::Credit {
            messages: 2,
            bytes: 2,
            again: None
        }
    ));
    assert_eq!(commits.recv().unwrap()[0].partition, PartitionId::FIRST);

    let (reply, revoked) = oneshot::channel();
    let partitions = vec![PartitionId::FIRST];
    around.tell(Event::Revoked { partitions, reply });
    let (reply, lost) = oneshot::channel();
    let partitions = vec![PartitionId::of_first(9)];
    around.tell(Event::Lost { partitions, reply });
    assert_eq!(lost.blocking_recv().unwrap(), []);
    let order = around.worker.recv().unwrap();
    assert!(matches!(order, worker::Event::Revoke(one) if one == assignment(epoch)));
    around.tell(Event::RevokeAck(assignment(epoch)));
    around.tell(super::written(&letter));
    assert_eq!(revoked.blocking_recv().unwrap()[0].offset, 3);
    let drained = around.letters.recv().unwrap();
    assert!(matches!(drained, dead_letter::Event::Resume(one) if one == assignment(epoch)));
    let forgotten = around.letters.recv().unwrap();
    assert!(matches!(forgotten, dead_letter::Event::Forget(one) if one == assignment(epoch)));
    let counts = around.end();
    assert_eq!((counts.delivered, counts.dead_letters), (2, 1));
}

#[test]
fn a_lease_that_ran_out_is_renewed_after_the_workers_are_told_to_send_nothing() {
    let around = Around::new(TIMEOUT);
    let epoch = around.consuming();
    around.lease.run_out();
    let first = around.worker.recv().unwrap();
    assert!(matches!(first, worker::Event::Suspend(one) if one == assignment(epoch)));
    let second = around.worker.recv().unwrap();
    assert!(matches!(second, worker::Event::Lapsed(1)));
    let letters = around.letters.recv().unwrap();
    assert!(matches!(letters, dead_letter::Event::Suspend(one) if one == assignment(epoch)));
    around.end();
}

#[test]
fn a_revocation_ends_in_time_whatever_hangs() {
    let around = Around::new(Duration::from_millis(100));
    around.consuming();
    let (reply, answer) = oneshot::channel();
    let partitions = vec![PartitionId::FIRST];
    around.tell(Event::Revoked { partitions, reply });
    assert_eq!(answer.blocking_recv().unwrap()[0].offset, 0);
    assert_eq!(around.end().given_back, 3);
}

#[test]
fn a_stop_ends_in_time_whatever_kafka_does() {
    let mut around = Around::new(Duration::from_millis(100));
    around.consuming();
    around.stop.send(()).unwrap();
    while !matches!(around.commands.blocking_recv(), Some(Command::Leave)) {}
    assert_eq!(around.group.join().unwrap().unwrap().unfinished, 3);
}

#[test]
fn a_membership_that_cannot_be_ends_the_group_with_its_reason() {
    let around = Around::new(TIMEOUT);
    around.tell(Event::Impossible("check the settings".into()));
    let ended = around.group.join().unwrap();
    assert_eq!(ended, Err("check the settings".into()));
}
