//! Comets that leave the list and are listed again: what that excuses, and what it doesn't.

use super::*;

const PROMISES: [&str; 6] = [
    "nothing lost",
    "in order",
    "one call at a time",
    "few repeats",
    "dead letters",
    "no stall",
];

/// A message a second for a minute comes to Comet 1. Comet 0 isn't listed from 20 s to 30 s.
fn out() -> Story {
    let mut story = Story::new(2);
    story.says(0, 0, "partition 0: reading from offset 0");
    story.broken(&[Scope::Out(0)], 20 * SECOND, 30 * SECOND);
    story.says(0, 21 * SECOND, "Comet 127.0.0.11:1 left the fleet: what");
    story.says(0, 31 * SECOND, "Comet 127.0.0.11:1 joined the fleet: it");
    for n in 0..60 {
        let sequence = story.log_at(n * SECOND);
        story.take(1, sequence, n * SECOND + 1);
    }
    story
}

/// What is wrong where Comet 0 takes these.
fn wrong(taken: impl Iterator<Item = u32>) -> Vec<String> {
    let mut story = out();
    taken.for_each(|n| story.take(0, n, Micros::from(n) * SECOND + 1));
    story.violations(&PROMISES)
}

#[test]
fn one_that_left_need_not_get_what_came_before_it_was_back() {
    assert_eq!(wrong((0..20).chain(32..60)), [""; 0]);
    // The last ones waited for it; and a job that started meanwhile may still have sent it some.
    assert_eq!(wrong((0..18).chain(31..60)), [""; 0]);
    // Each job had it again by 35 s.
    assert_eq!(wrong((0..20).chain(36..60)), [""; 0]);
}

#[test]
fn what_it_lacks_otherwise_is_lost() {
    for (lacks, taken) in [
        (5, (0..5).chain(6..20).chain(36..60)),
        (19, (0..19).chain(40..40).chain(36..60)),
        (40, (0..20).chain(36..40).chain(41..60)),
    ] {
        let lost = wrong(taken);
        match lacks {
            // It was the last one, and may have waited.
            19 => assert_eq!(lost, [""; 0]),
            _ => {
                assert_eq!(lost.len(), 1, "{lost:?}");
                let says = format!(" {lacks} (partition 0, offset {lacks}) never came to Comet 0");
                assert!(lost[0].contains(&says), "{lost:?}");
            }
        }
    }
    // Nothing came any more long before it left, and nothing was broken.
    assert_eq!(wrong((0..4).chain(36..60)).len(), 6);
}

#[test]
fn one_that_left_gets_nothing_more() {
    let mut story = out();
    story.broken(&[Scope::Out(0)], 40 * SECOND, 60 * SECOND);
    (0..20)
        .chain(36..41)
        .for_each(|n| story.take(0, n, Micros::from(n) * SECOND + 1));
    assert_eq!(story.violations(&PROMISES), [""; 0]);
    story.take(0, 55, 55 * SECOND + 1);
    let wrong = story.violations(&PROMISES);
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].contains("long after it had left"), "{wrong:?}");
}

#[test]
fn what_comes_as_a_repeat_after_that_need_not_be_in_order_there() {
    let mut story = out();
    (0..20)
        .chain(32..60)
        .for_each(|n| story.take(0, n, Micros::from(n) * SECOND + 1));
    story.end(0, 62 * SECOND, End::Killed);
    let next = story.job(63 * SECOND);
    story.says(next, 63 * SECOND, "partition 0: reading from offset 25");
    story.take_from(next, 0, 25, 64 * SECOND);
    assert_eq!(
        story.violations(&["nothing lost", "in order", "no stall"]),
        [""; 0]
    );
}

#[test]
fn what_is_for_its_users_goes_to_all_while_it_is_not_listed() {
    // The first stream behind the rooms: user-0.
    let mut story = out();
    let user = story.streams.count() - 5;
    assert_eq!(story.streams.name(user), "user-0");
    for (sequence, sent) in [(0, 25), (1, 50)] {
        let offset = story.log() as i64;
        let place = story.log.len() - 1;
        story.log[place].message = Some((user, sequence));
        story.acknowledged.push(Sent {
            acknowledged: sent * SECOND,
            partition: 0,
            offset: Some(offset),
            message: Some((user, sequence)),
        });
        story.records[1]
            .astray
            .push((sent * SECOND + 1, user, sequence));
    }
    (0..20)
        .chain(32..60)
        .for_each(|n| story.take(0, n, Micros::from(n) * SECOND + 1));
    let wrong = story.violations(&PROMISES);
    // The second one, which didn't come to Comet 0 either.
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong[0].contains("user-0 1") && wrong[0].contains("never came to Comet 0"));
    assert!(wrong[1].contains("for users of Comet 0 alone"), "{wrong:?}");
}
