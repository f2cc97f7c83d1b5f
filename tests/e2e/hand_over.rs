//! Another client reads a topic, job takes over from it, and it from job: docs/MIGRATION.md.

use std::collections::BTreeSet;
use std::process::Command;

use chatroom_job::message::proto::push::PushMsg;
use protobuf::Message;

use crate::support::comet::Comet;
use crate::support::kafka::{Version, shared};
use crate::support::messages::over_rooms;
use crate::support::topic::Topic;

const ROOMS: usize = 6;

/// A record's partition and offset.
type Place = (i32, i64);

/// Another member of the topic's group, on librdkafka as the C++ service is: reads so many records, commits them and leaves.
fn another_reads(topic: &Topic<'_>, count: usize) -> BTreeSet<Place> {
    let (broker, count) = (topic.kafka.address(), count.to_string());
    let read = Command::new("timeout")
        .args(["120", "kcat", "-q", "-b", &broker, "-c", &count])
        .args(["-X", "auto.offset.reset=earliest", "-f", "%p %o\\n"])
        .args(["-G", &topic.group, &topic.name])
        .output()
        .expect("kcat starts: scripts/setup --kcat installs it");
    let (said, errors) = (
        String::from_utf8_lossy(&read.stdout),
        String::from_utf8_lossy(&read.stderr),
    );
    assert!(read.status.success(), "{errors}");
    let places = said.lines().map(|line| {
        let (partition, offset) = line.split_once(' ').expect("two numbers");
        (partition.parse().unwrap(), offset.parse().unwrap())
    });
    let places: Vec<Place> = places.collect();
    let each = places.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(each.len(), places.len(), "each once: {places:?}");
    each
}

/// All records of the topic with their texts.
fn texts(topic: &Topic<'_>) -> Vec<(Place, String)> {
    let records = topic.kafka.read(&topic.name).into_iter();
    let text = records.map(|record| {
        let value = record.value.as_deref().expect("a value");
        let message = PushMsg::parse_from_bytes(value).expect("a PushMsg");
        let text = String::from_utf8(message.msg.to_vec()).expect("a text");
        ((record.partition, record.offset), text)
    });
    text.collect()
}

/// The texts of all records but these, in the order of their names.
fn all_but(topic: &Topic<'_>, others: &[&BTreeSet<Place>]) -> Vec<String> {
    let all = texts(topic).into_iter();
    let ours = all.filter(|(place, _)| !others.iter().any(|other| other.contains(place)));
    let mut ours: Vec<String> = ours.map(|(_, text)| text).collect();
    ours.sort();
    ours
}

/// What the Comet got, likewise.
fn delivered(comet: &Comet) -> Vec<String> {
    let calls = comet.calls();
    let mut texts: Vec<String> = calls.iter().map(|call| call.text()).collect();
    texts.sort();
    texts
}

#[test]
fn from_another_client_to_job_and_back_nothing_is_lost_and_nothing_comes_twice() {
    let topic = Topic::new(shared(Version::V3_9_1), 3);
    topic.produce(over_rooms(ROOMS, 0, 90));
    let before = another_reads(&topic, 40);
    assert_eq!(before.len(), 40);

    let comet = Comet::start();
    let mut job = topic.job(&[&comet]).log_level("INFO").start();
    comet.await_delivered(50);
    // It begins behind what the other one read, in each partition of which that read some.
    for partition in 0..3 {
        let offsets = before.iter().filter(|(of, _)| *of == partition);
        let Some(last) = offsets.map(|(_, offset)| offset).max() else {
            continue;
        };
        let begins = format!("partition {partition}: reading from offset {}", last + 1);
        job.await_line(&[&begins]);
    }
    topic.produce(over_rooms(ROOMS, 90, 30));
    comet.await_delivered(80);
    topic.await_no_lag();
    job.stop();
    assert_eq!(delivered(&comet), all_but(&topic, &[&before]));

    // The way back: it gets what came since, and nothing that job has delivered.
    topic.produce(over_rooms(ROOMS, 120, 40));
    let back = another_reads(&topic, 40);
    assert_eq!(delivered(&comet), all_but(&topic, &[&before, &back]));

    // And job once more, behind what the other one committed: the text that stood beside job's own commit is gone.
    topic.produce(over_rooms(ROOMS, 160, 20));
    let mut job = topic.job(&[&comet]).start();
    comet.await_delivered(100);
    topic.await_no_lag();
    job.stop();
    assert_eq!(delivered(&comet), all_but(&topic, &[&before, &back]));
}
