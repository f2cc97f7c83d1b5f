use super::super::document::{Comet, Kafka, Log, Partition, Tried, Verdict};
use super::*;
use crate::observe::health::NO_COMET;

/// A job that is well.
fn well() -> Status {
    Status {
        process: 17,
        uptime_seconds: 3_600.0,
        group: "g".into(),
        topic: "chat".into(),
        ready: Verdict {
            ok: true,
            why: None,
        },
        kafka: Kafka {
            is_member: true,
            members: Some(1),
            partitions: Some(1),
            ..Kafka::default()
        },
        partitions: vec![Partition::default()],
        comets: ["a:1", "b:1"].map(comet).into(),
        ..Status::default()
    }
}

fn comet(address: &str) -> Comet {
    Comet {
        address: address.into(),
        state: "up".into(),
        p99_ms: Some(4.0),
        ..Comet::default()
    }
}

/// The names of what is found in a job that is well but for this.
fn names(change: impl FnOnce(&mut Status)) -> Vec<String> {
    let found = found(change);
    found.into_iter().map(|condition| condition.name).collect()
}

fn found(change: impl FnOnce(&mut Status)) -> Vec<Condition> {
    let mut status = well();
    change(&mut status);
    conditions(&status)
}

#[track_caller]
fn only(change: impl FnOnce(&mut Status)) -> Condition {
    let mut found = found(change);
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

#[test]
fn a_job_that_is_well_has_none() {
    assert_eq!(found(|_| ()), []);
}

#[test]
fn a_thread_that_stands_still_is_named() {
    let still = only(|status| status.standing_still = vec!["worker-2".into(), "group".into()]);
    assert_eq!(
        (&still.name[..], still.severity),
        ("Thread stands still", Severity::Urgent)
    );
    assert!(still.what.starts_with("worker-2, group made no step"));
    assert!(still.advice.contains("gdb -p 17 "), "{}", still.advice);
}

#[test]
fn a_start_is_given_time_to_join() {
    let alone = |uptime: f64| {
        move |status: &mut Status| {
            status.uptime_seconds = uptime;
            status.kafka.no_member_seconds = Some(uptime.min(45.0));
            status.partitions.clear();
        }
    };
    let joins = only(alone(19.0));
    assert_eq!(
        (&joins.name[..], joins.severity),
        ("Joining the group", Severity::Note)
    );
    let alone = only(alone(300.0));
    assert_eq!(
        (&alone.name[..], alone.severity),
        ("Not a member of the group", Severity::Urgent)
    );
    assert!(
        alone.what.contains("member of group g for 45 s"),
        "{}",
        alone.what
    );
}

#[test]
fn one_without_a_partition_says_who_is_there() {
    let spare = |members, partitions| {
        move |status: &mut Status| {
            status.kafka.members = members;
            status.kafka.partitions = partitions;
            status.partitions.clear();
        }
    };
    let stands_by = only(spare(Some(3), Some(2)));
    assert_eq!(
        (&stands_by.name[..], stands_by.severity),
        ("No partition", Severity::Note)
    );
    assert_eq!(
        stands_by.what,
        "Group g has 3 members and topic chat has 2 partitions; this member has none of them."
    );
    for (members, partitions) in [(Some(1), Some(2)), (None, None)] {
        let waits = only(spare(members, partitions));
        assert_eq!(
            (&waits.name[..], waits.severity),
            ("No partition", Severity::Warning)
        );
    }
    let unknown = only(|status| {
        status.partitions.clear();
        status.kafka.waits_for_positions = true;
    });
    assert_eq!(unknown.name, "Positions unknown");
}

#[test]
fn kafka_that_fails_is_said_with_since_when() {
    let reading = only(|status| status.kafka.reading_fails_seconds = Some(61.4));
    assert_eq!(
        (&reading.name[..], reading.severity),
        ("Kafka unreachable", Severity::Urgent)
    );
    assert!(
        reading.what.contains("has failed for 61 s"),
        "{}",
        reading.what
    );
    let commits = only(|status| status.kafka.commits_fail_seconds = Some(200.0));
    assert_eq!(commits.name, "Commits fail");
    assert!(commits.what.contains("for 3 min"), "{}", commits.what);
}

#[test]
fn comets_that_are_not_well_are_named() {
    for (state, name, severity) in [
        ("down", "Comet out", Severity::Urgent),
        ("detached", "Comet detached", Severity::Urgent),
        ("refusing", "Comet refuses everything", Severity::Urgent),
        ("catching_up", "Comet catches up", Severity::Note),
    ] {
        let condition = only(|status| {
            status.comets[1].state = state.into();
            status.comets[1].missed = 310;
        });
        assert_eq!((&condition.name[..], condition.severity), (name, severity));
        assert!(condition.what.starts_with("b:1 "), "{}", condition.what);
        let says_missed = condition.what.contains("310 records");
        assert_eq!(says_missed, ["detached", "catching_up"].contains(&state));
    }
    let one = only(|status| {
        status.comets[0].state = "detached".into();
        status.comets[0].missed = 1;
    });
    assert!(one.what.contains("1 record is waiting"), "{}", one.what);
}

#[test]
fn where_no_comet_takes_anything_that_is_said_once() {
    let none = only(|status| {
        status.comets = (0..8).map(|n| comet(&format!("c{n}:1"))).collect();
        for comet in &mut status.comets {
            comet.state = "down".into();
        }
        status.comets[0].state = "detached".into();
    });
    assert_eq!(none.name, "No Comet takes messages");
    let named = "c0:1, c1:1, c2:1, c3:1, c4:1 and 3 more: ";
    assert!(none.what.starts_with(named), "{}", none.what);
}

#[test]
fn a_quiet_topic_whose_comets_do_not_answer() {
    let silent = |status: &mut Status| {
        status.ready = Verdict {
            ok: false,
            why: Some(format!("{NO_COMET} (a:1, b:1)")),
        };
    };
    let condition = only(silent);
    assert_eq!(condition.name, "No Comet has answered");
    // A message found out more.
    let out = names(|status| {
        silent(status);
        status.comets[0].state = "down".into();
        status.comets[1].state = "down".into();
    });
    assert_eq!(out, ["No Comet takes messages"]);
}

#[test]
fn dead_letters_that_wait_say_where_to() {
    let waits = only(|status| {
        status.dead_letters.topic = "chat.dead-letter".into();
        status.dead_letters.waiting = 12;
        status.dead_letters.waiting_seconds = Some(34.0);
    });
    assert_eq!(
        (&waits.name[..], waits.severity),
        ("Dead letters can't be written", Severity::Urgent)
    );
    let text =
        "12 dead letters are waiting, for 34 s now: Kafka doesn't take them into chat.dead-letter.";
    assert!(waits.what.starts_with(text), "{}", waits.what);
}

#[test]
fn the_cap_counts_once_reading_pauses_for_a_while() {
    let at_limit = |seconds| {
        move |status: &mut Status| {
            status.held.messages = 4_000;
            status.held.messages_limit = 4_000;
            status.held.at_limit_seconds = Some(seconds);
            status.comets[1].p99_ms = Some(800.0);
        }
    };
    assert_eq!(names(at_limit(2.9)), [""; 0]);
    let pauses = only(at_limit(3.0));
    assert_eq!(pauses.name, "Held messages at the cap");
    assert!(
        pauses.what.contains("4000 of 4000 messages"),
        "{}",
        pauses.what
    );
    assert!(pauses.what.ends_with("b:1: p99 800 ms."), "{}", pauses.what);
}

#[test]
fn a_message_that_is_held_up_is_named_by_its_offset() {
    let held_up = |seconds| {
        move |status: &mut Status| {
            status.partitions = [(0, 1.0), (3, seconds), (5, 2.0)]
                .map(|(partition, seconds)| Partition {
                    partition,
                    offset: 70 + i64::from(partition),
                    held_up_seconds: Some(seconds),
                    ..Partition::default()
                })
                .into();
        }
    };
    assert_eq!(names(held_up(29.0)), [""; 0]);
    let condition = only(held_up(31.0));
    assert_eq!(condition.name, "Message held up");
    assert!(condition.what.contains("chat[3]@73 "), "{}", condition.what);
    // Where it is tried, and what comes back.
    let condition = only(|status| {
        held_up(41.0)(status);
        status.partitions[1].tried = Some(Tried {
            comet: "b:1".into(),
            to: "to room 'r17'".into(),
            status: "4-DEADLINE_EXCEEDED".into(),
            tries: 4,
        });
    });
    let what = "The message chat[3]@73, to room 'r17', has been held up for 41 s at Comet b:1: 4-DEADLINE_EXCEEDED, try 4. 0 behind";
    assert!(condition.what.starts_with(what), "{}", condition.what);
    assert!(condition.advice.contains("job ctl skip"), "{condition:?}");
}

#[test]
fn calls_that_fail_at_a_comet_that_takes_others_are_said() {
    let fails = |percent: f64, state: &str| {
        let state = state.to_owned();
        move |status: &mut Status| {
            status.comets[1].failed_percent = Some(percent);
            status.comets[1].state = state;
        }
    };
    assert_eq!(names(fails(4.9, "up")), [""; 0]);
    let fail = only(fails(37.2, "up"));
    assert_eq!(
        (&fail.name[..], fail.severity),
        ("Calls fail", Severity::Warning)
    );
    let what = "b:1: 37 of 100 calls failed in the last seconds.";
    assert!(fail.what.starts_with(what), "{}", fail.what);
    // That it is out says it already.
    assert_eq!(names(fails(100.0, "down")), ["Comet out"]);
}

#[test]
fn a_slow_comet_is_named() {
    let slow = only(|status| status.comets[0].p99_ms = Some(2_500.0));
    assert_eq!(slow.name, "Comet slow");
    assert!(
        slow.what.starts_with("a:1: 1 of 100 calls takes 2.5 s"),
        "{}",
        slow.what
    );
}

#[test]
fn a_lag_grows_where_it_does_so_for_half_a_minute() {
    let lags = |lags: &[u64], per_second: f64| {
        let series = lags.iter().map(|lag| Point {
            lag: *lag,
            delivery: super::super::document::Delivery {
                messages_per_second: per_second,
                ..Default::default()
            },
            ..Point::default()
        });
        names(|status| status.series = series.collect())
    };
    let grows = ["Lag grows"];
    assert_eq!(lags(&[0, 30, 60, 90, 120, 150, 180], 10.0), grows);
    // One step back is none the less growth.
    assert_eq!(lags(&[9_999, 0, 300, 200, 400, 500, 600, 700], 10.0), grows);
    for (series, per_second) in [
        // It falls, stays, or goes to and fro.
        (&[900, 800, 700, 600, 500, 400, 300][..], 10.0),
        (&[500; 7], 10.0),
        (&[100, 200, 100, 200, 100, 200, 300], 10.0),
        // It is small, also where many a second come.
        (&[0, 10, 20, 30, 40, 50, 60], 10.0),
        (&[1, 100, 200, 300, 400, 500, 600], 1_000.0),
        // It is too soon to say.
        (&[0, 1_000, 2_000], 10.0),
    ] {
        assert_eq!(lags(series, per_second), [""; 0], "{series:?}");
    }
}

#[test]
fn the_worst_comes_first() {
    let all = names(|status| {
        status.comets[0].state = "catching_up".into();
        status.comets[1].state = "down".into();
        status.kafka.commits_fail_seconds = Some(9.0);
        status.kafka.reading_fails_seconds = Some(9.0);
    });
    let expected = [
        "Kafka unreachable",
        "Comet out",
        "Commits fail",
        "Comet catches up",
    ];
    assert_eq!(all, expected);
}

#[test]
fn times_are_as_exact_as_they_need_to_be() {
    let texts = [4.4, 119.0, 120.0, 7_000.0, 9_000.0].map(lasting);
    assert_eq!(texts, ["4 s", "119 s", "2 min", "117 min", "2 h"]);
}

#[test]
fn a_pause_says_what_waits_and_how_to_go_on() {
    let paused = only(|status| {
        status.kafka.paused_seconds = Some(90.0);
        status.partitions = [Some(20), None, Some(3)]
            .map(|lag| Partition {
                lag,
                ..Partition::default()
            })
            .into();
    });
    assert_eq!(
        (paused.name.as_str(), paused.severity),
        ("Paused", Severity::Warning)
    );
    assert!(paused.what.contains("for 90 s") && paused.what.contains("23 records"));
    assert!(paused.advice.starts_with("job ctl resume"));
}

#[test]
fn a_log_that_is_not_written_is_said_where_it_can_be_seen() {
    let found = only(|status| {
        status.log = Log {
            dropped: 400,
            fails_seconds: Some(12.3),
            why: Some("writing it to standard output fails: No space left on device".into()),
            dropped_since: 310,
        };
    });
    assert_eq!(found.name, "Log not written");
    assert_eq!(
        found.what,
        "The log has not been written for 12 s: writing it to standard output fails: No space left on device. 310 lines are \
         lost so far. Messages are delivered."
    );
    assert_eq!(names(|status| status.log.dropped = 400), [""; 0]);
}

#[test]
fn dead_letters_that_nobody_decided_on_are_a_note() {
    let one = only(|status| {
        status.dead_letters.topic = "chat.dead-letter".into();
        status.dead_letters.to_replay = Some(3);
        status.dead_letters.oldest_seconds = Some(10_800.0);
    });
    assert_eq!(one.severity, Severity::Note);
    let what = "3 messages are in chat.dead-letter that were neither replayed nor discarded, the oldest for 3 h.";
    assert_eq!(one.what, what);
    assert!(one.advice.contains("job dead-letter list"), "{one:?}");
    // None, and not known yet.
    assert_eq!(
        names(|status| status.dead_letters.to_replay = Some(0)),
        [""; 0]
    );
}
