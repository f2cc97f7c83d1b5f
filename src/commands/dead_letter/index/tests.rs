use super::*;
use crate::commands::dead_letter::select::Sources;
use crate::dead_letter::letter::letter;
use crate::dead_letter::markers::written;

fn due(plan: &Plan) -> Vec<i64> {
    plan.due.iter().map(|due| due.place.offset).collect()
}

fn run(id: &str) -> Run {
    Run {
        id: id.into(),
        by: "test".into(),
    }
}

#[test]
fn letters_go_in_the_order_of_the_main_topic() {
    let mut index = Index::default();
    for (offset, source) in [(1, 30), (0, 12), (1, 4), (0, 7)].into_iter().enumerate() {
        index.add(letter(offset as i64, source, &[]));
    }
    assert_eq!(due(&index.plan(Aim::Replay)), [3, 1, 2, 0]);
}

#[test]
fn what_was_replayed_is_not_due_again() {
    let mut index = Index::default();
    for offset in 0..6 {
        index.add(letter(offset, (0, 10 + offset), &[]));
    }
    index.add(written(&Marker::Replayed(vec![0, 1, 4]), 6, &run("a")));
    index.add(letter(7, (0, 20), &[]));
    let plan = index.plan(Aim::Replay);
    assert_eq!((due(&plan), plan.replayed), (vec![2, 3, 5, 7], 3));
    // The same offsets of another partition are other letters.
    let mut elsewhere = written(&Marker::Replayed(vec![2]), 0, &run("a"));
    elsewhere.partition = 1;
    index.add(elsewhere);
    assert_eq!(due(&index.plan(Aim::Replay)), [2, 3, 5, 7]);
}

#[test]
fn a_message_with_two_letters_is_replayed_once() {
    let mut index = Index::default();
    index.add(letter(0, (0, 10), &[]));
    index.add(letter(1, (0, 10), &[]));
    let plan = index.plan(Aim::Replay);
    assert_eq!((due(&plan), plan.due[0].duplicates.len()), (vec![0], 1));
    index.add(written(&Marker::Replayed(vec![0]), 2, &run("a")));
    index.add(letter(3, (0, 10), &[]));
    let plan = index.plan(Aim::Replay);
    assert_eq!((due(&plan), plan.replayed), (vec![], 3));

    // The main topic was deleted and made again: the same place holds another message.
    let mut other = letter(4, (0, 10), &[]);
    other.headers.push((
        crate::dead_letter::header::TIMESTAMP.into(),
        Some("1800000000000".into()),
    ));
    index.add(other);
    assert_eq!(due(&index.plan(Aim::Replay)), [4]);
}

#[test]
fn letters_of_one_message_for_different_comets_each_count() {
    let of = |offset, comet: &str| letter(offset, (0, 10), &[("job.comet", comet)]);
    let mut index = Index::default();
    index.add(of(0, "a:1"));
    index.add(of(1, "b:1"));
    let plan = index.plan(Aim::Replay);
    assert_eq!(due(&plan), [0]);
    assert_eq!(plan.due[0].whom, Whom::read(Some("a:1,b:1")));
    index.add(written(&Marker::Replayed(vec![0]), 2, &run("a")));
    // The other Comet's is still to be sent; a second letter of the first one isn't.
    index.add(of(3, "a:1"));
    let plan = index.plan(Aim::Replay);
    assert_eq!(
        (due(&plan), plan.replayed, index.waiting()),
        (vec![1], 2, 1)
    );
    assert_eq!(plan.due[0].whom, Whom::read(Some("b:1")));
    index.add(written(&Marker::Discarded(vec![1]), 4, &run("a")));
    assert_eq!(index.waiting(), 0);
    // One that says of no Comet that it has the message.
    index.add(letter(5, (0, 10), &[]));
    assert_eq!(due(&index.plan(Aim::Replay)), [5]);
}

#[test]
fn only_what_is_selected_and_there_is_due() {
    let mut index = Index::new(Selection {
        sources: Sources::parse("0:11-12").ok(),
        ..Selection::default()
    });
    for offset in 0..4 {
        let mut record = letter(offset, (0, 10 + offset), &[]);
        if offset == 2 {
            record.value = None;
            record
                .headers
                .retain(|(name, _)| name != crate::dead_letter::header::TIMESTAMP);
        }
        index.add(record);
    }
    let plan = index.plan(Aim::Replay);
    assert_eq!((due(&plan), plan.gone), (vec![1], 1));
}

#[test]
fn what_was_discarded_is_neither_due_nor_waiting() {
    let mut index = Index::default();
    for (offset, source) in [(0, 10), (1, 11), (2, 11), (3, 12)] {
        index.add(letter(offset, (0, source), &[]));
    }
    assert_eq!(index.waiting(), 3);
    index.add(written(&Marker::Discarded(vec![1, 3]), 4, &run("a")));
    let plan = index.plan(Aim::Replay);
    assert_eq!((due(&plan), plan.discarded), (vec![0], 3));
    assert_eq!(due(&index.plan(Aim::Discard)), [0]);
    assert_eq!(index.waiting(), 1);
    assert!(index.is_discarded(Place {
        partition: 0,
        offset: 3
    }));
    index.add(written(&Marker::Replayed(vec![0]), 5, &run("a")));
    assert_eq!(index.waiting(), 0);
    assert_eq!(index.settled().counts(), (1, 2));
}

#[test]
fn what_would_come_straight_back_is_replayed_only_when_it_is_named() {
    let mut undecodable = letter(1, (0, 11), &[]);
    undecodable.value = Some("hello".into());
    let filled = |places: Vec<Place>| {
        let mut index = Index::new(Selection {
            places,
            ..Selection::default()
        });
        index.add(letter(0, (0, 10), &[]));
        index.add(undecodable.clone());
        index
    };
    let index = filled(Vec::new());
    let plan = index.plan(Aim::Replay);
    assert_eq!((due(&plan), plan.undeliverable), (vec![0], 1));
    assert_eq!(plan.elsewhere, 0);
    assert_eq!(due(&index.plan(Aim::Discard)), [0, 1]);
    assert_eq!(index.waiting(), 2);
    let place = |offset| Place {
        partition: 0,
        offset,
    };
    let named = filled(vec![place(1)]);
    assert_eq!(due(&named.plan(Aim::Replay)), [1]);
    assert_eq!(named.missing(), None);
    assert_eq!(filled(vec![place(1), place(7)]).missing(), Some(place(7)));
}

#[test]
fn records_read_backwards_count_the_same() {
    let mut late = Index::default();
    late.add(written(&Marker::Replayed(vec![0, 1]), 3, &run("a")));
    late.add(letter(4, (0, 14), &[]));
    let mut early = Index::default();
    for offset in 0..3 {
        early.add(letter(offset, (0, 10 + offset), &[]));
    }
    assert_eq!(late.waiting(), 1);
    late.merge(early);
    assert_eq!(late.waiting(), 2);
}

#[test]
fn the_last_run_that_began_is_the_one_that_goes_on() {
    let mut index = Index::default();
    let (a, b) = (run("a"), run("b"));
    index.add(written(&Marker::Began(a.clone()), 0, &a));
    assert_eq!(index.last_run, Some(a.clone()));
    index.add(written(&Marker::Began(b.clone()), 1, &b));
    index.add(written(&Marker::Ended("a".into()), 2, &a));
    assert_eq!(index.last_run, Some(b.clone()));
    assert!(index.has_ended(&a) && !index.has_ended(&b));
}
