mod pause;
mod too_old;

use std::ops::Range;

use bytes::Bytes;
use protobuf::Message as _;

use super::*;
use crate::consumer::age::Ages;
use crate::kafka::fetch::Record;
use crate::message::Settled;
use crate::message::proto::push::push_msg::Type;
use crate::message::{Assignment, PartitionId};

const WORKERS: usize = 4;

/// A core, and what its effects were since they were asked for last: one text for each, in order.
struct Bench {
    core: Core,
    effects: Vec<String>,
}

impl Bench {
    fn new(caps: Held) -> Self {
        let router = Router::new(vec!["comet:1".into()]);
        Self {
            core: Core::new(WORKERS, router, caps, Ages::ALL),
            effects: Vec::new(),
        }
    }

    fn unlimited() -> Self {
        Self::new(Held {
            messages: usize::MAX,
            bytes: usize::MAX,
        })
    }

    fn step(&mut self, event: Event<'_>) {
        let Self { core, effects } = self;
        core.step(event, &mut |effect| effects.push(words(effect)));
    }

    fn control(&mut self, control: Control) {
        self.step(Event::Control(control));
    }

    fn assign(&mut self, assignment: Assignment, position: i64, finished: &[Range<i64>]) {
        self.control(Control::Assign {
            assignment,
            position,
            finished: finished.to_vec(),
            behind: Vec::new(),
        });
    }

    /// Steps with what a fetch from the core's own positions brought for partition 0.
    fn fetched(&mut self, outcome: Outcome) {
        let positions = self.core.positions().expect("something is to be fetched");
        self.fetched_from(&positions, outcome);
    }

    fn fetched_from(&mut self, positions: &Positions, outcome: Outcome) {
        let batches = vec![Batch {
            partition: PartitionId::of_first(0),
            outcome,
        }];
        self.step(Event::Fetched {
            positions,
            batches,
            now: 0,
        });
    }

    fn effects(&mut self) -> Vec<String> {
        std::mem::take(&mut self.effects)
    }

    /// The effects for the log and the group. Which worker has which key is for the hash to say.
    fn effects_but_messages(&mut self) -> Vec<String> {
        let mut effects = self.effects();
        effects.retain(|effect| !effect.starts_with("worker"));
        effects
    }

    fn position(&self) -> Option<i64> {
        self.core.positions()?.get(&PartitionId::FIRST).copied()
    }

    fn finished_ranges(&self) -> usize {
        self.core.partitions[&PartitionId::FIRST].finished.len()
    }
}

fn words(effect: Effect<'_>) -> String {
    let places = |list: &[Settled]| -> Vec<i64> { list.iter().map(|s| s.record.offset).collect() };
    match effect {
        Effect::Read(read) => format!(
            "read {:?} to {} in {}",
            read.offsets, read.next, read.assignment.epoch
        ),
        Effect::Group(group::Event::Settled(settled)) => format!("settled {:?}", places(&settled)),
        Effect::Group(group::Event::Suspended(a)) => format!("suspended {}", a.epoch),
        Effect::Group(group::Event::Astray(a)) => format!("astray {}", a.epoch),
        Effect::Group(group::Event::Interrupted(reached)) => {
            let reached = reached.iter().map(|r| (r.assignment.partition, r.position));
            format!("interrupted {:?}", reached.collect::<Vec<_>>())
        }
        Effect::Group(group::Event::Unreadable { record, last, why }) => {
            format!("unreadable {} to {last}: {why}", record.offset)
        }
        Effect::Group(_) => "something else for the group".into(),
        Effect::Spared(calls) => format!("spared {calls}"),
        Effect::Worker(_, worker::Event::Messages(messages)) => {
            let offsets: Vec<i64> = messages.iter().map(|m| m.record.offset).collect();
            format!("worker gets {offsets:?}")
        }
        Effect::Worker(worker, worker::Event::RoundEnded) => {
            format!("worker {}: round ended", worker.0)
        }
        Effect::Worker(..) => "something else for a worker".into(),
        Effect::Say(Notice::Received(push)) => format!("say received {}", push.room),
        Effect::Say(Notice::Attached { partition, comet }) => {
            format!("say {comet} attached in {partition}")
        }
        Effect::Say(Notice::Undecodable { record, .. }) => {
            format!("say undecodable {}", record.offset)
        }
        Effect::Say(Notice::Unroutable { record, .. }) => {
            format!("say unroutable {}", record.offset)
        }
        Effect::Say(Notice::Unreadable {
            first,
            last,
            is_known,
            ..
        }) => format!("say unreadable {first} to {last}, known {is_known}"),
        Effect::Say(Notice::Scattered { room, partitions }) => {
            format!("say {room} comes from {partitions:?}")
        }
    }
}

fn epoch(epoch: u64) -> Assignment {
    Assignment {
        partition: PartitionId::of_first(0),
        epoch,
    }
}

/// A message to the room.
fn value(room: &str) -> Bytes {
    let push = PushMsg {
        type_: Type::ROOM.into(),
        room: room.into(),
        ..Default::default()
    };
    push.write_to_bytes().expect("it can be written").into()
}

fn record(offset: i64, value: Bytes) -> Record {
    Record {
        offset,
        trace: None,
        size: value.len(),
        timestamp: -1,
        value: Some(value),
    }
}

/// Messages to one room at these offsets, and `next` behind them.
fn records(offsets: Range<i64>) -> Outcome {
    let next = offsets.end;
    let records = offsets.map(|offset| record(offset, value("r1"))).collect();
    Outcome::Records { records, next }
}

fn unreadable(last: i64) -> Outcome {
    Outcome::Unreadable {
        last: Some(last),
        why: "broken".into(),
    }
}

#[test]
fn a_batch_is_read_before_the_group_or_a_worker_hears_of_its_records() {
    let mut bench = Bench::unlimited();
    bench.assign(epoch(1), 7, &[]);
    let records = vec![
        record(7, value("r1")),
        record(8, Bytes::from_static(b"no protobuf")),
        record(10, value("")),
        record(11, value("r1")),
    ];
    bench.fetched(Outcome::Records { records, next: 15 });
    let expected = [
        "say received r1",
        "say undecodable 8",
        "say received ",
        "say unroutable 10",
        "say received r1",
        "read [7, 8, 10, 11] to 15 in 1",
        "settled [8, 10]",
        "worker gets [7, 11]",
    ];
    assert_eq!(bench.effects(), expected);
    assert_eq!(bench.position(), Some(15));
}

#[test]
fn a_cap_pauses_reading_until_credit_comes_back() {
    let size = value("r1").len();
    for (caps, credit) in [
        ((3, usize::MAX), (1, size)),
        ((usize::MAX, 3 * size), (1, size)),
    ] {
        let (messages, bytes) = caps;
        let mut bench = Bench::new(Held { messages, bytes });
        bench.assign(epoch(1), 0, &[]);
        bench.fetched(records(0..2));
        assert_eq!(bench.position(), Some(2), "there is room below {caps:?}");
        bench.fetched(records(2..3));
        assert_eq!(bench.position(), None, "{caps:?} is reached");
        let (messages, bytes) = credit;
        bench.control(Control::Credit {
            messages,
            bytes,
            again: None,
        });
        assert_eq!(bench.position(), Some(3));
        let (messages, bytes) = (2, 2 * size);
        bench.control(Control::Credit {
            messages,
            bytes,
            again: None,
        });
        assert_eq!(bench.core.held, Held::default());
    }
}

#[test]
fn what_cannot_be_delivered_is_held_until_its_letter_is_written() {
    let mut bench = Bench::new(Held {
        messages: 1,
        bytes: usize::MAX,
    });
    bench.assign(epoch(1), 0, &[]);
    let records = vec![record(0, Bytes::from_static(b"no protobuf"))];
    bench.fetched(Outcome::Records { records, next: 1 });
    assert_eq!(bench.position(), None);
    let (messages, bytes) = (1, "no protobuf".len());
    bench.control(Control::Credit {
        messages,
        bytes,
        again: None,
    });
    assert_eq!(bench.position(), Some(1));
    // A letter of unreadable offsets is one message without bytes.
    bench.fetched(unreadable(9));
    assert_eq!(bench.position(), None);
    let (messages, bytes) = (1, 0);
    bench.control(Control::Credit {
        messages,
        bytes,
        again: None,
    });
    assert_eq!(bench.position(), Some(10));
}

#[test]
fn a_batch_of_an_earlier_assignment_is_dropped() {
    let mut bench = Bench::unlimited();
    bench.assign(epoch(1), 7, &[]);
    let asked = bench.core.positions().expect("a position");
    bench.control(Control::Revoke {
        partition: PartitionId::of_first(0),
    });
    bench.fetched_from(&asked, records(7..9));
    assert_eq!((bench.effects(), bench.position()), (vec![], None));
    // It comes back during the fetch, and another owner has read on meanwhile.
    bench.assign(epoch(2), 9, &[]);
    for outcome in [records(7..9), unreadable(8), Outcome::OutOfRange] {
        bench.fetched_from(&asked, outcome);
        assert_eq!((bench.effects(), bench.position()), (vec![], Some(9)));
    }
    bench.fetched(records(9..10));
    assert_eq!(bench.effects_but_messages()[1], "read [9] to 10 in 2");
    assert_eq!(bench.position(), Some(10));
}

#[test]
fn a_partition_that_comes_back_where_it_stood_is_read_under_its_new_assignment() {
    let mut bench = Bench::unlimited();
    bench.assign(epoch(1), 7, &[]);
    let asked = bench.core.positions().expect("a position");
    bench.control(Control::Suspend(epoch(1)));
    assert_eq!(bench.effects(), ["suspended 1"]);
    bench.assign(epoch(2), 7, &[]);
    bench.fetched_from(&asked, records(7..8));
    assert_eq!(bench.effects_but_messages()[1], "read [7] to 8 in 2");
}

#[test]
fn a_batch_for_a_position_that_was_not_asked_for_is_dropped() {
    let mut bench = Bench::unlimited();
    bench.assign(epoch(1), 7, &[]);
    bench.fetched_from(&Positions::new(), records(7..8));
    assert_eq!((bench.effects(), bench.position()), (vec![], Some(7)));
}

#[test]
fn an_unreadable_batch_is_skipped_and_leaves_one_letter() {
    let mut bench = Bench::unlimited();
    bench.assign(epoch(1), 7, &[]);
    bench.fetched(unreadable(11));
    let expected = [
        "say unreadable 7 to 11, known false",
        "read [7] to 12 in 1",
        "unreadable 7 to 11: offsets 7 to 11 can't be read: broken",
    ];
    assert_eq!(bench.effects(), expected);
    assert_eq!(bench.position(), Some(12));
    bench.fetched(Outcome::Unreadable {
        last: None,
        why: "its end is not known".into(),
    });
    assert_eq!((bench.effects(), bench.position()), (vec![], Some(12)));
}

#[test]
fn an_unreadable_batch_that_an_earlier_owner_finished_leaves_no_second_letter() {
    for (finished, says, letter) in [
        // All of it, in two ranges.
        (
            &[(7, 9), (9, 12)][..],
            "say unreadable 7 to 11, known true",
            false,
        ),
        (&[(5, 40)][..], "say unreadable 7 to 11, known true", false),
        // The letter is of the first open offset on, as far as the batch goes.
        (&[(7, 9)][..], "say unreadable 9 to 11, known false", true),
        (
            &[(7, 9), (10, 11)][..],
            "say unreadable 9 to 11, known false",
            true,
        ),
        (&[(8, 12)][..], "say unreadable 7 to 11, known false", true),
        (&[(3, 5)][..], "say unreadable 7 to 11, known false", true),
    ] {
        let mut bench = Bench::unlimited();
        let finished: Vec<_> = finished.iter().map(|(from, to)| *from..*to).collect();
        bench.assign(epoch(1), 7, &finished);
        bench.fetched(unreadable(11));
        let effects = bench.effects();
        assert_eq!(effects[0], says, "{finished:?}");
        assert_eq!(effects.len(), if letter { 3 } else { 2 }, "{effects:?}");
        assert_eq!(bench.core.held.messages, usize::from(letter));
        assert_eq!(bench.position(), Some(12));
        let left = finished.iter().filter(|range| range.end > 12).count();
        assert_eq!(bench.finished_ranges(), left, "{finished:?}");
    }
}

#[test]
fn finished_offsets_are_skipped_and_their_ranges_dropped() {
    let mut bench = Bench::unlimited();
    bench.assign(epoch(1), 10, &[4..6, 11..13, 14..15, 17..19, 30..31]);
    bench.fetched(records(10..16));
    let effects = bench.effects();
    let worker = effects.last().expect("messages");
    assert_eq!(worker, "worker gets [10, 13, 15]");
    assert!(effects.contains(&"read [10, 11, 12, 13, 14, 15] to 16 in 1".into()));
    assert_eq!(bench.core.held.messages, 3, "finished ones are not held");
    assert_eq!((bench.position(), bench.finished_ranges()), (Some(16), 2));
    // A range that the position is in stays until it is passed.
    bench.fetched(records(16..18));
    assert_eq!((bench.position(), bench.finished_ranges()), (Some(18), 2));
    // No record stands behind the position: compaction or a transaction's marker.
    bench.fetched(records(31..31));
    assert_eq!((bench.position(), bench.finished_ranges()), (Some(31), 0));
    bench.fetched(records(31..32));
    assert_eq!(
        bench.effects().last().expect("messages"),
        "worker gets [31]"
    );
}

#[test]
fn an_offset_out_of_range_ends_reading_the_partition() {
    let mut bench = Bench::unlimited();
    bench.assign(epoch(1), 7, &[]);
    bench.fetched(Outcome::OutOfRange);
    assert_eq!(bench.effects(), ["astray 1"]);
    assert_eq!(bench.position(), None);
}

#[test]
fn an_interruption_tells_the_group_how_far_each_partition_was_read() {
    let mut bench = Bench::unlimited();
    bench.assign(epoch(1), 7, &[]);
    let elsewhere = Assignment {
        partition: PartitionId::of_first(3),
        epoch: 2,
    };
    bench.assign(elsewhere, 40, &[]);
    bench.fetched(records(7..9));
    bench.effects();
    bench.step(Event::Interrupted);
    assert_eq!(bench.effects(), ["interrupted [(0, 9), (3, 40)]"]);
}

#[test]
fn every_worker_hears_that_a_round_of_memory_ended() {
    let mut bench = Bench::unlimited();
    bench.assign(epoch(1), 0, &[]);
    let large = |offset| Outcome::Records {
        records: vec![Record {
            offset,
            trace: None,
            value: Some(value("r1")),
            size: 3 << 20,
            timestamp: -1,
        }],
        next: offset + 1,
    };
    let ended = |bench: &mut Bench| {
        let effects = bench.effects();
        let ended = effects
            .iter()
            .filter(|effect| effect.ends_with("round ended"));
        ended.count()
    };
    bench.fetched(large(0));
    assert_eq!(ended(&mut bench), 0);
    bench.fetched(large(1));
    assert_eq!(ended(&mut bench), WORKERS);
    bench.fetched(large(2));
    assert_eq!(ended(&mut bench), 0, "a new round begins");
}
