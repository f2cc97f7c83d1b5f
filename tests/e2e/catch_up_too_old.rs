//! What a Comet missed that was away, where `--catch-up` says that it isn't worth sending later.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use krafka::Record;

use crate::catch_up::{await_caught_up, await_detached, await_missing, job, missing, topic};
use crate::support::comet::{Call, Comet};
use crate::support::messages::{encoded, numbered, over_rooms};
use crate::support::stream::to_user;
use crate::support::topic::Topic;
use crate::support::{await_until, is};

const ROOMS: usize = 5;
const MISSED: usize = 60;
const NEW: usize = 40;
const HOUR: Duration = Duration::from_secs(3_600);

/// A Comet is away while room messages are written, and one to its user, all of them this long ago. It gets none of them, and
/// what is written later.
fn one_gets_only_what_is_new(limit: &str, ago: Duration) {
    let topic = topic();
    let (stays, goes) = (Comet::start(), Comet::start());
    let mut job = job(&topic, &[&stays, &goes])
        .flag("--catch-up", limit)
        .start();
    topic.produce(over_rooms(ROOMS, 0, ROOMS));
    for comet in [&stays, &goes] {
        comet.await_delivered(ROOMS);
    }
    topic.await_no_lag();
    goes.stop();

    produce_missed(&topic, &goes, ago);
    await_detached(&mut job, &goes);
    stays.await_delivered(ROOMS + MISSED);
    await_missing(&topic, &goes, MISSED as u64 + 1);
    goes.start_again();
    await_caught_up(&mut job, &goes);
    let skipped = job.lines_with(&["WARN", &goes.address(), "--catch-up allows"]);
    assert_eq!(skipped.len(), 1, "{:#?}", job.log());
    assert!(
        skipped[0].contains(&format!("{MISSED} messages")),
        "{skipped:?}"
    );

    topic.produce(over_rooms(ROOMS, ROOMS + MISSED, NEW));
    stays.await_delivered(ROOMS + MISSED + NEW);
    goes.await_delivered(ROOMS + NEW);
    let letters = topic.await_dead_letters(1);
    let letter = letters.values().next().expect("there is one");
    let reason = letter.header_str("job.error").unwrap_or_default();
    assert!(reason.contains("--catch-up"), "{reason}");
    topic.await_no_lag();
    await_until("commits without missing records", || {
        is(missing(&topic).len(), 0)
    });
    job.stop();
    let mut got: Vec<_> = goes.delivered().iter().map(Call::text).collect();
    let due = over_rooms(ROOMS, 0, ROOMS).chain(over_rooms(ROOMS, ROOMS + MISSED, NEW));
    let mut due: Vec<_> = due
        .map(|message| String::from_utf8_lossy(&message.msg).into_owned())
        .collect();
    got.sort_unstable();
    due.sort_unstable();
    assert_eq!(got, due);
}

fn produce_missed(topic: &Topic<'_>, goes: &Comet, ago: Duration) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let time = (now.expect("it is after 1970") - ago).as_millis() as i64;
    let rooms = over_rooms(ROOMS, ROOMS, MISSED).map(|message| (message.room.clone(), message));
    let user = to_user("user", goes.address(), 0);
    let missed = rooms.chain([("user".to_owned(), user)]);
    let records = missed.map(|(key, message)| {
        let record = Record::new(&topic.name, encoded(&message)).key(key.into_bytes());
        record.timestamp(time)
    });
    topic.kafka.produce(records);
}

#[test]
fn one_that_was_away_gets_nothing_of_that_where_it_is_off() {
    one_gets_only_what_is_new("off", Duration::ZERO);
}

#[test]
fn one_that_was_away_gets_nothing_of_it_that_is_too_old() {
    one_gets_only_what_is_new("10m", HOUR);
}

/// Beside what is too old, it gets what is new enough.
#[test]
fn one_that_was_away_gets_what_is_new_enough() {
    let topic = topic();
    let (stays, goes) = (Comet::start(), Comet::start());
    let mut job = job(&topic, &[&stays, &goes])
        .flag("--catch-up", "10h")
        .start();
    topic.produce([numbered("room-0", 0)]);
    goes.await_delivered(1);
    topic.await_no_lag();
    goes.stop();
    produce_missed(&topic, &goes, HOUR);
    await_detached(&mut job, &goes);
    await_missing(&topic, &goes, MISSED as u64 + 1);
    goes.start_again();
    goes.await_delivered(1 + MISSED + 1);
    await_caught_up(&mut job, &goes);
    assert!(job.lines_with(&["--catch-up allows"]).is_empty());
    job.stop();
    assert_eq!(topic.dead_letters(), 0);
}
