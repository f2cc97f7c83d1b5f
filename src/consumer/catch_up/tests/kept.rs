//! What a fetch brought is kept for Comets that miss it, too, and have no room for it yet.

use super::*;
use crate::message::PartitionId;

impl Bench {
    /// As many messages of what was read again are no longer held for the Comet.
    fn credit(&mut self, comet: CometId, messages: usize) {
        self.control(Control::Credit {
            messages,
            bytes: 0,
            again: Some(comet),
        });
    }

    fn send_kept(&mut self) {
        self.step(Event::SendKept { now: NOW });
    }
}

/// Both hold more than their part, and `B` still has no room when `A` is read for again.
fn one_without_room() -> Bench {
    let mut bench = Bench::new(vec![behind(A, &[0..LIVE]), behind(B, &[0..LIVE])]);
    bench.live(10..40);
    assert_eq!(bench.again(12), 0);
    bench.credit(A, 12);
    assert_eq!(bench.again(20), 12);
    assert!(!bench.core.may_send_kept(), "nobody has room");
    bench.credit(B, 2);
    bench.sent();
    bench
}

#[test]
fn one_that_has_room_later_gets_what_the_others_fetch_brought() {
    let mut bench = one_without_room();
    assert!(bench.core.may_send_kept());
    bench.send_kept();
    let expected = [
        Sent::Read(B, 12..20, vec![12, 14, 16, 18]),
        again(12, B),
        again(14, B),
        again(16, B),
        again(18, B),
    ];
    assert_eq!(bench.sent(), expected);
    assert!(!bench.core.may_send_kept(), "nobody misses it any longer");
}

#[test]
fn what_is_kept_is_forgotten_where_the_log_or_who_is_behind_may_have_changed() {
    let changes: [fn(&mut Bench); 4] = [
        |bench| bench.step(Event::Interrupted),
        |bench| bench.control(Control::Detach(B)),
        |bench| bench.control(catch_up(B, &[12..LIVE])),
        |bench| {
            bench.control(Control::Revoke {
                partition: PartitionId::of_first(0),
            })
        },
    ];
    for change in changes {
        let mut bench = one_without_room();
        change(&mut bench);
        assert!(!bench.core.may_send_kept());
        bench.sent();
        bench.send_kept();
        assert_eq!(bench.sent(), []);
    }
}

/// They deliver at the same speed, and have room at different moments.
#[test]
fn comets_that_miss_the_same_share_a_fetch() {
    const END: i64 = 2_000;
    const FETCH: i64 = 40;
    let mut bench = Bench::new(Vec::new());
    for partition in 0..2 {
        bench.control(Control::Assign {
            assignment: Assignment {
                partition: PartitionId::of_first(partition),
                epoch: 2,
            },
            position: END,
            finished: Vec::new(),
            behind: vec![behind(A, &[0..LIVE]), behind(B, &[0..LIVE])],
        });
    }
    let mut fetched = 0;
    let mut held = [(A, 0, 0), (B, 0, 0)];
    for turn in 0.. {
        if bench.core.may_send_kept() {
            bench.send_kept();
        }
        if let Some(positions) = bench.core.positions_again() {
            let (&partition, &from) = positions.first_key_value().unwrap();
            let end = (from + FETCH).min(END);
            fetched += end - from;
            let mut batches = batch(from..end);
            batches[0].partition = partition;
            bench.step(Event::FetchedAgain {
                positions: &positions,
                batches,
                now: NOW,
            });
        }
        let sent = bench.sent();
        for (comet, holds, got) in &mut held {
            let is_its =
                |sent: &&Sent| matches!(sent, Sent::Again { comet: to, .. } if to == comet);
            let new = sent.iter().filter(is_its).count();
            *holds += new;
            *got += new;
        }
        if held.map(|(_, _, got)| got as i64) == [2 * END, END] {
            break;
        }
        assert!(turn < 10 * END, "{held:?}");
        // Each offset is a message for A, and each second one for B.
        let (comet, holds, _) = &mut held[turn as usize % 2];
        let done = (2 - turn as usize % 2).min(*holds);
        *holds -= done;
        let comet = *comet;
        bench.credit(comet, done);
    }
    let missed = 2 * END;
    assert!(
        fetched <= missed + missed / 10,
        "{fetched} records fetched, {missed} missed by both"
    );
}
