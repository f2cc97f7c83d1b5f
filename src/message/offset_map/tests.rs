//! Maps, there and back, in few bytes and many.

#![expect(clippy::single_range_in_vec_init, reason = "ranges are what is meant")]

use super::*;
use crate::message::standing::TopicTag;
use proptest::prelude::*;

fn runs(lengths: &[(i64, i64)], watermark: i64) -> Vec<Range<i64>> {
    let mut at = watermark;
    lengths
        .iter()
        .map(|(gap, length)| {
            let start = at + gap;
            at = start + length;
            start..at
        })
        .collect()
}

/// A map of what is finished alone.
fn said(finished: &[Range<i64>]) -> Map {
    Map {
        finished: finished.to_vec(),
        missing: BTreeMap::new(),
    }
}

proptest! {
    #[test]
    fn what_fits_comes_back(
        watermark in 0i64..1 << 50,
        lengths in prop::collection::vec((1i64..200, 1i64..200), 0..900),
        max_len in prop_oneof![Just(MAX_LEN), 0..MAX_LEN],
    ) {
        let finished = runs(&lengths, watermark);
        let (offset, text) = encode(watermark, &said(&finished), max_len);
            prop_assert_eq!(offset, watermark);
        prop_assert!(text.len() <= max_len);
        let back = decode(watermark, &text).unwrap().finished;
        prop_assert_eq!(&back[..], &finished[..back.len()]);
        prop_assert!(back.len() == finished.len() || max_len < 32 || text.len() > max_len - 16);
        let (_, whole) = encode(watermark, &said(&finished), MAX_LEN);
        prop_assert_eq!(shorten(watermark, &whole, max_len), (watermark, text));
    }

    #[test]
    fn garbage_is_refused_and_never_panics(text in "(job[12]\\.)?[A-Za-z0-9_-]{0,60}", watermark in any::<i64>()) {
        // A text with a right checksum by chance is one in four billion.
        prop_assert!(text.is_empty() || decode(watermark, &text).is_err());
    }

    #[test]
    fn a_changed_character_is_noticed(lengths in prop::collection::vec((1i64..9, 1i64..9), 1..40), at in any::<prop::sample::Index>()) {
        let mut text = encode(7, &said(&runs(&lengths, 7)), MAX_LEN).1.into_bytes();
        let at = at.index(text.len());
        text[at] = if text[at] == b'A' { b'B' } else { b'A' };
        let text = String::from_utf8(text).unwrap();
        prop_assert!(decode(7, &text).is_err());
    }
}

#[test]
fn a_tag_before_it_stays_while_the_map_gets_shorter() {
    let finished = runs(&[(1, 1); 40], 5);
    let topic = Some(TopicTag(0x0102_0304));
    let text = topic_tag::before(topic, MAX_LEN) + &encode(5, &said(&finished), 4_000).1;
    assert_eq!(decode(5, &text), Ok(said(&finished)));
    let (offset, shorter) = shorten(5, &text, 40);
    assert_eq!(offset, 5);
    assert!(shorter.len() <= 40);
    assert_eq!(topic_tag::split(&shorter).0, topic);
    let left = decode(5, &shorter).unwrap().finished;
    assert!(!left.is_empty() && finished.starts_with(&left));
    assert_eq!(shorten(5, &text, 5), (5, String::new()));
}

#[test]
fn nothing_finished_above_is_no_text() {
    assert_eq!(encode(5, &Map::default(), MAX_LEN), (5, String::new()));
    assert_eq!(decode(5, ""), Ok(Map::default()));
}

#[test]
fn a_map_of_another_commit_or_version_is_refused() {
    let finished = runs(&[(2, 2), (3, 1)], 5);
    let (_, text) = encode(5, &said(&finished), MAX_LEN);
    assert_eq!(decode(5, &text), Ok(said(&finished)));
    assert!(decode(6, &text).unwrap_err().contains("another offset"));
    let newer = text.replace("job1.", "job3.");
    assert!(decode(5, &newer).unwrap_err().contains("format"));
    assert!(decode(5, "set by hand").is_err());
}

fn offsets(lengths: &[(i64, i64)]) -> Offsets {
    runs(lengths, 0).into_iter().collect()
}

/// What a few Comets miss, near the offsets 0 to 400.
fn missing() -> impl Strategy<Value = BTreeMap<String, Offsets>> {
    let name = prop_oneof![
        8 => "comet-[a-z]{1,9}:[0-9]{4}",
        1 => ".{0,5}",
        1 => Just("x".repeat(NAME_LEN + 1)),
    ];
    let lengths = prop::collection::vec((0i64..30, 1i64..20), 0..12);
    let missed = lengths.prop_map(|lengths| offsets(&lengths));
    prop::collection::btree_map(name, missed, 0..7)
}

/// Whether what a commit says is no more than what is so: `map`, where all below `watermark` is finished.
fn is_so(commit: &(i64, String), watermark: i64, map: &Map) -> Result<(), TestCaseError> {
    let (offset, text) = commit;
    prop_assert!(*offset <= watermark);
    let back = decode(*offset, text).unwrap();
    let finished = |map: &Map, offset| map.finished.iter().any(|run| run.contains(&offset));
    for at in 0..500 {
        let counts = at < *offset || finished(&back, at);
        prop_assert!(
            !counts || at < watermark || finished(map, at),
            "{} is not finished",
            at
        );
        for (name, missed) in &map.missing {
            let is_said = || {
                back.missing
                    .get(name)
                    .is_some_and(|missed| missed.contains(at))
            };
            // What doesn't count is read again for all.
            let is_read = at >= *offset && !finished(&back, at);
            prop_assert!(
                !missed.contains(at) || is_read || is_said(),
                "{name} misses {at}"
            );
        }
    }
    prop_assert!(
        back.missing
            .keys()
            .all(|name| map.missing.contains_key(name))
    );
    Ok(())
}

proptest! {
    #[test]
    fn what_comets_miss_comes_back(
        watermark in 0i64..300,
        lengths in prop::collection::vec((1i64..9, 1i64..9), 0..9),
        missing in missing(),
    ) {
        let map = Map { finished: runs(&lengths, watermark), missing };
        let commit = encode(watermark, &map, MAX_LEN);
        is_so(&commit, watermark, &map)?;
        let (offset, text) = commit;
        let mut back = decode(offset, &text).unwrap();
        let fits = |(name, missed): &(&String, &Offsets)| name.len() <= NAME_LEN && !missed.is_empty();
        let named = map.missing.iter().filter(fits);
        let named: BTreeMap<_, _> = named.map(|(name, missed)| (name.clone(), missed.clone())).collect();
        prop_assert_eq!(std::mem::take(&mut back.missing), named);
        if map.missing.keys().all(|name| name.len() <= NAME_LEN) {
            prop_assert_eq!((offset, back.finished), (watermark, map.finished));
        }
    }

    #[test]
    fn in_few_bytes_nothing_that_is_missing_is_said_to_be_had(
        watermark in 0i64..300,
        lengths in prop::collection::vec((1i64..9, 1i64..9), 0..9),
        missing in missing(),
        max_len in 0usize..400,
        percent in 0usize..100,
    ) {
        let map = Map { finished: runs(&lengths, watermark), missing };
        let commit = encode(watermark, &map, max_len);
        prop_assert!(commit.1.len() <= max_len);
        is_so(&commit, watermark, &map)?;
        let shorter = commit.1.len() * percent / 100;
        let shortened = shorten(commit.0, &commit.1, shorter);
        prop_assert!(shortened.1.len() <= shorter && shortened.0 <= commit.0);
        is_so(&shortened, watermark, &map)?;
        // And with nothing at all.
        let (offset, text) = shorten(shortened.0, &shortened.1, 0);
        prop_assert_eq!(&text, "");
        is_so(&(offset, text), watermark, &map)?;
        is_so(&encode(watermark, &map, 0), watermark, &map)?;
    }

    #[test]
    fn a_changed_character_is_noticed_where_comets_are_named(missing in missing(), at in any::<prop::sample::Index>()) {
        let (offset, text) = encode(300, &Map { finished: vec![310..320], missing }, MAX_LEN);
        let mut text = text.into_bytes();
        let at = at.index(text.len());
        text[at] = if text[at] == b'A' { b'B' } else { b'A' };
        let text = String::from_utf8(text).unwrap();
        prop_assert!(decode(offset, &text).is_err());
    }
}

fn fleet_behind(comets: i64, missed: impl Fn(i64) -> Offsets) -> BTreeMap<String, Offsets> {
    (0..comets)
        .map(|n| (format!("comet-{n}.chat.example.com:50051"), missed(n)))
        .collect()
}

#[test]
fn a_fleet_of_64_that_is_behind_is_named_and_does_not_hold_the_offset() {
    let watermark = 20_000_000_000;
    let map = Map {
        finished: runs(&[(3, 4); 900], watermark),
        missing: fleet_behind(64, |n| {
            let from = watermark - 1_000_000 * (n + 1);
            let ranges = (0..50).map(|part| from + 90 * part..from + 90 * part + 50 + part % 7);
            ranges.collect()
        }),
    };
    let (offset, text) = encode(watermark, &map, MAX_LEN);
    assert_eq!(offset, watermark);
    assert!(text.len() <= MAX_LEN && text.len() > MAX_LEN - 64);
    let back = decode(offset, &text).unwrap();
    assert_eq!(back.missing.len(), 64);
    for (name, missed) in &map.missing {
        let said = &back.missing[name];
        assert_eq!((said.first(), said.end()), (missed.first(), missed.end()));
    }
    assert_eq!(back.finished, []);
}

#[test]
fn the_widest_gaps_are_told_apart() {
    let ranges = (0..300).map(|n| 10_000 * n..10_000 * n + 10 + n);
    let wide = [4_000_000..4_000_001, 9_000_000..9_000_001];
    let map = Map {
        finished: vec![],
        missing: fleet_behind(1, |_| ranges.clone().chain(wide.clone()).collect()),
    };
    let (offset, text, left_out) = encode_some(9_500_000, &map, 200);
    assert_eq!(offset, 9_500_000);
    assert!(text.len() <= 200 && text.len() > 190, "{}", text.len());
    let back = decode(offset, &text).unwrap();
    let said: Vec<_> = back.missing.values().next().unwrap().ranges().collect();
    assert!(said.len() > 10);
    assert_eq!(said.len() + left_out, 302);
    assert!(said.ends_with(&wide));
    // Of those that are left, the first gaps are the widest.
    assert!(said.starts_with(&[0..10, 10_000..10_011]));
}

#[test]
fn the_offset_waits_for_comets_that_do_not_fit() {
    let map = Map {
        finished: vec![110..120, 130..140],
        missing: [
            ("aaa:1".into(), [10..20, 112..115].into_iter().collect()),
            (
                "bbb:1".into(),
                [50..60, 90..100, 118..119].into_iter().collect(),
            ),
        ]
        .into(),
    };
    // One of them fits: that which is the furthest behind. It is at most so many bytes: a number, how many, and a Comet.
    let room = FINISHED.len() + (1 + 1 + (1 + 5) + 1 + 2 + CRC_LEN).div_ceil(3) * 4;
    let (offset, text) = encode(100, &map, room);
    assert_eq!(offset, 50);
    let back = decode(offset, &text).unwrap();
    assert_eq!(
        back.missing["aaa:1"].ranges().collect::<Vec<_>>(),
        [10..115]
    );
    assert_eq!((back.missing.len(), back.finished.len()), (1, 0));
    // With more room, it says what need not be sent again of what follows.
    let (offset, text) = encode(100, &map, room + 8);
    let back = decode(offset, &text).unwrap();
    assert_eq!((offset, back.finished[0].clone()), (50, 60..90));
    // None fits.
    assert_eq!(encode(100, &map, 9), (10, String::new()));
    let (offset, text) = shorten(50, &text, 24);
    assert_eq!(
        (offset, decode(10, &text).unwrap().finished[0].clone()),
        (10, 20..50)
    );
}

#[test]
fn a_comet_that_misses_nothing_is_not_named() {
    let missing = [("a:1".to_string(), Offsets::default())].into();
    let finished = vec![7..9];
    let map = Map {
        finished: finished.clone(),
        missing,
    };
    assert_eq!(
        encode(5, &map, MAX_LEN),
        encode(5, &said(&finished), MAX_LEN)
    );
}

#[test]
fn a_map_that_is_not_understood_says_what_follows_for_comets() {
    let missing = fleet_behind(1, |_| [3..4].into_iter().collect());
    let (_, text) = encode(
        5,
        &Map {
            finished: vec![],
            missing,
        },
        MAX_LEN,
    );
    assert!(text.starts_with("job2."));
    let why = decode(6, &text).unwrap_err();
    assert!(
        why.contains("another offset") && why.contains("Comets"),
        "{why}"
    );
}
