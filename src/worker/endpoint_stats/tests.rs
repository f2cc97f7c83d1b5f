use super::*;

#[test]
fn one_message_a_second_is_given_up() {
    let stats = EndpointStats::new(Instant::now());
    let start = stats.origin + TURN;
    let at = |millis| start + Duration::from_millis(millis);
    let given_up: Vec<u64> = (0..3_000)
        .step_by(100)
        .filter(|millis| stats.may_give_up(at(*millis)))
        .collect();
    assert_eq!(given_up, [0, 1_000, 2_000]);
}

#[test]
fn a_turn_is_one_workers() {
    let stats = EndpointStats::new(Instant::now());
    let now = stats.origin + TURN;
    for _ in 0..REFUSALS_IN_A_ROW {
        stats.refused(now);
    }
    let (turn, from) = stats.next_turn();
    assert_eq!(from, now + TURN);
    assert!(stats.take_turn(turn, from));
    assert!(!stats.take_turn(turn, from));
    assert_eq!(stats.next_turn().1, from + TURN);
}

#[test]
fn a_pause_without_failures_is_no_outage() {
    let origin = Instant::now();
    let fleet = Fleet::new(origin);
    let [own, other] = [0, 1].map(|comet| fleet.join(CometId(comet)));
    let start = origin + TURN;
    let since = |now| own.others_deliver_since(&fleet, now);
    other.took(start);
    assert_eq!(since(start), Some(start));
    assert_eq!(since(start + DELIVERS_FOR * 2), None);
    let later = start + DELIVERS_FOR * 10;
    other.took(later);
    assert_eq!(since(later), Some(start));
    // A failure among others isn't one either.
    other.fails();
    other.took(later + DELIVERS_FOR);
    assert_eq!(since(later + DELIVERS_FOR), Some(start));
    other.fails();
    let back = later + DELIVERS_FOR * 3;
    other.took(back);
    assert_eq!(since(back), Some(back));
    // What this one took after that is what it takes to be there.
    own.took(back);
    assert_eq!(since(back), None);
}

#[test]
fn a_comet_that_left_is_no_evidence() {
    let origin = Instant::now();
    let fleet = Fleet::new(origin);
    let [own, other] = [0, 1].map(|comet| fleet.join(CometId(comet)));
    let now = origin + TURN;
    other.took(now);
    assert_eq!(own.others_deliver_since(&fleet, now), Some(now));
    fleet.leave(CometId(1));
    assert_eq!(own.others_deliver_since(&fleet, now), None);
    // A worker that is late with the news makes no harm: it tells that it left, too.
    fleet.join(CometId(7)).took(now);
    assert_eq!(own.others_deliver_since(&fleet, now), Some(now));
}
