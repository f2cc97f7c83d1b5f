//! Three brokers, one of which goes, moves what it leads, or loses it: job reads on, and keeps its group.

mod cut;
mod rolling;

use std::thread;

use crate::support::comet::Comet;
use crate::support::dead_address::DropsPackets;
use crate::support::kafka::Version;
use crate::support::kafka::three::{Over, three};
use crate::support::messages::{assert_each_once_in_order, over_rooms, to_room};
use crate::support::{await_until, free_port, is};

const ROOMS: usize = 40;

/// The broker that looks after the group and leads a third of the partitions is gone and stays away.
fn goes_on_without_one(version: Version, over: Over, fetch: &str) {
    let three = three(version);
    let topic = three.topic(6);
    let comet = Comet::start();
    topic.produce(over_rooms(ROOMS, 0, 400));
    let mut job = three
        .job(&topic, over, &comet)
        .flag("--fetch", fetch)
        .start();
    comet.await_delivered(400);
    topic.await_no_lag();

    thread::scope(|scope| {
        scope.spawn(|| topic.produce(over_rooms(ROOMS, 400, 4_000)));
        comet.await_delivered(500);
        three.kill(three.coordinator(&topic.group));
    });
    comet.await_delivered(4_400);
    topic.await_no_lag();
    assert_eq!(three.kafka.members(&topic.group).len(), 1);
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, 4_400);
}

#[test]
fn classic_goes_on_without_one_on_3_9_1() {
    goes_on_without_one(Version::V3_9_1, Over::Plain, "classic");
}

#[test]
fn modern_goes_on_without_one_on_4_3_1() {
    goes_on_without_one(Version::V4_3_1, Over::SaslSsl, "modern");
}

/// Each partition is led by each broker once.
fn follows_its_leader(version: Version, over: Over, fetch: &str) {
    let three = three(version);
    let topic = three.topic(3);
    let comet = Comet::start();
    let mut job = three
        .job(&topic, over, &comet)
        .flag("--fetch", fetch)
        .start();
    topic.produce(over_rooms(ROOMS, 0, 300));
    comet.await_delivered(300);
    for round in 1..=3 {
        for partition in 0..3 {
            let to = (partition + round) % 3 + 1;
            three.move_leader(&topic, partition, to);
        }
        topic.produce(over_rooms(ROOMS, 300 * round as usize, 300));
        comet.await_delivered(300 * (round as usize + 1));
    }
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, 1_200);
}

#[test]
fn classic_follows_its_leader_on_3_9_1() {
    follows_its_leader(Version::V3_9_1, Over::Plain, "classic");
}

#[test]
fn modern_follows_its_leader_on_4_3_1() {
    follows_its_leader(Version::V4_3_1, Over::SaslSsl, "modern");
}

/// More often within a minute than another process may take a member's name.
fn stays_a_member_where_its_group_moves(version: Version) {
    let three = three(version);
    let topic = three.topic(3);
    let comet = Comet::start();
    let mut job = three.job(&topic, Over::SaslSsl, &comet).start();
    topic.produce(over_rooms(ROOMS, 0, 100));
    comet.await_delivered(100);
    topic.await_no_lag();
    for round in 1..=5 {
        three.move_group(&topic.group);
        topic.produce(over_rooms(ROOMS, 100 * round, 100));
        comet.await_delivered(100 * (round + 1));
        topic.await_no_lag();
        await_until("the member", || {
            is(three.kafka.members(&topic.group).len(), 1)
        });
    }
    job.stop();
    let lines = job.lines_with(&["Another process is in group"]);
    assert!(lines.is_empty(), "{lines:?}");
    assert_each_once_in_order(&comet.calls(), ROOMS, 600);
}

#[test]
fn stays_a_member_where_its_group_moves_on_3_9_1() {
    stays_a_member_where_its_group_moves(Version::V3_9_1);
}

#[test]
fn stays_a_member_where_its_group_moves_on_4_3_1() {
    stays_a_member_where_its_group_moves(Version::V4_3_1);
}

/// Of three addresses one refuses and one swallows what it gets; the brokers then tell where the others are.
#[test]
fn one_good_address_is_enough() {
    let three = three(Version::V4_3_1);
    let topic = three.topic(3);
    let comet = Comet::start();
    topic.produce(over_rooms(ROOMS, 0, 300));
    let silent = DropsPackets::start();
    let [good, ..] = &three.addresses(Over::SaslSsl, &[2])[..] else {
        unreachable!("one was asked for")
    };
    let addresses = format!("127.0.0.1:{},{},{good}", free_port(), silent.address());
    let mut job = three
        .job_at(&addresses, &topic, Over::SaslSsl, &comet)
        .start();
    comet.await_delivered(300);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, 300);
}

/// What only the broker that is gone has must wait; nothing else waits.
#[test]
fn a_partition_without_a_leader_holds_up_no_other() {
    let three = three(Version::V3_9_1);
    let topic = three.placed_topic([vec![1], vec![2], vec![3]]);
    let comet = Comet::start();
    topic.produce(over_rooms(ROOMS, 0, 300));
    let mut job = three.job(&topic, Over::SaslSsl, &comet).start();
    comet.await_delivered(300);
    topic.await_no_lag();

    // Written to what is led, keyed as before.
    let records = three.kafka.read(&topic.name);
    let of_2 = |room: &str| {
        let mut of_room = records
            .iter()
            .filter(|r| r.key.as_deref() == Some(room.as_bytes()));
        of_room.next().is_some_and(|record| record.partition == 1)
    };
    let more = || over_rooms(ROOMS, 300, 300);
    let [held, free]: [Vec<_>; 2] = [true, false].map(|wanted| {
        more()
            .filter(|message| of_2(&message.room) == wanted)
            .collect()
    });
    assert!(!held.is_empty() && !free.is_empty());
    three.kill(2);
    await_until("a partition without a leader", || {
        is(three.leader(&topic, 1), None)
    });
    let written = free.len();
    topic.produce(free);
    comet.await_delivered(300 + written);
    three.again(2);
    topic.produce(held);
    comet.await_delivered(600);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, 600);
}

/// The broker in job's own rack has the records too, and is read.
#[test]
fn a_replica_in_the_same_rack_is_read() {
    const SIZE: usize = 5_000;
    let three = three(Version::V4_3_1);
    let topic = three.placed_topic([vec![1, 2, 3]]);
    let comet = Comet::start();
    let job = three.job(&topic, Over::Counted, &comet);
    let mut job = job.flag("--client-rack", "rack-2").start();
    let passed = || [0, 1].map(|n: usize| three.counting[n].passed());
    for round in 1..=4 {
        let large = |n: usize| to_room("room", format!("{}/{n}", "x".repeat(SIZE)));
        topic.produce((0..100).map(large));
        comet.await_delivered(100 * round);
    }
    topic.await_no_lag();
    job.stop();
    let [leader, other] = passed();
    assert!(
        other > 300 * SIZE && leader < 200 * SIZE,
        "{leader}, {other}"
    );
}
