//! What calls tell of the records that they carry.

use std::sync::Arc;

use super::*;
use crate::message::trace::Trace;
use crate::settings::Coalesce;
use crate::worker::coalesce::Coalescer;

fn telling(comets: usize) -> Sim {
    let mut sim = Sim::new(comets, 64);
    sim.core.tells_records = true;
    sim
}

/// What the calls told since this was asked last.
fn told(sim: &mut Sim) -> Vec<(Vec<i64>, u32, Option<String>)> {
    std::mem::take(&mut sim.recorder.told)
}

#[test]
fn each_call_tells_its_record_and_the_how_manieth_try_it_is() {
    let mut sim = telling(1);
    sim.tell(messages(0, &[1, 1]));
    assert_eq!(told(&mut sim), [(vec![0], 1, None)]);
    // Whatever failed: the Comet may have the message.
    for (attempt, status) in [(2, DOWN), (3, UNCLEAR)] {
        sim.answer(0, 0, failed(status));
        sim.run_to_call();
        assert_eq!(told(&mut sim), [(vec![0], attempt, None)]);
    }
    sim.answer(0, 0, Ok(()));
    assert_eq!(told(&mut sim), [(vec![1], 1, None)]);
}

#[test]
fn each_comet_has_tries_of_its_own() {
    let mut sim = telling(2);
    sim.tell(messages(0, &[1]));
    sim.answer(1, 0, Ok(()));
    sim.answer(0, 0, failed(UNCLEAR));
    sim.run_to_call();
    let tries: Vec<_> = told(&mut sim)
        .iter()
        .map(|(_, attempt, _)| *attempt)
        .collect();
    assert_eq!(tries, [1, 1, 2]);
}

#[test]
fn a_call_that_carries_several_tells_them_all_and_the_first_trace() {
    let mut sim = telling(1);
    sim.core.coalescer = Coalescer::new(Coalesce::Goim, Dialect::default(), 20, 65_536);
    let traced = |offset: i64, parent: Option<&str>| {
        let mut message = message(1, offset, Target::All);
        message.trace = parent.map(|parent| {
            Arc::new(Trace {
                parent: parent.into(),
                state: None,
            })
        });
        message
    };
    sim.tell(Event::Messages(vec![traced(0, Some("a"))]));
    assert_eq!(told(&mut sim), [(vec![0], 1, Some("a".to_owned()))]);
    let waiting = [(1, None), (4, Some("b")), (6, Some("c"))];
    let waiting = waiting.map(|(offset, parent)| traced(offset, parent));
    sim.tell(Event::Messages(waiting.into()));
    sim.answer(0, 0, Ok(()));
    assert_eq!(told(&mut sim), [(vec![1, 4, 6], 1, Some("b".to_owned()))]);
}

#[test]
fn nothing_is_told_where_nobody_asked() {
    let mut sim = Sim::new(1, 64);
    sim.tell(messages(0, &[1]));
    assert_eq!(told(&mut sim), []);
}
