//! What is too old for a Comet that was away.

use std::time::Duration;

use super::*;
use crate::settings::CatchUp as Limit;

fn catching_up(limit: Limit) -> Ages {
    Ages {
        catch_up: limit,
        ..Ages::ALL
    }
}

#[test]
fn what_is_too_old_is_skipped_and_what_was_for_users_becomes_a_letter() {
    let limit = catching_up(Limit::Within(Duration::from_millis(14)));
    let mut bench = Bench::limited(vec![behind(A, &[2..LIVE])], limit);
    assert_eq!(bench.again(10), 2);
    let expected = [
        Sent::Read(A, 2..10, vec![3, 5, 6, 7, 8, 9]),
        Sent::Skipped(vec![2, 4]),
        Sent::Letter {
            offset: 3,
            comet: A,
        },
        Sent::Letter {
            offset: 5,
            comet: A,
        },
        again(6, A),
        again(7, A),
        again(8, A),
        again(9, A),
    ];
    assert_eq!(bench.sent(), expected);
}

#[test]
fn what_others_have_alone_is_neither_skipped_nor_a_letter() {
    let mut bench = Bench::limited(vec![behind(B, &[2..LIVE])], catching_up(Limit::Off));
    assert_eq!(bench.again(10), 2);
    let expected = [
        Sent::Read(B, 2..10, vec![]),
        Sent::Skipped(vec![2, 4, 6, 8]),
    ];
    assert_eq!(bench.sent(), expected, "the odd ones are for a user at A");
}

/// Letters that are not written yet count as held, so that a Comet can't fill memory with them.
#[test]
fn letters_count_against_what_may_be_held() {
    let mut bench = Bench::limited(vec![behind(A, &[0..LIVE])], catching_up(Limit::Off));
    bench.live(10..14);
    bench.sent();
    assert_eq!(bench.again(10), 0);
    bench.sent();
    assert!(bench.core.positions_again().is_none(), "five are held");
    bench.control(Control::Credit {
        messages: 1,
        bytes: 0,
        again: Some(A),
    });
    assert_eq!(bench.again(14), 10);
}

/// A backlog makes messages old before any Comet gets them.
#[test]
fn one_that_was_away_for_a_shorter_time_gets_all() {
    let time = Duration::from_millis(14);
    for (away, is_limited) in [(time, false), (2 * time, true)] {
        let mut bench = Bench::limited(Vec::new(), catching_up(Limit::Within(time)));
        bench.control(Control::Detach(B));
        bench.control(Control::CatchUp {
            comet: B,
            missing: vec![(OURS, vec![2..5, 10..LIVE])],
            away: Some(away),
        });
        bench.sent();
        bench.again(5);
        let expected = match is_limited {
            true => [Sent::Read(B, 2..5, vec![]), Sent::Skipped(vec![2, 4])],
            false => [Sent::Read(B, 2..5, vec![2, 4]), again(2, B)],
        };
        assert_eq!(bench.sent()[..2], expected);
    }
}
