//! The group's decisions, seen from the channels around it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;

use super::{Counts, Event, Group, Links, Read};
use crate::base::lease::{Lease, Moment};
use crate::message::consumer::Control;
use crate::message::dead_letter::Letter;
use crate::message::membership::Command;
use crate::message::standing::{Log, Question, Standing, TopicTag};
use crate::message::{Commit, CommitOutcome, Failure, How, Settled, Slot, worker};

const PATIENCE: Duration = Duration::from_secs(60);

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
        let links = Links {
            consumer,
            workers: vec![to_worker],
            dead_letters,
            membership,
            lease: lease.clone(),
        };
        let group = Group::new(group_events, reads, links, shutdown_timeout);
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

    /// Assigns partition 0 from offset 0 and reads `offsets`. Returns the turn's number.
    fn consuming(&self, offsets: std::ops::Range<i64>) -> u64 {
        self.tell(Event::Assigned {
            partition: 0,
            position: 0,
            metadata: String::new(),
            leader_epoch: None,
            standing: None,
        });
        let Control::Assign { epoch, .. } = self.control.recv().unwrap() else {
            panic!("not assigned")
        };
        let next = offsets.end;
        let read = Read {
            partition: 0,
            epoch,
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
            Control::Assign { partition: 9, .. }
        ) {}
    }

    fn settle(&self, epoch: u64, offset: i64, how: How) {
        let slot = slot(epoch, offset);
        self.tell(Event::Settled(vec![Settled {
            slot,
            bytes: 1,
            how,
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

    /// The turn's number and the position from which partition 0 is read anew.
    fn assigned(&self) -> (u64, i64) {
        loop {
            if let Control::Assign {
                partition: 0,
                epoch,
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
            worker::Event::Suspend { partition: 0, .. }
        ) {}
        while !matches!(
            self.control.recv().unwrap(),
            Control::Suspend { partition: 0, .. }
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

fn slot(epoch: u64, offset: i64) -> Slot {
    Slot {
        partition: 0,
        epoch,
        offset,
    }
}

#[test]
fn only_what_is_finished_is_committed() {
    let mut around = Around::new(PATIENCE);
    let epoch = around.consuming(0..4);
    around.settle(epoch, 0, How::Delivered);
    around.settle(epoch, 2, How::Delivered);
    loop {
        let commits = around.next_commit();
        let last = commits[0].clone();
        around.tell(Event::Committed(taken(commits)));
        if last.offset == 1 {
            let finished = crate::message::offset_map::decode(1, &last.metadata).unwrap();
            assert_eq!(finished.len(), 1);
            assert_eq!((finished[0].start, finished[0].end), (2, 3));
            break;
        }
    }
    assert_eq!(around.end().unfinished, 2);
}

#[test]
fn a_hand_over_waits_for_what_is_in_flight_and_for_the_workers_word() {
    let around = Around::new(PATIENCE);
    let epoch = around.consuming(0..3);
    let mut answer = around.revoke();
    assert!(matches!(
        around.worker.recv(),
        Ok(worker::Event::Revoke { partition: 0, .. })
    ));
    around.settle(epoch, 0, How::Delivered);
    around.settle(epoch, 1, How::Released);
    around.tell(Event::GaveBack {
        partition: 0,
        epoch,
    });
    around.caught_up();
    assert!(answer.try_recv().is_err(), "offset 2 is in flight still");
    around.settle(epoch, 2, How::Delivered);
    assert_eq!(answer.blocking_recv().unwrap()[0].offset, 1);
    around.end();
}

#[test]
fn a_hand_over_commits_what_stays_too() {
    let around = Around::new(PATIENCE);
    let epoch = around.consuming(0..1);
    around.settle(epoch, 0, How::Delivered);
    around.caught_up();
    let answer = around.revoke();
    around.tell(Event::GaveBack {
        partition: 0,
        epoch,
    });
    let commits = answer.blocking_recv().unwrap();
    let at: Vec<_> = commits.iter().map(|c| (c.partition, c.offset)).collect();
    assert_eq!(at, [(0, 1), (9, 0)]);
    around.end();
}

#[test]
fn a_hand_over_says_what_to_commit() {
    let around = Around::new(PATIENCE);
    let epoch = around.consuming(0..3);
    let answer = around.revoke();
    around.settle(epoch, 0, How::Delivered);
    around.settle(epoch, 1, How::Released);
    around.settle(epoch, 2, How::Delivered);
    around.tell(Event::GaveBack {
        partition: 0,
        epoch,
    });
    let commits = answer.blocking_recv().unwrap();
    assert_eq!(commits[0].offset, 1);
    assert!(!commits[0].metadata.is_empty(), "offset 2 is finished");
    let counts = around.end();
    assert_eq!(
        (counts.delivered, counts.given_back, counts.unfinished),
        (2, 1, 0)
    );
}

#[test]
fn an_older_commit_under_way_holds_a_hand_over_up() {
    let mut around = Around::new(PATIENCE);
    let epoch = around.consuming(0..1);
    around.settle(epoch, 0, How::Delivered);
    let commits = around.next_commit();
    let mut answer = around.revoke();
    around.tell(Event::GaveBack {
        partition: 0,
        epoch,
    });
    around.caught_up();
    assert!(answer.try_recv().is_err());
    around.tell(Event::Committed(taken(commits)));
    assert_eq!(answer.blocking_recv().unwrap()[0].offset, 1);
    around.end();
}

#[test]
fn a_hand_over_ends_in_time_whatever_hangs() {
    let around = Around::new(Duration::from_millis(100));
    around.consuming(0..3);
    let commits = around.revoke().blocking_recv().unwrap();
    assert_eq!(commits[0].offset, 0);
    assert_eq!(around.end().given_back, 3);
}

#[test]
fn a_dead_letter_holds_its_offset_until_it_is_written() {
    let mut around = Around::new(PATIENCE);
    let epoch = around.consuming(0..1);
    around.settle(epoch, 0, How::Undeliverable("why".into()));
    let letter = around.letters.recv().unwrap();
    assert_eq!((letter.slot, letter.why.as_str()), (slot(epoch, 0), "why"));
    let held = around.next_commit();
    assert_eq!(held[0].offset, 0);
    around.tell(Event::Committed(taken(held)));
    around.tell(Event::Buried(vec![(letter.slot, letter.bytes)]));
    assert_eq!(around.next_commit()[0].offset, 1);
    assert_eq!(around.end().dead_letters, 1);
}

#[test]
fn what_comes_of_an_earlier_turn_counts_no_more() {
    let around = Around::new(PATIENCE);
    let first = around.consuming(0..2);
    drop(around.lose());
    around.given_up();
    let second = around.consuming(0..2);
    assert_ne!(first, second);
    around.settle(first, 0, How::Delivered);
    around.settle(first, 1, How::Delivered);
    let answer = around.revoke();
    around.settle(second, 0, How::Released);
    around.settle(second, 1, How::Released);
    around.tell(Event::GaveBack {
        partition: 0,
        epoch: second,
    });
    assert_eq!(answer.blocking_recv().unwrap()[0].offset, 0);
    around.end();
}

/// Loses a partition of which offset 0 is finished, and gets it back at `position`. `committed`: whether the last commit
/// was let through; `read_on`: whether the consumer says late that it reads it no longer. Returns the turns' numbers, the
/// position that the consumer goes on from, and what is known to be finished.
fn lost_and_back(committed: bool, read_on: bool, position: i64) -> (u64, u64, i64, Vec<i64>) {
    let around = Around::new(PATIENCE);
    let first = around.consuming(0..4);
    around.settle(first, 0, How::Delivered);
    let last = around.lose().blocking_recv().unwrap();
    assert_eq!(last[0].offset, 1, "what is finished may still be committed");
    if committed {
        around.tell(Event::LastWord(last.clone()));
    }
    let suspended = || Event::Suspended {
        partition: 0,
        epoch: first,
    };
    if !read_on {
        around.tell(suspended());
    }
    // A call that was in flight comes back.
    around.settle(first, 2, How::Delivered);
    around.tell(Event::Assigned {
        partition: 0,
        position,
        metadata: match committed {
            true => last[0].metadata.clone(),
            false => String::new(),
        },
        leader_epoch: None,
        standing: None,
    });
    let mut next = 4;
    if read_on {
        next = 6;
        let read = Read {
            partition: 0,
            epoch: first,
            offsets: vec![4, 5],
            next,
        };
        around.reads.send(read).unwrap();
        around.tell(suspended());
    }
    let assigned = loop {
        if let Control::Assign {
            epoch,
            position,
            finished,
            ..
        } = around.control.recv().unwrap()
        {
            let finished = finished.into_iter().flatten().collect();
            break (first, epoch, position, finished);
        }
    };
    assert!(assigned.2 == next || assigned.2 == position);
    around.end();
    assigned
}

#[test]
fn a_lost_partition_that_comes_back_as_it_was_goes_on() {
    for (committed, position) in [(true, 1), (false, 0)] {
        let (first, second, next, _) = lost_and_back(committed, false, position);
        assert_eq!((second, next), (first, 4), "committed: {committed}");
    }
}

#[test]
fn what_the_consumer_read_before_it_heard_of_the_loss_counts() {
    let (first, second, next, _) = lost_and_back(true, true, 1);
    assert_eq!((second, next), (first, 6));
}

#[test]
fn what_was_finished_of_a_lost_partition_is_not_sent_again_when_it_comes_back_later() {
    let (first, second, next, finished) = lost_and_back(false, false, 1);
    assert_ne!(first, second);
    assert_eq!((next, finished), (1, vec![2]));
}

#[test]
fn a_lost_partition_that_does_not_come_back_is_given_up() {
    let around = Around::new(PATIENCE);
    around.consuming(0..4);
    drop(around.lose());
    around.given_up();
    assert_eq!(around.end().given_back, 4);
}

#[test]
fn what_is_in_doubt_is_not_committed() {
    let mut around = Around::new(PATIENCE);
    let epoch = around.consuming(0..4);
    drop(around.lose());
    around.settle(epoch, 0, How::Delivered);
    around.caught_up();
    let commits = around.next_commit();
    assert!(commits.iter().all(|commit| commit.partition == 9));
    around.end();
}

#[test]
fn a_commit_refused_as_of_no_member_stops_reading_and_sending_until_one_is_taken() {
    let mut around = Around::new(PATIENCE);
    let epoch = around.consuming(0..4);
    around.settle(epoch, 0, How::Delivered);
    around.refuse();
    around.suspended();
    let suspended = Event::Suspended {
        partition: 0,
        epoch,
    };
    around.tell(suspended);
    // What was in flight is finished; it doesn't go on until Kafka takes a commit, though nothing else changed.
    let asked = around.next_commit();
    assert_eq!(asked[0].offset, 1);
    assert!(
        around
            .control
            .try_iter()
            .all(|control| !matches!(control, Control::Assign { .. }))
    );
    around.tell(Event::Committed(taken(asked)));
    let resumed = around.worker.recv().unwrap();
    assert!(
        matches!(resumed, worker::Event::Resume { partition: 0, epoch: same } if same == epoch)
    );
    let Control::Assign { position, .. } = around.control.recv().unwrap() else {
        panic!("it is not read")
    };
    assert_eq!(position, 4);
    assert_eq!(around.end().unfinished, 3);
}

#[test]
fn a_commit_that_fails_otherwise_stops_nothing() {
    let mut around = Around::new(PATIENCE);
    around.consuming(0..4);
    around.next_commit();
    let why = Failure::Other("connecting failed".into());
    around.tell(Event::Committed(CommitOutcome::failed(why)));
    around.next_commit();
    assert!(around.worker.try_recv().is_err());
    around.end();
}

#[test]
fn what_krafka_lost_is_not_taken_for_ours_when_a_commit_goes_through() {
    let mut around = Around::new(PATIENCE);
    let epoch = around.consuming(0..4);
    around.refuse();
    around.suspended();
    drop(around.lose());
    around.tell(Event::Suspended {
        partition: 0,
        epoch,
    });
    around.caught_up();
    let others = around.next_commit();
    assert!(others.iter().all(|commit| commit.partition == 9));
    around.tell(Event::Committed(taken(others)));
    around.given_up();
    assert_eq!(around.end().given_back, 4);
}

/// A commit that was on its way before this process was halted says nothing about what came after.
#[test]
fn a_process_that_was_halted_sends_nothing_until_a_later_commit_is_taken() {
    let mut around = Around::new(PATIENCE);
    let epoch = around.consuming(0..4);
    let older = around.next_commit();
    around.lease.run_out();
    around.suspended();
    assert!(matches!(
        around.worker.recv().unwrap(),
        worker::Event::Lapsed(1)
    ));
    around.tell(Event::Suspended {
        partition: 0,
        epoch,
    });
    around.tell(Event::Committed(taken(older)));
    let later = around.next_commit();
    assert!(around.worker.try_recv().is_err(), "it sends on too early");
    around.tell(Event::Committed(taken(later)));
    assert!(matches!(
        around.worker.recv().unwrap(),
        worker::Event::Resume { partition: 0, .. }
    ));
    around.end();
}

#[test]
fn a_stop_in_doubt_sends_nothing_more_and_commits_what_is_finished() {
    let mut around = Around::new(PATIENCE);
    let epoch = around.consuming(0..4);
    around.refuse();
    around.suspended();
    around.stop.send(()).unwrap();
    while !matches!(around.commands.blocking_recv(), Some(Command::Leave)) {}
    let answer = around.revoke();
    assert!(matches!(
        around.worker.recv().unwrap(),
        worker::Event::Forget { partition: 0, .. }
    ));
    around.settle(epoch, 0, How::Delivered);
    for offset in 1..4 {
        around.settle(epoch, offset, How::Released);
    }
    assert_eq!(answer.blocking_recv().unwrap()[0].offset, 1);
    assert_eq!(around.end().given_back, 3);
}

#[test]
fn a_partition_that_was_taken_counts_though_another_was_refused() {
    let mut around = Around::new(PATIENCE);
    let epoch = around.consuming(0..1);
    around.settle(epoch, 0, How::Delivered);
    around.caught_up();
    let mut both = around.next_commit();
    while both.len() < 2 {
        around.tell(Event::Committed(taken(Vec::new())));
        both = around.next_commit();
    }
    let failed = Failure::Other("Kafka answered UnknownTopicOrPartition for partition 9".into());
    around.tell(Event::Committed(CommitOutcome {
        taken: vec![both.swap_remove(0)],
        failed: Some(failed),
        map_len: None,
    }));
    let again = around.next_commit();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].partition, 9);
    around.end();
}

#[test]
fn maps_are_as_short_as_the_broker_wants_them() {
    let mut around = Around::new(PATIENCE);
    let epoch = around.consuming(0..400);
    for offset in (1..400).step_by(2) {
        around.settle(epoch, offset, How::Delivered);
    }
    around.caught_up();
    around.tell(Event::ShorterMaps(64));
    let mut commits = around.next_commit();
    while commits[0].metadata.len() > 64 || commits[0].metadata.is_empty() {
        around.tell(Event::Committed(taken(Vec::new())));
        commits = around.next_commit();
    }
    let finished = crate::message::offset_map::decode(0, &commits[0].metadata).unwrap();
    assert!(finished.len() > 10 && finished.iter().all(|run| run.start % 2 == 1));
    around.end();
}

/// A log of topic `topic` from `start` to `end`, of which the epoch asked about ends at `epoch_end`.
fn standing(topic: u32, start: i64, end: i64, epoch_end: i64) -> Standing {
    Standing {
        topic: Some(TopicTag(topic)),
        leader_epoch: Some(3),
        log: Some(Log {
            start,
            end,
            epoch_end: Some(epoch_end),
        }),
    }
}

#[test]
fn a_log_that_was_cut_is_read_from_its_new_end_and_what_is_held_still_counts_below() {
    let mut around = Around::new(PATIENCE);
    let epoch = around.consuming(0..10);
    around.answer(standing(1, 0, 10, 10));
    around.settle(epoch, 1, How::Delivered);
    around.tell(Event::Astray {
        partition: 0,
        epoch,
    });
    around.answer(standing(1, 0, 7, 7));
    let (again, position) = around.assigned();
    assert_eq!(position, 7);
    assert_ne!(again, epoch);

    // Other records are under these offsets now.
    around.settle(epoch, 8, How::Delivered);
    for offset in [0, 2, 3, 4, 6] {
        around.settle(epoch, offset, How::Delivered);
    }
    let read = Read {
        partition: 0,
        epoch: again,
        offsets: (7..9).collect(),
        next: 9,
    };
    around.reads.send(read).unwrap();
    around.settle(again, 7, How::Delivered);
    loop {
        let commit = around.next_commit().remove(0);
        around.tell(Event::Committed(taken(vec![commit.clone()])));
        let finished = crate::message::offset_map::decode(commit.offset, &commit.metadata).unwrap();
        if commit.offset == 5 && finished.iter().eq([&(6..8)]) {
            assert_eq!(commit.leader_epoch, Some(3));
            break;
        }
    }

    // A hand-over waits for the workers' word on both turns.
    let reply = around.revoke();
    let mut turns = Vec::new();
    while turns.len() < 2 {
        if let worker::Event::Revoke { epoch, .. } = around.worker.recv().unwrap() {
            turns.push(epoch);
        }
    }
    assert_eq!(turns, [epoch, again]);
    around.settle(epoch, 5, How::Released);
    around.settle(again, 8, How::Released);
    for epoch in turns {
        around.tell(Event::GaveBack {
            partition: 0,
            epoch,
        });
    }
    let commits = reply.blocking_recv().unwrap();
    assert_eq!(commits[0].offset, 5);
    around.end();
}

#[test]
fn a_topic_that_was_made_anew_is_read_from_its_start_and_its_offsets_are_committed() {
    let mut around = Around::new(PATIENCE);
    let epoch = around.consuming(0..10);
    around.answer(standing(1, 0, 10, 10));
    for offset in 0..9 {
        around.settle(epoch, offset, How::Delivered);
    }
    around.answer(standing(2, 0, 20, 20));
    let (again, position) = around.assigned();
    assert_eq!(position, 0);
    // A broker that lags behind.
    around.answer(standing(1, 0, 10, 10));
    around.settle(epoch, 9, How::Delivered);
    let read = Read {
        partition: 0,
        epoch: again,
        offsets: (0..20).collect(),
        next: 20,
    };
    around.reads.send(read).unwrap();
    around.settle(again, 0, How::Delivered);
    loop {
        let commits = around.next_commit();
        around.tell(Event::Committed(taken(commits.clone())));
        let is_of_new = |commit: &Commit| {
            crate::message::topic_tag::split(&commit.metadata).0 == Some(TopicTag(2))
        };
        if let Some(commit) = commits.into_iter().find(is_of_new) {
            assert!(commit.offset <= 1);
            if commit.offset == 1 {
                break;
            }
        }
    }
    around.end();
}

#[test]
fn a_position_that_is_there_after_all_is_read_on() {
    let mut around = Around::new(PATIENCE);
    let epoch = around.consuming(0..10);
    around.answer(standing(1, 0, 10, 10));
    around.tell(Event::Astray {
        partition: 0,
        epoch,
    });
    let mut asked = around.next_look();
    while !asked[0].thorough {
        around.tell(Event::Looked(Err("no answer".into())));
        asked = around.next_look();
    }
    let standings = BTreeMap::from([(0, standing(1, 0, 10, 10))]);
    around.tell(Event::Looked(Ok(standings)));
    assert_eq!(around.assigned(), (epoch, 10));
    around.end();
}

#[test]
fn an_owner_begins_where_the_log_that_was_committed_for_ends_now() {
    let begin = |metadata: String, standing: Standing| {
        let around = Around::new(PATIENCE);
        around.tell(Event::Assigned {
            partition: 0,
            position: 1_000,
            metadata,
            leader_epoch: Some(2),
            standing: Some(standing),
        });
        let Control::Assign {
            position, finished, ..
        } = around.control.recv().unwrap()
        else {
            panic!("not assigned")
        };
        around.end();
        let finished = finished.into_iter().map(|run| (run.start, run.end));
        (position, finished.collect::<Vec<_>>())
    };
    let of_topic = |finished: &[(i64, i64)]| {
        let finished: Vec<_> = finished.iter().map(|run| run.0..run.1).collect();
        crate::message::topic_tag::before(Some(TopicTag(1)), 4_096, |left| {
            crate::message::offset_map::encode(1_000, &finished, left)
        })
    };
    let cut = begin(of_topic(&[]), standing(1, 0, 1_200, 600));
    assert_eq!(cut, (600, vec![]));
    // Records that an open one was waited for lie behind the committed offset.
    let cut = begin(of_topic(&[(1_001, 1_500)]), standing(1, 0, 2_000, 1_200));
    assert_eq!(cut, (1_000, vec![(1_001, 1_200)]));
    let anew = begin(of_topic(&[(1_001, 1_500)]), standing(2, 0, 2_000, 2_000));
    assert_eq!(anew, (0, vec![]));
    let deleted = begin(
        of_topic(&[(1_300, 1_500)]),
        standing(1, 1_400, 2_000, 2_000),
    );
    assert_eq!(deleted, (1_400, vec![(1_400, 1_500)]));
    // By another version of job, or with one of Kafka's tools.
    let unclear = begin(String::new(), standing(1, 0, 600, 600));
    assert_eq!(unclear, (0, vec![]));
    let same = begin(String::new(), standing(1, 0, 1_000, 1_000));
    assert_eq!(same, (1_000, vec![]));
}

#[test]
fn a_stop_ends_in_time_whatever_kafka_does() {
    let mut around = Around::new(Duration::from_millis(100));
    around.consuming(0..3);
    around.stop.send(()).unwrap();
    while !matches!(around.commands.blocking_recv(), Some(Command::Leave)) {}
    assert_eq!(around.group.join().unwrap().unwrap().unfinished, 3);
}
