//! A record of the dead-letter topic, as anybody may have written it, and the letter of a message with any headers.

use bytes::Bytes;
use chatroom_job::commands::dead_letter::index::Due;
use chatroom_job::commands::dead_letter::resend;
use chatroom_job::commands::dead_letter::show::{State, line, other, whole};
use chatroom_job::dead_letter::letter::StoredLetter;
use chatroom_job::dead_letter::markers::{Marker, Run};
use chatroom_job::dead_letter::{compose, header};
use chatroom_job::figures::Roster;
use chatroom_job::message::dead_letter::Letter;
use chatroom_job::message::{Assignment, Cause, PartitionId, Reason, RecordId};
use krafka::Record;
use krafka::consumer::ConsumerRecord;

use crate::{Parts, is_one_line};

/// More than one marker names.
const OFFSETS: usize = 200_000;
/// A line shows the beginning of what may be long.
const LINE: usize = 32 << 10;
const RECORD: RecordId = RecordId {
    assignment: Assignment {
        partition: PartitionId::of_first(3),
        epoch: 1,
    },
    offset: 42,
};

type Headers = Vec<(String, Option<Bytes>)>;

pub fn check(parts: &Parts) {
    let body = Some(parts.body.clone());
    let key = (!parts.name.is_empty()).then(|| parts.name.clone().into());
    let as_it_is = record("t.dead-letter", key.clone(), body.clone(), &parts.headers);
    assert!(is_one_line(&other(&as_it_is)));
    read_marker(&as_it_is);
    if let Some(letter) = StoredLetter::read(as_it_is) {
        show(&letter);
    }
    // Without a body it is null.
    let value = body.filter(|body| !body.is_empty());
    becomes_a_letter_twice(record("t", key, value, &parts.headers));
}

fn record(
    topic: &str,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: &Headers,
) -> ConsumerRecord {
    let mut record = ConsumerRecord::new(topic, 0, 7, key, value);
    record.headers = headers.clone();
    record
}

/// A marker is bounded, and says the same when it is written again.
fn read_marker(record: &ConsumerRecord) {
    let Some(marker) = Marker::read(record) else {
        return;
    };
    if let Marker::Replayed(offsets) | Marker::Discarded(offsets) = &marker {
        assert!(offsets.len() < OFFSETS, "{} offsets", offsets.len());
        assert!(offsets.iter().all(|offset| *offset >= 0));
        if !offsets.is_sorted_by(|one, next| one < next) {
            return;
        }
    }
    let run = match &marker {
        Marker::Began(run) => run.clone(),
        Marker::Ended(id) => Run {
            id: id.clone(),
            by: String::new(),
        },
        Marker::Replayed(_) | Marker::Discarded(_) => Run {
            id: "1".into(),
            by: String::new(),
        },
    };
    let again = stored(marker.record("t.dead-letter", 0, &run));
    assert_eq!(Marker::read(&again), Some(marker));
}

/// One line each, for a terminal, of whatever is in it.
fn show(letter: &StoredLetter) {
    let line = line(letter, State::Waiting);
    assert!(is_one_line(&line), "{line:?}");
    assert!(line.len() < LINE, "{} bytes in one line", line.len());
    let whole = whole(letter, State::Waiting);
    assert!(whole.ends_with('\n'));
    let headers = whole.lines().filter(|line| line.starts_with("header "));
    assert_eq!(headers.count(), letter.record.headers.len());
    for line in whole.lines() {
        assert!(is_one_line(line), "{line:?}");
    }
}

/// A message becomes a letter, is replayed, and becomes a letter again: it stays as it was, and its replays are counted.
fn becomes_a_letter_twice(message: ConsumerRecord) {
    let own = |name: &str| header::OF_LETTER.contains(&name);
    let foreign: Headers = message
        .headers
        .iter()
        .filter(|(name, _)| !own(name))
        .cloned()
        .collect();
    let mut replays = None;
    let mut dead = message.clone();
    for _ in 0..2 {
        let reason = String::from_utf8_lossy(message.value.as_deref().unwrap_or_default());
        let dead_letter = Letter {
            record: RECORD,
            last: None,
            bytes: 0,
            at: None,
            why: Reason::new(Cause::default(), reason.clone().into_owned()),
        };
        let written = stored(compose::record(
            "t.dead-letter",
            "t",
            &Roster::default(),
            &dead_letter,
            Some(dead),
        ));
        assert_eq!(Marker::read(&written), None, "a letter is no marker");
        let letter = StoredLetter::read(written).expect("a letter");
        assert_eq!(letter.source_topic, "t");
        assert_eq!(
            (letter.source.partition, letter.source.offset),
            (RECORD.assignment.partition.index, RECORD.offset)
        );
        assert_eq!(letter.reason, reason);
        assert!(!letter.is_gone());
        let due: u32 = replays.map_or(letter.replays, |before: u32| before.saturating_add(1));
        assert_eq!(letter.replays, due);
        replays = Some(letter.replays);
        show(&letter);

        let due = Due {
            place: letter.place(),
            duplicates: Vec::new(),
            partition: letter.source.partition,
            whom: letter.whom.clone(),
        };
        let back = resend::records("t", 4, &due, &letter).remove(0);
        assert_eq!(back.partition, Some(RECORD.assignment.partition.index));
        assert_eq!((&back.key, &back.value), (&message.key, &message.value));
        let (replays, others) = back.headers.split_last().expect("the replays");
        assert_eq!(replays.0, header::REPLAYS);
        assert_eq!(others, foreign);
        dead = stored(back);
    }
}

/// The record, as it is read back.
fn stored(record: Record) -> ConsumerRecord {
    self::record(&record.topic, record.key, record.value, &record.headers)
}
