// The lists hold ranges of offsets.
#![allow(clippy::single_range_in_vec_init)]

mod fleet;
mod kept;
mod too_old;
mod turns;

use std::ops::Range;

use bytes::Bytes;
use protobuf::Message as _;

use super::*;
use crate::consumer::age::Ages;
use crate::consumer::core::Event;
use crate::consumer::route::Router;
use crate::kafka::fetch::{MAX_WAIT, SHORT_WAIT};
use crate::message::consumer::{Behind, Control};
use crate::message::fleet::Change;
use crate::message::proto::push::{PushMsg, push_msg::Type};
use crate::message::worker;
use crate::message::{Completion, PartitionId};

const LIVE: i64 = i64::MAX;
/// In milliseconds since 1970. A record's time is its offset.
const NOW: i64 = 20;
const A: CometId = CometId(0);
const B: CometId = CometId(1);
const OURS: Assignment = Assignment {
    partition: PartitionId::of_first(0),
    epoch: 1,
};

/// Whom a message went to, as far as the consumer decides.
#[derive(Debug, PartialEq)]
enum Sent {
    Live {
        offset: i64,
        without: Vec<CometId>,
    },
    Again {
        offset: i64,
        comet: CometId,
    },
    Detach(CometId),
    Return(CometId),
    Full(bool),
    Fleet(Change),
    /// The group: read again for a Comet, and what was sent of it.
    Read(CometId, Range<i64>, Vec<i64>),
    Astray,
    /// The group: these were too old.
    Skipped(Vec<i64>),
    Letter {
        offset: i64,
        comet: CometId,
    },
}

/// A core with one worker and one partition, read from offset 10 on. Even offsets are a room's, odd ones a user's at `A`.
struct Bench {
    core: Core,
    sent: Vec<Sent>,
}

impl Bench {
    fn new(behind: Vec<Behind>) -> Self {
        Self::limited(behind, Ages::ALL)
    }

    fn limited(behind: Vec<Behind>, ages: Ages) -> Self {
        let comets = vec!["a:1".into(), "b:1".into()];
        let caps = Held {
            messages: 30,
            bytes: usize::MAX,
        };
        let mut bench = Self {
            core: Core::new(1, Router::new(comets), caps, ages),
            sent: Vec::new(),
        };
        bench.control(Control::Assign {
            assignment: OURS,
            position: 10,
            finished: vec![14..16],
            behind,
        });
        bench
    }

    fn control(&mut self, control: Control) {
        self.step(Event::Control(control));
    }

    fn step(&mut self, event: Event<'_>) {
        let Self { core, sent } = self;
        core.step(event, &mut |effect| match effect {
            Effect::Worker(_, worker::Event::Messages(messages)) => {
                sent.extend(messages.into_iter().map(|message| {
                    let offset = message.record.offset;
                    match message.again_for() {
                        Some(comet) => Sent::Again { offset, comet },
                        None => Sent::Live {
                            offset,
                            without: message.without.map_or(Vec::new(), |comets| comets.to_vec()),
                        },
                    }
                }));
            }
            Effect::Worker(_, worker::Event::Detach(comet)) => sent.push(Sent::Detach(comet)),
            Effect::Worker(_, worker::Event::Return(comet)) => sent.push(Sent::Return(comet)),
            Effect::Worker(_, worker::Event::Full(full)) => sent.push(Sent::Full(full)),
            Effect::Worker(_, worker::Event::Fleet(change)) => sent.push(Sent::Fleet(change)),
            Effect::Group(group::Event::ReadAgain(read)) => {
                sent.push(Sent::Read(read.comet, read.offsets, read.sent));
                if !read.skipped.is_empty() {
                    sent.push(Sent::Skipped(read.skipped));
                }
            }
            Effect::Group(group::Event::Settled(settled)) => {
                sent.extend(settled.into_iter().map(|of| match of.completion {
                    Completion::Undeliverable {
                        at: Some(comet), ..
                    } => Sent::Letter {
                        offset: of.record.offset,
                        comet,
                    },
                    other => panic!("{other:?}"),
                }));
            }
            Effect::Group(group::Event::AgainAstray(_)) => sent.push(Sent::Astray),
            _ => {}
        });
    }

    fn sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    fn live(&mut self, offsets: Range<i64>) {
        let positions = self.core.positions().expect("it reads");
        let batches = batch(offsets);
        self.step(Event::Fetched {
            positions: &positions,
            batches,
            now: NOW,
        });
    }

    /// Reads again up to `end`. Returns from where.
    fn again(&mut self, end: i64) -> i64 {
        let positions = self.core.positions_again().expect("it reads again");
        let from = positions[&PartitionId::FIRST];
        let batches = batch(from..end);
        self.step(Event::FetchedAgain {
            positions: &positions,
            batches,
            now: NOW,
        });
        from
    }
}

fn batch(offsets: Range<i64>) -> Vec<Batch> {
    let next = offsets.end;
    let records = offsets.map(|offset| Record {
        offset,
        trace: None,
        value: Some(value(offset)),
        timestamp: offset,
        size: 1,
    });
    let outcome = Outcome::Records {
        records: records.collect(),
        next,
    };
    let partition = 0;
    vec![Batch {
        partition: PartitionId::of_first(partition),
        outcome,
    }]
}

fn value(offset: i64) -> Bytes {
    let mut push = PushMsg {
        type_: Type::ROOM.into(),
        room: "r".into(),
        ..Default::default()
    };
    if offset % 2 == 1 {
        push.type_ = Type::PUSH.into();
        push.keys = vec!["u".into()];
        push.server = "a:1".into();
    }
    push.write_to_bytes().unwrap().into()
}

fn live(offset: i64, without: &[CometId]) -> Sent {
    Sent::Live {
        offset,
        without: without.to_vec(),
    }
}

fn again(offset: i64, comet: CometId) -> Sent {
    Sent::Again { offset, comet }
}

fn behind(comet: CometId, missing: &[Range<i64>]) -> Behind {
    Behind {
        comet,
        missing: missing.to_vec(),
    }
}

fn catch_up(comet: CometId, missing: &[Range<i64>]) -> Control {
    let missing = vec![(OURS, missing.to_vec())];
    Control::CatchUp {
        comet,
        missing,
        away: None,
    }
}

#[test]
fn live_messages_pass_by_a_comet_that_is_behind_until_it_caught_up() {
    let mut bench = Bench::new(Vec::new());
    bench.live(10..12);
    bench.control(Control::Detach(B));
    bench.live(12..17);
    let expected = [
        live(10, &[]),
        live(11, &[]),
        Sent::Detach(B),
        live(12, &[B]),
        live(13, &[B]),
        live(16, &[B]),
    ];
    assert_eq!(bench.sent(), expected);
    assert!(bench.core.positions_again().is_none(), "it doesn't answer");

    bench.control(catch_up(B, &[4..6, 9..14, 16..LIVE]));
    assert_eq!(bench.sent(), [Sent::Return(B)]);
    assert_eq!(bench.again(10), 4);
    let expected = [
        Sent::Read(B, 4..6, vec![4]),
        Sent::Read(B, 9..10, vec![]),
        again(4, B),
    ];
    assert_eq!(bench.sent(), expected);
    // The log goes on behind the live position.
    assert_eq!(bench.again(40), 10);
    let expected = [
        Sent::Read(B, 10..14, vec![10, 12]),
        Sent::Read(B, 16..17, vec![16]),
        again(10, B),
        again(12, B),
        again(16, B),
    ];
    assert_eq!(bench.sent(), expected);
    assert!(bench.core.positions_again().is_none());
    bench.live(17..19);
    assert_eq!(bench.sent(), [live(17, &[]), live(18, &[])]);
}

#[test]
fn one_reader_serves_two_comets_each_from_where_it_is() {
    let mut bench = Bench::new(Vec::new());
    bench.control(Control::Detach(A));
    bench.control(Control::Detach(B));
    bench.control(catch_up(A, &[6..LIVE]));
    bench.control(catch_up(B, &[4..5, 8..LIVE]));
    bench.sent();
    // The turn of the first Comet, which nothing comes of.
    bench.core.positions_again();
    assert_eq!(bench.again(5), 4);
    assert_eq!(bench.sent(), [Sent::Read(B, 4..5, vec![4]), again(4, B)]);
    assert_eq!(bench.again(10), 6);
    let expected = [
        Sent::Read(A, 6..10, vec![6, 7, 8, 9]),
        Sent::Read(B, 8..10, vec![8]),
        again(6, A),
        again(7, A),
        again(8, A),
        again(9, A),
        again(8, B),
    ];
    assert_eq!(bench.sent(), expected);
}

/// What an earlier owner finished is not read live, though a Comet misses it.
#[test]
fn a_comet_is_attached_only_behind_what_is_finished_for_the_others() {
    let mut bench = Bench::new(vec![behind(B, &[14..LIVE])]);
    assert!(
        bench.core.positions_again().is_none(),
        "nothing is below the live position"
    );
    bench.live(10..14);
    let without = |sent: &Sent| matches!(sent, Sent::Live { without, .. } if *without == [B]);
    assert!(bench.sent().iter().all(without));
    bench.live(14..17);
    assert_eq!(bench.sent(), [live(16, &[B])]);
    assert_eq!(bench.again(17), 14);
    bench.live(17..18);
    assert_eq!(bench.sent().last(), Some(&live(17, &[])));
}

#[test]
fn a_comet_that_goes_away_again_gets_nothing_more() {
    let mut bench = Bench::new(vec![behind(B, &[2..LIVE])]);
    assert_eq!(bench.again(4), 2);
    let positions = bench.core.positions_again().unwrap();
    bench.control(Control::Detach(B));
    bench.sent();
    bench.step(Event::FetchedAgain {
        positions: &positions,
        batches: batch(4..10),
        now: NOW,
    });
    assert_eq!(bench.sent(), []);
    assert!(bench.core.positions_again().is_none());
}

#[test]
fn each_comet_has_a_share_of_the_caps_for_what_is_read_again() {
    let mut bench = Bench::new(vec![behind(B, &[0..LIVE])]);
    assert_eq!(bench.again(10), 0);
    bench.live(10..13);
    assert!(bench.core.positions_again().is_none(), "five are held");
    assert!(bench.core.positions().is_some(), "live ones have their own");
    bench.control(catch_up(A, &[2..LIVE]));
    assert_eq!(bench.again(8), 2, "another Comet has its own, too");
    bench.control(Control::Credit {
        messages: 1,
        bytes: 0,
        again: Some(B),
    });
    assert_eq!(bench.again(13), 10);
    let of_b = |sent: &Sent| {
        matches!(
            sent,
            Sent::Again {
                offset: 10..,
                comet: B
            }
        )
    };
    assert_eq!(bench.sent().into_iter().filter(of_b).count(), 2);
}

#[test]
fn live_records_are_waited_for_only_shortly_while_a_comet_catches_up() {
    let mut bench = Bench::new(Vec::new());
    bench.control(Control::Detach(B));
    bench.live(10..14);
    assert_eq!(bench.core.wait(), MAX_WAIT, "it is away");
    bench.control(catch_up(B, &[10..LIVE]));
    assert_eq!(bench.core.wait(), SHORT_WAIT);
    assert_eq!(bench.again(14), 10);
    assert_eq!(bench.core.wait(), MAX_WAIT, "nothing is left to be read");
}

#[test]
fn the_group_is_asked_where_kafka_has_no_longer_what_is_missed() {
    let mut bench = Bench::new(vec![behind(B, &[2..LIVE])]);
    let positions = bench.core.positions_again().unwrap();
    let outcome = Outcome::OutOfRange;
    let partition = 0;
    bench.step(Event::FetchedAgain {
        positions: &positions,
        batches: vec![Batch {
            partition: PartitionId::of_first(partition),
            outcome,
        }],
        now: NOW,
    });
    assert_eq!(bench.sent(), [Sent::Astray]);
    assert!(
        bench.core.positions_again().is_none(),
        "not before it knows"
    );
    bench.control(catch_up(B, &[8..LIVE]));
    assert_eq!(bench.again(10), 8);
}

#[test]
fn what_was_asked_for_another_assignment_is_not_sent() {
    let mut bench = Bench::new(vec![behind(B, &[2..LIVE])]);
    let positions = bench.core.positions_again().unwrap();
    bench.control(Control::Assign {
        assignment: Assignment { epoch: 2, ..OURS },
        position: 10,
        finished: Vec::new(),
        behind: vec![behind(B, &[2..LIVE])],
    });
    bench.step(Event::FetchedAgain {
        positions: &positions,
        batches: batch(2..10),
        now: NOW,
    });
    assert_eq!(bench.sent(), []);
    assert_eq!(bench.again(10), 2);
}

#[test]
fn workers_hear_when_nothing_more_may_be_held() {
    let mut bench = Bench::new(Vec::new());
    bench.live(10..60);
    assert_eq!(bench.sent.pop(), Some(Sent::Full(true)));
    bench.sent();
    let credit = |messages| Control::Credit {
        messages,
        bytes: 0,
        again: None,
    };
    bench.control(credit(30));
    assert_eq!(bench.sent(), [], "half is held");
    bench.control(credit(15));
    assert_eq!(bench.sent(), [Sent::Full(false)]);
}

#[test]
fn a_comet_that_is_away_is_behind_from_the_first_record_of_a_new_partition() {
    let mut bench = Bench::new(Vec::new());
    bench.control(Control::Detach(B));
    bench.control(Control::Assign {
        assignment: Assignment { epoch: 2, ..OURS },
        position: 20,
        finished: Vec::new(),
        behind: vec![behind(B, &[20..LIVE])],
    });
    bench.sent();
    bench.live(20..21);
    assert_eq!(bench.sent(), [live(20, &[B])]);
}
