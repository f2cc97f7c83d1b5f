//! Who is read for next.

use super::*;
use crate::message::PartitionId;

#[test]
fn the_comets_take_turns() {
    let mut bench = Bench::new(vec![behind(A, &[6..LIVE]), behind(B, &[0..LIVE])]);
    assert_eq!(bench.again(2), 6, "the first Comet's turn");
    assert_eq!(bench.again(3), 0);
    assert_eq!(bench.again(8), 6);
    assert_eq!(bench.again(8), 3, "this brings it to both");
    let positions = bench.core.positions_again().unwrap();
    assert_eq!(positions, at(0, 8));
}

fn at(index: i32, offset: i64) -> Positions {
    [(PartitionId::of_first(index), offset)].into()
}

/// None waits until another one has caught up.
#[test]
fn the_partitions_take_turns() {
    let mut bench = Bench::new(vec![behind(B, &[2..LIVE])]);
    bench.control(Control::Assign {
        assignment: Assignment {
            partition: PartitionId::of_first(1),
            ..OURS
        },
        position: 10,
        finished: Vec::new(),
        behind: vec![behind(B, &[4..LIVE])],
    });
    let mut asked = || bench.core.positions_again().unwrap();
    assert_eq!([asked(), asked()], [at(0, 2), at(1, 4)]);
    assert_eq!(bench.again(4), 2);
    let mut asked = || bench.core.positions_again().unwrap();
    assert_eq!([asked(), asked()], [at(1, 4), at(0, 4)]);
}
