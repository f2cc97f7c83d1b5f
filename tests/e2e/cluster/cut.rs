//! A replica that lacks the last records is made leader (an unclean election): Kafka loses them, and job goes on with
//! what is written in their place.

use krafka::admin::ElectionType;

use crate::support::comet::Comet;
use crate::support::kafka::Version;
use crate::support::kafka::three::{Over, Turn, three};
use crate::support::messages::{assert_in_order, over_rooms};
use crate::support::topic::Topic;
use crate::support::{await_until, is};

const ROOMS: usize = 10;
const KEPT: usize = 100;
const CUT: usize = 50;

/// Two of the brokers have the topic's partition, and one of these is enough to write.
fn topic_of_two(three: &Turn) -> Topic<'_> {
    let topic = three.placed_topic([vec![1, 2]]);
    three.kafka.set(&topic.name, "min.insync.replicas", "1");
    topic
}

/// The second one has only what was written before this.
fn leave_behind(three: &Turn, topic: &Topic<'_>) {
    three.stop(2);
    await_until("one replica in sync", || {
        is(three.in_sync(topic, 0), vec![1])
    });
}

/// The second one leads, and what it lacks is gone.
fn cut(three: &Turn, topic: &Topic<'_>) {
    three.kill(1);
    three.again(2);
    await_until("an unclean election", || {
        three.elect(ElectionType::Unclean, &topic.name, 0);
        is(three.leader(topic, 0), Some(2))
    });
    assert_eq!(three.kafka.end_offsets(&topic.name)[&0], KEPT as i64);
}

fn goes_on_where_the_log_is_cut(version: Version, over: Over, fetch: &str) {
    let three = three(version);
    let topic = topic_of_two(&three);
    let comet = Comet::start();
    topic.produce(over_rooms(ROOMS, 0, KEPT));
    let mut job = three
        .job(&topic, over, &comet)
        .flag("--fetch", fetch)
        .start();
    comet.await_delivered(KEPT);
    leave_behind(&three, &topic);
    topic.produce(over_rooms(ROOMS, KEPT, CUT));
    comet.await_delivered(KEPT + CUT);
    topic.await_no_lag();
    cut(&three, &topic);
    job.await_line(&["ERROR", "its log was cut back to offset"]);
    topic.produce(over_rooms(ROOMS, KEPT + CUT, 200));
    await_until("what is new", || {
        let of_all = comet.calls();
        let new = of_all
            .iter()
            .filter(|call| number(&call.text()) >= (KEPT + CUT) / ROOMS);
        is(new.count(), 200)
    });
    job.stop();
    assert_in_order(&comet.calls(), ROOMS, KEPT + CUT + 200);
}

fn number(body: &str) -> usize {
    let (_, number) = body.rsplit_once('/').expect("a numbered body");
    number.parse().expect("a number")
}

#[test]
fn classic_goes_on_where_the_log_is_cut_on_3_9_1() {
    goes_on_where_the_log_is_cut(Version::V3_9_1, Over::Plain, "classic");
}

#[test]
fn modern_goes_on_where_the_log_is_cut_on_4_3_1() {
    goes_on_where_the_log_is_cut(Version::V4_3_1, Over::SaslSsl, "modern");
}

/// Job is away meanwhile, and finds its offset in the log again, with another record there.
#[test]
fn a_successor_reads_what_stands_in_the_place_of_what_was_cut() {
    let three = three(Version::V4_3_1);
    let topic = topic_of_two(&three);
    let comet = Comet::start();
    topic.produce(over_rooms(ROOMS, 0, KEPT));
    let start = || three.job(&topic, Over::SaslSsl, &comet).start();
    let mut job = start();
    comet.await_delivered(KEPT);
    leave_behind(&three, &topic);
    topic.produce(over_rooms(ROOMS, KEPT, CUT));
    comet.await_delivered(KEPT + CUT);
    topic.await_no_lag();
    job.stop();
    cut(&three, &topic);
    topic.produce(over_rooms(ROOMS, KEPT + CUT, 200));
    let mut job = start();
    await_until("what is new", || {
        let of_all = comet.calls();
        let new = of_all
            .iter()
            .filter(|call| number(&call.text()) >= (KEPT + CUT) / ROOMS);
        is(new.count(), 200)
    });
    job.stop();
    assert_in_order(&comet.calls(), ROOMS, KEPT + CUT + 200);
}
