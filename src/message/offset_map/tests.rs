//! Maps, there and back, in few bytes and many.

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
