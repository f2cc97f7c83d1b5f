//! Jobs that share partitions by Kafka's newer protocol (KIP-848).

use std::time::Duration;

use crate::rebalance::{await_members, received};
use crate::support::comet::{Answer, Comet};
use crate::support::command;
use crate::support::job::JobCommand;
use crate::support::kafka::{Kafka, Version, shared};
use crate::support::messages::{assert_each_once_in_order, assert_in_order, over_rooms};
use crate::support::topic::Topic;
use crate::support::{await_until, is};

const ROOMS: usize = 200;
const MESSAGES: usize = 20_000;

/// What a broker needs for sessions of six seconds: 45 s is the least by default.
const SHORT_SESSIONS: [&str; 4] = [
    "group.consumer.min.session.timeout.ms=6000",
    "group.consumer.session.timeout.ms=6000",
    "group.consumer.min.heartbeat.interval.ms=1000",
    "group.consumer.heartbeat.interval.ms=1000",
];

fn job(topic: &Topic, comet: &Comet) -> JobCommand {
    topic.job(&[comet]).flag("--group-protocol", "consumer")
}

#[test]
fn members_come_and_go_while_messages_flow() {
    let kafka = shared(Version::V4_3_1);
    let topic = Topic::new(kafka, 4);
    let comet = Comet::start();
    comet.answer(|_| Answer::OkAfter(Duration::from_millis(20)));
    topic.produce(over_rooms(ROOMS, 0, MESSAGES / 2));
    let mut first = job(&topic, &comet).start();
    comet.await_delivered(MESSAGES / 10);
    let mut second = job(&topic, &comet).start();
    await_members(&topic, 2);

    topic.produce(over_rooms(ROOMS, MESSAGES / 2, MESSAGES / 2));
    await_until("messages that both took on", || {
        is([received(&first) > 0, received(&second) > 0], [true; 2])
    });
    first.stop();
    await_members(&topic, 1);
    comet.await_delivered(MESSAGES);
    topic.await_no_lag();
    second.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, MESSAGES);
    comet.assert_no_overlaps();
}

/// Another member has its partitions after its session, and its name is free again.
#[test]
fn a_killed_member_is_replaced_and_comes_back_under_its_name() {
    let kafka = Kafka::start_with(Version::V4_3_1, &SHORT_SESSIONS);
    let topic = Topic::new(&kafka, 4);
    let comet = Comet::start();
    let named = || job(&topic, &comet).flag("--group-instance-id", "named");
    let mut stays = job(&topic, &comet).start();
    let mut dies = named().start();
    await_members(&topic, 2);
    topic.produce(over_rooms(ROOMS, 0, 2_000));
    comet.await_delivered(2_000);
    dies.kill();
    topic.produce(over_rooms(ROOMS, 2_000, 2_000));
    let mut comes = named().start();
    comes.await_line(&["ERROR", "has a member with --group-instance-id \"named\""]);
    await_members(&topic, 2);
    comet.await_delivered(4_000);
    topic.await_no_lag();

    // After a clean stop the name is free at once.
    comes.stop();
    let mut comes = named().start();
    await_members(&topic, 2);
    topic.produce(over_rooms(ROOMS, 4_000, 2_000));
    comet.await_delivered(6_000);
    topic.await_no_lag();
    assert!(comes.lines_with(&["has a member with"]).is_empty());
    comes.stop();
    stays.stop();
    assert_in_order(&comet.calls(), ROOMS, 6_000);
}

/// While it is frozen, another member has its partitions. When it thaws it sends nothing of them, and gets partitions anew.
#[test]
fn a_member_that_was_frozen_sends_nothing_of_what_is_another_s() {
    let kafka = Kafka::start_with(Version::V4_3_1, &SHORT_SESSIONS);
    let topic = Topic::new(&kafka, 4);
    let comet = Comet::start();
    let mut stays = job(&topic, &comet).start();
    let mut freezes = job(&topic, &comet).start();
    await_members(&topic, 2);
    topic.produce(over_rooms(ROOMS, 0, 2_000));
    comet.await_delivered(2_000);
    topic.await_no_lag();
    freezes.freeze();
    await_members(&topic, 1);
    topic.produce(over_rooms(ROOMS, 2_000, 2_000));
    comet.await_delivered(4_000);
    topic.await_no_lag();
    freezes.thaw();
    await_members(&topic, 2);
    topic.produce(over_rooms(ROOMS, 4_000, 2_000));
    comet.await_delivered(6_000);
    topic.await_no_lag();
    freezes.stop();
    stays.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, 6_000);
}

#[test]
fn a_kafka_without_it_says_so() {
    for version in [Version::V3_7_2, Version::V3_9_1] {
        let topic = Topic::new(shared(version), 1);
        let comet = Comet::start();
        let mut ends = job(&topic, &comet).start();
        assert_eq!(ends.await_exit().code(), Some(1));
        let why = ["ERROR", "doesn't serve --group-protocol consumer"];
        assert_eq!(ends.lines_with(&why).len(), 1, "{:?}", ends.log());

        let said = check(&topic, &comet);
        assert!(
            said.out.contains("doesn't serve"),
            "{version:?}: {}",
            said.out
        );
    }
}

#[test]
fn the_check_takes_a_kafka_that_has_it() {
    let topic = Topic::new(shared(Version::V4_3_1), 1);
    let comet = Comet::start();
    check(&topic, &comet).well();
}

fn check(topic: &Topic, comet: &Comet) -> command::Ended {
    let more = ["--group-protocol", "consumer"];
    command::check(topic, &comet.address(), &more)
}
