//! Two jobs in one group.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::comet::{Answer, Comet};
use crate::support::job::Job;
use crate::support::kafka::{Kafka, on_each_kafka};
use crate::support::messages::{assert_each_once_in_order, assert_in_order, over_rooms};
use crate::support::topic::Topic;
use crate::support::{await_until, is};

on_each_kafka!(
    one_of_two_is_stopped,
    one_joins_while_messages_flow,
    a_killed_member_is_awaited,
    one_that_lets_go_is_killed_and_comes_back,
    two_of_one_name,
    the_group_can_be_seen
);

const ROOMS: usize = 200;
const MESSAGES: usize = 20_000;

/// Waits until so many members share all partitions.
pub(crate) fn await_members(topic: &Topic, count: usize) {
    await_until("the partitions' assignment", || {
        let mut partitions = Vec::new();
        for member in topic.kafka.members(&topic.group) {
            let own = member.assignment.unwrap_or_default();
            partitions.push(own.into_iter().flat_map(|a| a.partitions).collect());
        }
        let sizes: Vec<_> = partitions.iter().map(Vec::len).collect();
        let all: BTreeSet<i32> = partitions.into_iter().flatten().collect();
        is((sizes, all.len()), (vec![4 / count; count], 4))
    });
}

fn ids(topic: &Topic) -> BTreeSet<String> {
    let members = topic.kafka.members(&topic.group);
    members.into_iter().map(|member| member.member_id).collect()
}

/// How many messages this job has taken on.
pub(crate) fn received(job: &Job) -> usize {
    job.lines_with(&["Received PushMsg:"]).len()
}

fn one_of_two_is_stopped(kafka: &Kafka) {
    let topic = Topic::new(kafka, 4);
    let comet = Comet::start();
    comet.slow_down_after(MESSAGES / 4);
    let [mut stays, mut goes] = [(); 2].map(|()| topic.job(&[&comet]).start());
    await_members(&topic, 2);

    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    await_until("messages that both took on", || {
        is([received(&goes) > 0, received(&stays) > 0], [true; 2])
    });
    comet.await_delivered(MESSAGES / 4);
    goes.stop();
    let then = comet.count();
    assert!(then < MESSAGES, "it was stopped too late to show anything");
    comet.answer(|_| Answer::Ok);

    await_members(&topic, 1);
    comet.await_delivered(MESSAGES);
    topic.await_no_lag();
    stays.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, MESSAGES);
    comet.assert_no_overlaps();
}

fn one_joins_while_messages_flow(kafka: &Kafka) {
    let topic = Topic::new(kafka, 4);
    let comet = Comet::start();
    comet.answer(|_| Answer::OkAfter(Duration::from_millis(20)));
    topic.produce(over_rooms(ROOMS, 0, MESSAGES / 2));
    let mut first = topic.job(&[&comet]).start();
    comet.await_delivered(MESSAGES / 10);
    let mut second = topic.job(&[&comet]).start();
    await_members(&topic, 2);

    topic.produce(over_rooms(ROOMS, MESSAGES / 2, MESSAGES / 2));
    comet.await_delivered(MESSAGES);
    topic.await_no_lag();
    first.stop();
    second.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, MESSAGES);
    comet.assert_no_overlaps();
    assert!(received(&first) > 0 && received(&second) > 0, "both worked");
}

/// Kafka holds the join of a new member back until the session of a killed one is over. Meanwhile the living one goes on,
/// and what it finishes is committed.
fn a_killed_member_is_awaited(kafka: &Kafka) {
    let topic = Topic::new(kafka, 4);
    let comet = Comet::start();
    let [mut stays, mut dies] = [(); 2].map(|()| {
        let job = topic.job(&[&comet]);
        job.flag("--session-timeout", "20s").start()
    });
    await_members(&topic, 2);
    topic.produce(over_rooms(ROOMS, 0, 400));
    topic.await_no_lag();

    let before = ids(&topic);
    dies.kill();
    let mut comes = topic.job(&[&comet]).start();
    await_until("the join", || {
        is(
            kafka.group_state(&topic.group).as_str(),
            "PreparingRebalance",
        )
    });
    // A commit a second: the living member joins too before the last of them.
    for part in 1..5 {
        topic.produce(over_rooms(ROOMS, 400 * part, 400));
        let ends = kafka.end_offsets(&topic.name);
        await_until("the commits of two partitions", || {
            let committed = kafka.committed(&topic.group, &topic.name);
            let done = committed
                .iter()
                .filter(|(partition, stored)| stored.offset == ends.get(partition).copied());
            is(done.count(), 2)
        });
    }
    assert!(
        ids(&topic).is_superset(&before),
        "the killed member was awaited no longer: this shows nothing"
    );

    comet.await_delivered(2_000);
    await_members(&topic, 2);
    topic.await_no_lag();
    stays.stop();
    comes.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, 2_000);
}

/// A member hands two partitions over, and its end comes in the middle. It is back under its name before Kafka notices,
/// and Kafka makes no new round for it: the two would have no owner.
fn one_that_lets_go_is_killed_and_comes_back(kafka: &Kafka) {
    let topic = Topic::new(kafka, 4);
    let comet = Comet::start();
    comet.answer(|_| Answer::Hang);
    let named = || topic.job(&[&comet]).flag("--group-instance-id", "named");
    let mut goes = named().start();
    await_members(&topic, 1);
    topic.produce(over_rooms(ROOMS, 0, 400));
    await_until("messages in its hands", || is(received(&goes) > 0, true));

    let mut comes = topic.job(&[&comet]).start();
    await_until("the first of two rounds", || {
        let owned = topic.kafka.members(&topic.group);
        let sizes: BTreeSet<usize> = owned
            .into_iter()
            .map(|member| member.assignment.unwrap_or_default())
            .map(|all| all.iter().map(|a| a.partitions.len()).sum())
            .collect();
        is(sizes, BTreeSet::from([0, 2]))
    });
    goes.kill();
    comet.answer(|_| Answer::Ok);
    let mut is_back = named().start();

    await_members(&topic, 2);
    topic.await_no_lag();
    is_back.stop();
    comes.stop();
    assert_in_order(&comet.calls(), ROOMS, 400);
}

/// Kafka lets each of two processes of one name throw out the other. One of them gives up, and says why.
fn two_of_one_name(kafka: &Kafka) {
    let topic = Topic::new(kafka, 4);
    let comet = Comet::start();
    let named = || topic.job(&[&comet]).flag("--group-instance-id", "named");
    topic.produce(over_rooms(ROOMS, 0, 400));
    let mut first = named().start();
    comet.await_delivered(400);
    let mut second = named().start();
    let (ended, status) = await_until("the end of one", || {
        let ends = [first.try_exit(), second.try_exit()];
        let ended = ends.iter().position(Option::is_some);
        ended
            .and_then(|n| Some((n, ends[n]?)))
            .ok_or_else(|| "both go on".into())
    });
    let (gone, mut stays) = match ended {
        0 => (first, second),
        _ => (second, first),
    };
    assert_eq!(status.code(), Some(1));
    let why = [
        "ERROR",
        "Another process is in group",
        "with the same --group-instance-id \"named\": each needs its own",
    ];
    assert_eq!(gone.lines_with(&why).len(), 1, "{:?}", gone.log());

    await_members(&topic, 1);
    topic.produce(over_rooms(ROOMS, 400, 400));
    comet.await_delivered(800);
    topic.await_no_lag();
    stays.stop();
    assert_in_order(&comet.calls(), ROOMS, 800);
}

/// What `kafka-consumer-groups.sh --describe` shows: the member, its client and host, and the lag, which falls.
fn the_group_can_be_seen(kafka: &Kafka) {
    const ROOMS: usize = 10;
    let topic = Topic::new(kafka, 1);
    let comet = Comet::start();
    topic.produce(over_rooms(ROOMS, 0, 100));
    let mut job = topic.job(&[&comet]).start();
    topic.await_no_lag();

    comet.stop();
    topic.produce(over_rooms(ROOMS, 100, 500));
    await_row(&topic, ["100", "600", "500"]);
    comet.start_again();
    await_row(&topic, ["600", "600", "0"]);
    job.stop();
    assert_each_once_in_order(&comet.delivered(), ROOMS, 600);
}

/// Waits until Kafka's tool shows these figures for partition 0: current offset, end offset, lag.
fn await_row(topic: &Topic, figures: [&str; 3]) {
    await_until("the group's row", || {
        let output = topic.kafka.tool(
            "kafka-consumer-groups",
            &["--group", &topic.group, "--describe"],
        );
        let text = String::from_utf8_lossy(&output.stdout);
        // GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID HOST CLIENT-ID
        let row = text.lines().find(|line| line.contains(&topic.name));
        let row: Vec<_> = row.unwrap_or_default().split_whitespace().collect();
        match row[..] {
            [_, _, "0", at, end, lag, member, "/127.0.0.1", client]
                if [at, end, lag] == figures && member != "-" && client != "-" =>
            {
                Ok(())
            }
            _ => Err(format!("{output:?}")),
        }
    });
}
