//! What a Comet missed that was away, where `--catch-up` says that it isn't worth sending later.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chatroom_job::message::proto::push::PushMsg;

use crate::catch_up::{await_caught_up, await_missing, job, missing, topic};
use crate::support::comet::{Call, Comet};
use crate::support::job::Job;
use crate::support::messages::{over_rooms, record};
use crate::support::stream::to_user;
use crate::support::topic::Topic;
use crate::support::{await_until, is};

const ROOMS: usize = 5;
const NEW: usize = 40;
const HOUR: Duration = Duration::from_secs(3_600);

/// A Comet is away for this long while room messages are written, and one to its user, all of them an hour ago. It gets none of
/// them, and what is written later.
fn one_gets_only_what_is_new(limit: &str, away: Duration) {
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

    let missed = miss(&topic, &mut job, &goes);
    let since = Instant::now();
    stays.await_delivered(ROOMS + missed);
    await_missing(&topic, &goes, missed as u64 + 1);
    await_until("it was away for longer", || {
        is(since.elapsed() > away, true)
    });
    goes.start_again();
    await_caught_up(&mut job, &goes);
    let skipped = job.lines_with(&[
        "WARN",
        &goes.address(),
        "of what it missed: they were older",
    ]);
    assert_eq!(skipped.len(), 1, "{:#?}", job.log());
    assert!(
        skipped[0].contains(&format!("{missed} messages")),
        "{skipped:?}"
    );

    topic.produce(over_rooms(ROOMS, ROOMS + missed, NEW));
    stays.await_delivered(ROOMS + missed + NEW);
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
    let due = over_rooms(ROOMS, 0, ROOMS).chain(over_rooms(ROOMS, ROOMS + missed, NEW));
    let mut due: Vec<_> = due
        .map(|message| String::from_utf8_lossy(&message.msg).into_owned())
        .collect();
    got.sort_unstable();
    due.sort_unstable();
    assert_eq!(got, due);
}

/// Writes messages of an hour ago until the Comet is detached, and then one to its user. Returns how many were for rooms.
fn miss(topic: &Topic<'_>, job: &mut Job, goes: &Comet) -> usize {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let time = (now.expect("it is after 1970") - HOUR).as_millis() as i64;
    let at = |message: &PushMsg| record(&topic.name, message).timestamp(time);
    let mut missed = 0;
    while job
        .lines_with(&[&goes.address(), "it is detached"])
        .is_empty()
    {
        let some = over_rooms(ROOMS, ROOMS + missed, ROOMS);
        topic.kafka.produce(some.map(|message| at(&message)));
        missed += ROOMS;
    }
    topic
        .kafka
        .produce([at(&to_user("user", goes.address(), 0))]);
    missed
}

#[test]
fn one_that_was_away_gets_nothing_of_that_where_it_is_off() {
    one_gets_only_what_is_new("off", Duration::ZERO);
}

#[test]
fn one_that_was_away_gets_nothing_of_it_that_is_too_old() {
    one_gets_only_what_is_new("1s", Duration::from_secs(1));
}

/// A backlog makes messages old before any Comet gets them.
#[test]
fn one_that_was_away_for_a_shorter_time_gets_all_of_it() {
    let topic = topic();
    let (stays, goes) = (Comet::start(), Comet::start());
    let mut job = job(&topic, &[&stays, &goes])
        .flag("--catch-up", "10m")
        .start();
    topic.produce(over_rooms(ROOMS, 0, ROOMS));
    goes.await_delivered(ROOMS);
    topic.await_no_lag();
    goes.stop();
    let missed = miss(&topic, &mut job, &goes);
    await_missing(&topic, &goes, missed as u64 + 1);
    goes.start_again();
    goes.await_delivered(ROOMS + missed + 1);
    await_caught_up(&mut job, &goes);
    assert!(
        job.lines_with(&["of what it missed: they were older"])
            .is_empty()
    );
    job.stop();
    assert_eq!(topic.dead_letters(), 0);
}
