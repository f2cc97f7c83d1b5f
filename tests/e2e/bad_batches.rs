//! Batches that nobody can read: one byte of Kafka's own file is changed, or a batch unpacks to too much. The other
//! partitions go on, and so does its own behind it.

mod zeros;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use chatroom_job::message::proto::push::PushMsg;
use krafka::Record;

use crate::support::comet::Comet;
use crate::support::job::Job;
use crate::support::kafka::{Kafka, Version, shared};
use crate::support::messages::{arrived, encoded, numbered};
use crate::support::topic::Topic;
use crate::support::{await_until, is};
use zeros::unpacks_to;

const PARTITIONS: usize = 4;
/// Messages in a batch, and batches in a partition.
const EACH: usize = 40;
const BATCHES: usize = 3;
/// The batch of partition 0 that is damaged.
const DAMAGED: usize = 1;

/// Where a byte changes, counted from a batch's start, and which bits.
#[derive(Clone, Copy)]
struct Damage {
    place: usize,
    bits: u8,
}

const CHECKSUM: Damage = Damage {
    place: 17,
    bits: 0x10,
};
/// The length of its first record, which is negative then.
const RECORD: Damage = Damage { place: 61, bits: 1 };
const OFFSET_FAR_UP: Damage = Damage { place: 4, bits: 1 };
const OFFSET_UP: Damage = Damage { place: 7, bits: 4 };
const LENGTH: Damage = Damage {
    place: 9,
    bits: 0x40,
};
const FORMAT: Damage = Damage { place: 16, bits: 4 };

#[test]
fn modern_on_3_9_1() {
    all_but_the_damaged(Version::V3_9_1, "modern", CHECKSUM);
}

#[test]
fn modern_on_4_3_1() {
    all_but_the_damaged(Version::V4_3_1, "modern", CHECKSUM);
}

#[test]
fn auto_on_3_9_1() {
    all_but_the_damaged(Version::V3_9_1, "auto", RECORD);
}

#[test]
fn auto_on_4_3_1() {
    all_but_the_damaged(Version::V4_3_1, "auto", RECORD);
}

#[test]
fn classic_on_3_9_1() {
    all_but_the_damaged(Version::V3_9_1, "classic", RECORD);
}

#[test]
fn a_format_that_nobody_knows_on_3_9_1() {
    all_but_the_damaged(Version::V3_9_1, "modern", FORMAT);
}

#[test]
fn a_format_that_nobody_knows_on_4_3_1() {
    all_but_the_damaged(Version::V4_3_1, "modern", FORMAT);
}

#[test]
fn an_offset_behind_the_end_on_4_3_1() {
    others_go_on(Version::V4_3_1, "modern", OFFSET_FAR_UP);
}

#[test]
fn an_offset_among_later_ones_on_3_9_1() {
    others_go_on(Version::V3_9_1, "modern", OFFSET_UP);
}

#[test]
fn a_wrong_length_on_3_9_1() {
    others_go_on(Version::V3_9_1, "modern", LENGTH);
}

#[test]
fn a_wrong_length_on_4_3_1() {
    others_go_on(Version::V4_3_1, "modern", LENGTH);
}

/// A large sound batch stands before a small damaged one: what is asked for has to have the one and not the other.
#[test]
fn classic_reads_up_to_a_small_one_on_3_9_1() {
    let kafka = shared(Version::V3_9_1);
    let topic = Topic::new(kafka, 1);
    for batch in [0..EACH, EACH..EACH + 1, EACH + 1..2 * EACH] {
        kafka.produce(batch.map(|number| placed(&topic, 0, number)));
    }
    spoil(kafka, &topic, EACH as i64, RECORD);
    let comet = Comet::start();
    let mut job = topic.job(&[&comet]).flag("--fetch", "classic").start();
    comet.await_delivered(2 * EACH - 1);
    topic.await_no_lag();
    let letters = topic.await_dead_letters(1);
    assert!(letters.contains_key(&(0, EACH as i64)), "{letters:?}");
    job.stop();
}

/// The head tells where the batch ends: all others are delivered.
fn all_but_the_damaged(version: Version, fetch: &str, damage: Damage) {
    let kafka = shared(version);
    let topic = filled(kafka);
    spoil(kafka, &topic, (DAMAGED * EACH) as i64, damage);
    let comet = Comet::start();
    let mut job = topic.job(&[&comet]).flag("--fetch", fetch).start();
    await_others(&comet);
    comet.await_delivered((PARTITIONS * BATCHES - 1) * EACH);
    topic.await_no_lag();

    let (first, last) = (DAMAGED * EACH, (DAMAGED + 1) * EACH - 1);
    let letters = topic.await_dead_letters(1);
    let letter = &letters[&(0, first as i64)];
    assert_eq!(
        letter.header_str("job.source.last"),
        Some(&*last.to_string())
    );
    assert!(letter.value.is_none());
    let reason = format!("offsets {first} to {last} can't be read: ");
    let said = letter.header_str("job.error").unwrap_or_default();
    assert!(said.starts_with(&reason), "{said}");
    job.await_line(&[
        "ERROR",
        &format!("offsets {first} to {last} of partition 0 can't be read: "),
    ]);
    job.await_line(&[
        "WARN",
        &format!("partition 0 can't be read at offset {first}: "),
    ]);

    let calls = comet.calls();
    let rooms = arrived(&calls);
    let all: Vec<usize> = (0..BATCHES * EACH).collect();
    let but_damaged: Vec<usize> = all
        .iter()
        .copied()
        .filter(|n| !(first..=last).contains(n))
        .collect();
    for partition in 0..PARTITIONS {
        let expected = if partition == 0 { &but_damaged } else { &all };
        assert_eq!(&rooms[&room(partition)], expected);
    }
    // The tries take seconds. Nobody waits for them, and nothing is the matter with the others.
    let log = job.log();
    for partition in 1..PARTITIONS {
        let wrong = format!("partition {partition} can't be read");
        assert!(!log.iter().any(|line| line.contains(&wrong)), "{wrong}");
    }
    let behind = numbered(&room(0), last + 1).msg;
    let behind = calls.iter().position(|call| call.body == behind);
    let others = calls.iter().rposition(|call| call.room != room(0));
    assert!(others < behind, "{others:?} came after {behind:?}");

    nothing_to_replay(&topic, &format!("{}[0]@{first}-{last}", topic.name));
    reads_on(kafka, &topic, &comet, &mut job);
}

/// Where the batch ends has to be guessed: none of the others is held up, what comes later is read, and whatever
/// doesn't arrive is in a dead letter.
fn others_go_on(version: Version, fetch: &str, damage: Damage) {
    let kafka = shared(version);
    let topic = filled(kafka);
    spoil(kafka, &topic, (DAMAGED * EACH) as i64, damage);
    let comet = Comet::start();
    let mut job = topic.job(&[&comet]).flag("--fetch", fetch).start();
    await_others(&comet);
    reads_on(kafka, &topic, &comet, &mut job);
    let there = &arrived(&comet.calls())[&room(0)];
    let letters = topic.await_dead_letters(topic.dead_letters());
    let is_in_a_letter = |number: usize| {
        letters.iter().any(|((_, first), letter)| {
            let last = letter
                .header_str("job.source.last")
                .and_then(|last| last.parse().ok());
            (*first..=last.unwrap_or(*first)).contains(&(number as i64))
        })
    };
    for number in 0..BATCHES * EACH {
        let (came, is_letter) = (there.contains(&number), is_in_a_letter(number));
        assert!(
            came != is_letter,
            "{number}: came {came}, in a letter {is_letter}"
        );
    }
}

fn await_others(comet: &Comet) {
    await_until("the other partitions' messages", || {
        let rooms = arrived(&comet.calls());
        let others = rooms.iter().filter(|(name, _)| **name != room(0));
        is(
            others.map(|(_, numbers)| numbers.len()).sum(),
            (PARTITIONS - 1) * BATCHES * EACH,
        )
    });
}

/// Writes one more to each partition, and waits until all of them came and are committed.
fn reads_on(kafka: &Kafka, topic: &Topic, comet: &Comet, job: &mut Job) {
    let before = comet.count();
    let last = (0..PARTITIONS).map(|partition| placed(topic, partition, BATCHES * EACH));
    kafka.produce(last);
    await_until("the last messages", || {
        let rooms = arrived(&comet.calls());
        let came = |numbers: &&Vec<usize>| numbers.contains(&(BATCHES * EACH));
        is(rooms.values().filter(came).count(), PARTITIONS)
    });
    topic.await_no_lag();
    assert!(comet.count() >= before + PARTITIONS);
    job.stop();
}

fn nothing_to_replay(topic: &Topic, place: &str) {
    let run = |command: &[&str]| {
        let brokers = topic.kafka.address();
        let command = crate::support::job::JobCommand::new()
            .args(&["dead-letter"])
            .args(command)
            .args(&["--brokers", &brokers, "--topic", &topic.name]);
        let mut job = command.start();
        assert!(job.await_exit().success());
        job.log().join("\n")
    };
    let listed = run(&["list"]);
    assert!(
        listed.contains(place) && listed.contains("gone"),
        "{listed}"
    );
    let shown = run(&["show", "0@0"]);
    assert!(shown.contains("can't be read"), "{shown}");
    let replayed = run(&["replay", "--all"]);
    assert!(
        replayed.contains("nothing to replay") && replayed.contains("1 without a message"),
        "{replayed}"
    );
}

/// A batch that unpacks to more than the client takes.
#[test]
fn too_much_in_a_batch_on_3_9_1() {
    too_much_in_a_batch(Version::V3_9_1);
}

#[test]
fn too_much_in_a_batch_on_4_3_1() {
    too_much_in_a_batch(Version::V4_3_1);
}

fn too_much_in_a_batch(version: Version) {
    let kafka = shared(version);
    let topic = Topic::new(kafka, PARTITIONS as i32);
    let comet = Comet::start();
    kafka.produce((0..PARTITIONS).map(|partition| placed(&topic, partition, 0)));
    kafka.produce_batch(&topic.name, 0, unpacks_to(130 << 20));
    kafka.produce((0..PARTITIONS).map(|partition| placed(&topic, partition, 1)));

    let mut job = topic.job(&[&comet]).start();
    comet.await_delivered(2 * PARTITIONS);
    topic.await_no_lag();
    let letters = topic.await_dead_letters(1);
    assert_eq!(letters[&(0, 1)].header_str("job.source.last"), Some("1"));
    job.stop();
    assert_eq!(
        arrived(&comet.calls()).into_values().collect::<Vec<_>>(),
        vec![[0, 1]; PARTITIONS]
    );
}

/// It can be read, but is no PushMsg, and larger than a dead letter may be.
#[test]
fn a_record_that_no_letter_has_room_for_holds_nothing_up() {
    let kafka = shared(Version::V3_9_1);
    let topic = Topic::new(kafka, 2);
    let comet = Comet::start();
    kafka.produce((0..2).map(|partition| placed(&topic, partition, 0)));
    kafka.produce_batch(&topic.name, 0, unpacks_to(80 << 20));
    kafka.produce((0..2).map(|partition| placed(&topic, partition, 1)));
    let mut job = topic.job(&[&comet]).start();
    comet.await_delivered(4);
    topic.await_no_lag();
    let letters = topic.await_dead_letters(1);
    let letter = &letters[&(0, 1)];
    assert_eq!(letter.value, None);
    let why = letter.header_str("job.error").expect("a reason");
    let left_out = "the letter is without its value of 83886080 bytes";
    assert!(
        why.contains("Failed to parse") && why.contains(left_out),
        "{why}"
    );
    job.stop();
}

fn room(partition: usize) -> String {
    format!("room-{partition}")
}

/// The message of this number for the room of this partition.
fn placed(topic: &Topic, partition: usize, number: usize) -> Record {
    let message = PushMsg {
        // Batches are larger than what Kafka's index passes over.
        server: "x".repeat(200),
        ..numbered(&room(partition), number)
    };
    Record::new(&topic.name, encoded(&message)).partition(partition as i32)
}

fn filled<'a>(kafka: &'a Kafka) -> Topic<'a> {
    let topic = Topic::new(kafka, PARTITIONS as i32);
    for partition in 0..PARTITIONS {
        for batch in 0..BATCHES {
            kafka.produce((batch * EACH..(batch + 1) * EACH).map(|n| placed(&topic, partition, n)));
        }
    }
    topic
}

/// Changes the batch of partition 0 that begins at offset `first`, in the broker's file. A broker that starts again would cut
/// its log where a batch's head is wrong.
fn spoil(kafka: &Kafka, topic: &Topic, first: i64, damage: Damage) {
    let segment = kafka.segment(&topic.name, 0);
    let before = batches(&segment);
    let place = *before
        .get(&first)
        .unwrap_or_else(|| panic!("a batch begins at {first}: {before:?}"));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&segment)
        .expect("the file is there");
    let at = (place + damage.place) as u64;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)
        .expect("it is long enough");
    file.write_all_at(&[byte[0] ^ damage.bits], at)
        .expect("it can be written");
}

/// Where batches begin, by their first offsets.
fn batches(segment: &std::path::Path) -> BTreeMap<i64, usize> {
    let bytes = fs::read(segment).expect("the file can be read");
    let mut places = BTreeMap::new();
    let mut place = 0;
    while let Some(head) = bytes.get(place..place + 61) {
        let number =
            |from: usize| i64::from_be_bytes(head[from..from + 8].try_into().expect("8 bytes"));
        places.insert(number(0), place);
        place += 12 + (number(8) >> 32) as usize;
    }
    places
}
