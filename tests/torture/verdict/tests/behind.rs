//! Comets that are away for a while, are detached and catch up: what that excuses, and what it doesn't.

use super::*;

const READS: &str = "partition 0: reading from offset 0";
const DETACHED: &str = "Comet 127.0.0.11:1 takes nothing while others deliver: it is detached, and";
const BEGAN: &str = "partition 0: Comet 127.0.0.11:1 missed 9 records before this process had it";
const ATTACHED: &str =
    "partition 0: Comet 127.0.0.11:1 gets what is new again, behind what it missed";
const CAUGHT_UP: &str = "Comet 127.0.0.11:1 has caught up: it took 9 messages within 1.0 s";

/// Comet 0 is away from 10 s to 42 s, while job 0 delivers a message a second for a minute to both.
fn away() -> Story {
    let mut story = Story::new(2);
    story.says(0, 0, READS);
    story.broken(&[Scope::Comet(0)], 10 * SECOND, 42 * SECOND);
    story.says(0, 13 * SECOND, DETACHED);
    story.says(0, 47 * SECOND, CAUGHT_UP);
    for n in 0..60 {
        let at = n * SECOND;
        let sequence = story.log_at(at);
        story.take(1, sequence, at + 1);
    }
    story
}

/// When Comet 0 takes the message that was sent at this second.
fn late(second: u32) -> Micros {
    match second {
        10..47 => 44 * SECOND + Micros::from(second) * SECOND / 20,
        _ => Micros::from(second) * SECOND + 1,
    }
}

#[test]
fn what_one_of_two_comets_never_got_is_lost_however_long_it_was_away() {
    let mut story = away();
    let promises = ["nothing lost", "in order", "few repeats", "no stall"];
    assert_eq!(story.violations(&promises).len(), 60);
    for n in (0..60).filter(|n| *n != 20) {
        story.take(0, n, late(n));
    }
    let lost = story.violations(&promises);
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!(lost[0].contains("never came to Comet 0"), "{lost:?}");
    let mut story = away();
    (0..60).for_each(|n| story.take(0, n, late(n)));
    assert_eq!(story.violations(&promises), [""; 0]);
}

#[test]
fn a_dead_letter_for_one_comet_doesnt_stand_for_another() {
    let mut story = Story::new(2);
    let sequence = story.log();
    story.take(0, sequence, SECOND);
    story.letter(0, None);
    story.records[1].events.push(Event::Call(Call {
        at: SECOND,
        stream: 0,
        sequence,
        port: PORT,
        answer: Some(1),
    }));
    let refusal = |code| Event::Answer {
        at: SECOND + 1,
        call: 0,
        code,
    };
    story.records[1].events.push(refusal(3));
    assert_eq!(story.violations(&["nothing lost"]), [""; 0]);
    // Nobody refused it there.
    story.records[1].events[1] = refusal(14);
    assert_eq!(story.violations(&["nothing lost"]).len(), 1);
}

#[test]
fn what_is_caught_up_comes_in_order() {
    let mut story = away();
    let (first, second) = (20, 21);
    for n in 0..60 {
        let sequence = match n {
            n if n == first => second,
            n if n == second => first,
            n => n,
        };
        story.take(0, sequence, late(n));
    }
    let wrong = story.violations(&["in order"]);
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].contains(" 20 "), "{wrong:?}");
}

#[test]
fn nobody_waits_for_a_comet_that_is_away() {
    let mut story = Story::new(2);
    story.says(0, 0, READS);
    story.broken(&[Scope::Comet(0)], 10 * SECOND, 40 * SECOND);
    let sequence = story.log_at(12 * SECOND);
    story.take(0, sequence, 41 * SECOND);
    story.take(1, sequence, 18 * SECOND);
    let stalled = story.violations(&["no stall"]);
    assert_eq!(stalled.len(), 1, "{stalled:?}");
    assert!(stalled[0].contains("waited for Comet 1"), "{stalled:?}");
}

#[test]
fn a_comet_may_be_late_until_it_has_caught_up_and_no_longer() {
    let story = |said: &[(Micros, &str)], taken: Micros| {
        let mut story = Story::new(2);
        story.says(0, 0, READS);
        story.broken(&[Scope::Comet(0)], 10 * SECOND, 40 * SECOND);
        for (at, line) in said {
            story.says(0, *at, line);
        }
        let sequence = story.log_at(20 * SECOND);
        story.take(1, sequence, 20 * SECOND + 1);
        story.take(0, sequence, taken);
        let violations = story.violations(&["no stall"]).into_iter();
        violations.filter(|v| v.contains("waited")).count()
    };
    let detached = (13 * SECOND, DETACHED);
    let caught_up = |at| [detached, (at, CAUGHT_UP)];
    assert_eq!(story(&caught_up(50 * SECOND), 49 * SECOND), 0);
    assert_eq!(story(&caught_up(50 * SECOND), 58 * SECOND), 1);
    // It was not behind.
    assert_eq!(story(&[], 49 * SECOND), 1);
    // It was detached again, for whatever reason, when it had caught up.
    let again = [detached, (44 * SECOND, CAUGHT_UP), (46 * SECOND, DETACHED)];
    assert_eq!(story(&again, 70 * SECOND), 1);
    // However long it takes to catch up, there is an end to it.
    assert_eq!(story(&[detached], 90 * SECOND), 0);
    assert_eq!(story(&[detached], 97 * SECOND), 1);
}

#[test]
fn who_has_the_partition_next_catches_up() {
    let elsewhere = BEGAN.replace("partition 0", "partition 1");
    let story = |began: Option<&str>| {
        let mut story = Story::new(2);
        story.says(0, 0, READS);
        story.broken(&[Scope::Comet(0)], 10 * SECOND, 40 * SECOND);
        story.says(0, 13 * SECOND, DETACHED);
        story.broken(&[Scope::Killed { slot: 0 }], 39 * SECOND, 60 * SECOND);
        story.end(0, 39 * SECOND, End::Killed);
        let next = story.job(SECOND);
        story.says(next, 50 * SECOND, READS);
        if let Some(began) = began {
            story.says(next, 50 * SECOND, began);
            story.says(next, 69 * SECOND, CAUGHT_UP);
        }
        let sequence = story.log_at(20 * SECOND);
        story.take(1, sequence, 20 * SECOND + 1);
        story.take_from(next, 0, sequence, 68 * SECOND);
        let violations = story.violations(&["no stall"]).into_iter();
        violations.filter(|v| v.contains("waited")).count()
    };
    assert_eq!(story(Some(BEGAN)), 0);
    assert_eq!(story(None), 1);
    // Only where it was behind.
    assert_eq!(story(Some(&elsewhere)), 1);
}

#[test]
fn a_repeat_needs_a_reason_of_its_own_comet() {
    let repeat = |broken: &[Scope], at: Micros| {
        let mut story = away();
        (0..60).for_each(|n| story.take(0, n, late(n)));
        story.broken(broken, at, at + SECOND);
        story.take(1, 20, 41 * SECOND);
        story.violations(&["few repeats"]).len()
    };
    assert_eq!(
        repeat(&[Scope::Nothing], 20 * SECOND),
        1,
        "Comet 0 was away"
    );
    assert_eq!(repeat(&[Scope::Comet(1)], 20 * SECOND), 0);
    let link = |slot| Scope::CometOf { comet: 1, slot };
    assert_eq!(repeat(&[link(0)], 20 * SECOND), 0);
    assert_eq!(repeat(&[link(1)], 20 * SECOND), 1, "another's connection");
    assert_eq!(repeat(&[Scope::Comet(1)], 30 * SECOND), 1, "too late");
    assert_eq!(repeat(&[Scope::Kafka], 20 * SECOND), 0);
    assert_eq!(repeat(&[Scope::Kafka], 30 * SECOND), 1, "it was committed");
}

#[test]
fn a_comet_that_was_behind_at_first_may_hold_a_message_up_once_it_gets_what_is_new() {
    let repeat = |attached: bool, sequence: u32| {
        let mut story = Story::new(2);
        story.says(0, 0, READS);
        story.says(0, 0, BEGAN);
        if attached {
            story.says(0, 10 * SECOND, ATTACHED);
        }
        story.broken(&[Scope::Comet(0)], 10 * SECOND, 42 * SECOND);
        for n in 0..30 {
            let at = n * SECOND;
            let sequence = story.log_at(at);
            story.take(1, sequence, at + 1);
        }
        story.end(0, 30 * SECOND, End::Killed);
        let next = story.job(SECOND);
        (0..30).for_each(|n| story.take_from(next, 0, n, 60 * SECOND));
        story.take_from(next, 1, sequence, 70 * SECOND);
        story.violations(&["few repeats"]).len()
    };
    assert_eq!(repeat(true, 20), 0);
    assert_eq!(repeat(true, 5), 1, "it was behind then");
    assert_eq!(repeat(false, 20), 1, "it was behind all the time");
}

#[test]
fn after_a_kill_what_waits_for_a_detached_comet_comes_to_no_other_again() {
    let repeat = |detached: bool, comet: usize, sequence: u32, killed: Micros| {
        let mut story = away();
        (0..60).for_each(|n| story.take(0, n, late(n)));
        if !detached {
            story.lives[0].notes.truncate(1);
        }
        story.end(0, killed, End::Killed);
        let next = story.job(SECOND);
        story.take_from(next, comet, sequence, 70 * SECOND);
        story.violations(&["few repeats"]).len()
    };
    assert_eq!(repeat(true, 1, 20, 30 * SECOND), 1);
    assert_eq!(
        repeat(false, 1, 20, 30 * SECOND),
        0,
        "it waited for Comet 0"
    );
    assert_eq!(repeat(true, 1, 20, 21 * SECOND), 0, "not committed");
    assert_eq!(
        repeat(true, 1, 11, 14 * SECOND),
        0,
        "detached, not committed"
    );
    // What was caught up counts as taken when that was committed.
    assert_eq!(repeat(true, 0, 42, 47 * SECOND), 0);
    assert_eq!(repeat(true, 0, 42, 50 * SECOND), 1);
}
