//! A fleet that changes, while some Comets are behind and before any is there.

use super::*;

const C: CometId = CometId(5);

#[test]
fn the_workers_hear_of_a_change_between_two_records() {
    let mut bench = Bench::new(Vec::new());
    bench.live(10..11);
    let join = Change::Join(C, "c:1".into());
    bench.control(Control::Fleet(join.clone()));
    bench.live(11..13);
    let expected = [
        live(10, &[]),
        Sent::Fleet(join),
        live(11, &[]),
        live(12, &[]),
    ];
    assert_eq!(bench.sent(), expected);
}

#[test]
fn nothing_is_read_again_for_a_comet_that_left() {
    let mut bench = Bench::new(vec![behind(A, &[0..LIVE]), behind(B, &[0..LIVE])]);
    bench.live(10..20);
    bench.again(4);
    bench.sent();
    let leave = Change::Leave(B);
    bench.control(Control::Fleet(leave.clone()));
    assert_eq!(bench.sent(), [Sent::Fleet(leave)]);
    assert_eq!(bench.again(6), 4);
    let expected = [Sent::Read(A, 4..6, vec![4, 5]), again(4, A), again(5, A)];
    assert_eq!(bench.sent(), expected);
    bench.live(20..21);
    assert_eq!(bench.sent(), [live(20, &[A])]);
    // What it still holds is credited later.
    bench.control(Control::Credit {
        messages: 2,
        bytes: 0,
        again: Some(B),
    });
}

#[test]
fn nothing_is_read_while_there_is_no_comet() {
    let mut bench = Bench::new(Vec::new());
    for comet in [A, B] {
        bench.control(Control::Fleet(Change::Leave(comet)));
    }
    assert_eq!(bench.core.positions(), None);
    bench.control(Control::Fleet(Change::Join(C, "c:1".into())));
    bench.sent();
    bench.live(10..11);
    assert_eq!(bench.sent(), [live(10, &[])]);
}
