//! A record of the dead-letter topic, as anybody may have written it, and the letter of a message with any headers.

use bytes::Bytes;
use chatroom_job::commands::dead_letter::book::Due;
use chatroom_job::dead_letter::letter::Found;
use chatroom_job::commands::dead_letter::notes::{Note, Run};
use chatroom_job::commands::dead_letter::show::{State, line, other, whole};
use chatroom_job::commands::dead_letter::rewrite;
use chatroom_job::dead_letter::{header, writer};
use chatroom_job::message::dead_letter::Letter;
use chatroom_job::message::Slot;
use krafka::Record;
use krafka::consumer::ConsumerRecord;

use crate::{Parts, is_one_line};

/// More than one note speaks of.
const OFFSETS: usize = 200_000;
/// A line shows the beginning of what may be long.
const LINE: usize = 32 << 10;
const SLOT: Slot = Slot {
    partition: 3,
    epoch: 1,
    offset: 42,
};

type Headers = Vec<(String, Option<Bytes>)>;

pub fn check(parts: &Parts) {
    let body = Some(parts.body.clone());
    let key = (!parts.name.is_empty()).then(|| parts.name.clone().into());
    let as_it_is = record("t.dead-letter", key.clone(), body.clone(), &parts.headers);
    assert!(is_one_line(&other(&as_it_is)));
    read_note(&as_it_is);
    if let Some(letter) = Found::read(as_it_is) {
        show(&letter);
    }
    // Without a body it is null.
    let value = body.filter(|body| !body.is_empty());
    bury(record("t", key, value, &parts.headers));
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

/// A note is bounded, and says the same when it is written again.
fn read_note(record: &ConsumerRecord) {
    let Some(note) = Note::read(record) else {
        return;
    };
    if let Note::Replayed(offsets) | Note::Discarded(offsets) = &note {
        assert!(offsets.len() < OFFSETS, "{} offsets", offsets.len());
        assert!(offsets.iter().all(|offset| *offset >= 0));
        if !offsets.is_sorted_by(|one, next| one < next) {
            return;
        }
    }
    let run = match &note {
        Note::Began(run) => run.clone(),
        Note::Ended(id) => Run {
            id: id.clone(),
            by: String::new(),
        },
        Note::Replayed(_) | Note::Discarded(_) => Run {
            id: "1".into(),
            by: String::new(),
        },
    };
    let again = stored(note.record("t.dead-letter", 0, &run));
    assert_eq!(Note::read(&again), Some(note));
}

/// One line each, for a terminal, of whatever is in it.
fn show(letter: &Found) {
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

/// A message becomes a letter, is replayed, and becomes a letter again: it stays as it was, and its rounds are counted.
fn bury(message: ConsumerRecord) {
    let own = |name: &str| header::OF_LETTER.contains(&name);
    let foreign: Headers = message
        .headers
        .iter()
        .filter(|(name, _)| !own(name))
        .cloned()
        .collect();
    let mut rounds = None;
    let mut dead = message.clone();
    for _ in 0..2 {
        let reason = String::from_utf8_lossy(message.value.as_deref().unwrap_or_default());
        let letter = Letter {
            slot: SLOT,
            bytes: 0,
            why: reason.clone().into_owned(),
        };
        let buried = stored(writer::record("t.dead-letter", "t", &letter, Some(dead)));
        assert_eq!(Note::read(&buried), None, "a letter is no note");
        let found = Found::read(buried).expect("a letter");
        assert_eq!(found.source_topic, "t");
        assert_eq!(
            (found.source.partition, found.source.offset),
            (SLOT.partition, SLOT.offset)
        );
        assert_eq!(found.reason, reason);
        assert!(!found.is_gone());
        let due: u32 = rounds.map_or(found.rounds, |before: u32| before.saturating_add(1));
        assert_eq!(found.rounds, due);
        rounds = Some(found.rounds);
        show(&found);

        let due = Due {
            place: found.place(),
            twins: Vec::new(),
            partition: found.source.partition,
        };
        let back = rewrite::record("t", 4, &due, &found);
        assert_eq!(back.partition, Some(SLOT.partition));
        assert_eq!((&back.key, &back.value), (&message.key, &message.value));
        let (rounds, others) = back.headers.split_last().expect("the rounds");
        assert_eq!(rounds.0, header::ROUNDS);
        assert_eq!(others, foreign);
        dead = stored(back);
    }
}

/// The record, as it is read back.
fn stored(record: Record) -> ConsumerRecord {
    self::record(&record.topic, record.key, record.value, &record.headers)
}
