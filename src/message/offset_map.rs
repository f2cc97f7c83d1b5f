//! What is finished above the watermark, as text for the metadata of an offset commit.
//!
//! `job1.` and then, in base64 (URL alphabet, no padding): the watermark, the lengths of an unfinished run, a
//! finished run, an unfinished one … from the watermark on (all LEB128), and a CRC-32 of all that, little-endian.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::topic_tag;

/// The longest that a map may be, in bytes, with the topic's tag before it.
pub const MAX_LEN: usize = 4096;
const _: () = assert!(
    MAX_LEN <= 4096,
    "longer than the broker's default offset.metadata.max.bytes: that partition's commits would be refused"
);

const PREFIX: &str = "job1.";
const CRC_LEN: usize = 4;

/// The map of `finished` (ascending ranges above `watermark`); empty where there is nothing to say.
///
/// What doesn't fit into `max_len` bytes is left out from the high end: it may be sent again after a crash.
pub fn encode(watermark: i64, finished: &[Range<i64>], max_len: usize) -> String {
    encode_some(watermark, finished, max_len).0
}

/// And how many of the ranges it has no room for.
pub fn encode_some(watermark: i64, finished: &[Range<i64>], max_len: usize) -> (String, usize) {
    let coded = max_len.saturating_sub(PREFIX.len());
    let max_bytes = (coded / 4 * 3).saturating_sub(CRC_LEN);
    let mut bytes = Vec::new();
    push_varint(&mut bytes, watermark as u64);
    let head = bytes.len();
    let mut at = watermark;
    let mut left_out = finished.len();
    for run in finished {
        let mut pair = Vec::new();
        push_varint(&mut pair, (run.start - at) as u64);
        push_varint(&mut pair, (run.end - run.start) as u64);
        if bytes.len() + pair.len() > max_bytes {
            break;
        }
        bytes.extend(pair);
        at = run.end;
        left_out -= 1;
    }
    if bytes.len() == head {
        return (String::new(), left_out);
    }
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    (text, left_out)
}

/// A map as [`encode`] wrote it, in `max_len` bytes: it says less, and nothing that it didn't say before.
pub fn shorten(watermark: i64, text: &str, max_len: usize) -> String {
    let (topic, _) = topic_tag::split(text);
    // What can't be read says nothing.
    let finished = decode(watermark, text).unwrap_or_default();
    topic_tag::before(topic, max_len, |left| encode(watermark, &finished, left))
}

/// Reads a map back, for a partition whose committed offset is `watermark`. A topic's tag may stand before it.
///
/// # Errors
/// A sentence where the text is no map of ours, is damaged, or belongs to another commit. It must not be
/// trusted then: skipping a record that nobody delivered would lose it.
pub fn decode(watermark: i64, text: &str) -> Result<Vec<Range<i64>>, String> {
    let (_, text) = topic_tag::split(text);
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let coded = text
        .strip_prefix(PREFIX)
        .ok_or("it is not in a format that this version of job writes")?;
    let bytes = URL_SAFE_NO_PAD
        .decode(coded)
        .map_err(|error| format!("it is damaged: {error}"))?;
    let (mut rest, crc) = bytes
        .split_last_chunk::<CRC_LEN>()
        .ok_or("it is cut short")?;
    if crc32fast::hash(rest) != u32::from_le_bytes(*crc) {
        return Err("it is damaged: its checksum doesn't match".into());
    }
    if take_varint(&mut rest)? != watermark as u64 {
        return Err("it belongs to another offset than the committed one".into());
    }
    let mut finished = Vec::new();
    let mut at = watermark;
    while !rest.is_empty() {
        let start = step(at, take_varint(&mut rest)?)?;
        let end = step(start, take_varint(&mut rest)?)?;
        if start == end {
            return Err("it holds an empty run".into());
        }
        finished.push(start..end);
        at = end;
    }
    Ok(finished)
}

fn step(from: i64, by: u64) -> Result<i64, String> {
    i64::try_from(by)
        .ok()
        .and_then(|by| from.checked_add(by))
        .ok_or_else(|| "it reaches beyond the largest offset".into())
}

fn push_varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

fn take_varint(from: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = from.split_first().ok_or("it is cut short")?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("it holds a number that is too long".into())
}

#[cfg(test)]
mod tests {
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

    proptest! {
        #[test]
        fn what_fits_comes_back(
            watermark in 0i64..1 << 50,
            lengths in prop::collection::vec((1i64..200, 1i64..200), 0..900),
            max_len in prop_oneof![Just(MAX_LEN), 0..MAX_LEN],
        ) {
            let finished = runs(&lengths, watermark);
            let (text, left_out) = encode_some(watermark, &finished, max_len);
            prop_assert!(text.len() <= max_len);
            let back = decode(watermark, &text).unwrap();
            prop_assert_eq!(&back[..], &finished[..back.len()]);
            prop_assert_eq!(left_out, finished.len() - back.len());
            prop_assert!(back.len() == finished.len() || max_len < 32 || text.len() > max_len - 16);
            let whole = encode(watermark, &finished, MAX_LEN);
            prop_assert_eq!(shorten(watermark, &whole, max_len), text);
        }

        #[test]
        fn garbage_is_refused_and_never_panics(text in "(job1\\.)?[A-Za-z0-9_-]{0,60}", watermark in any::<i64>()) {
            // A text with a right checksum by chance is one in four billion.
            prop_assert!(text.is_empty() || decode(watermark, &text).is_err());
        }

        #[test]
        fn a_changed_character_is_noticed(lengths in prop::collection::vec((1i64..9, 1i64..9), 1..40), at in any::<prop::sample::Index>()) {
            let mut text = encode(7, &runs(&lengths, 7), MAX_LEN).into_bytes();
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
        let text = topic_tag::before(topic, MAX_LEN, |left| encode(5, &finished, left));
        assert_eq!(decode(5, &text), Ok(finished.clone()));
        let shorter = shorten(5, &text, 40);
        assert!(shorter.len() <= 40);
        assert_eq!(topic_tag::split(&shorter).0, topic);
        let left = decode(5, &shorter).unwrap();
        assert!(!left.is_empty() && finished.starts_with(&left));
        assert_eq!(shorten(5, &text, 5), "");
    }

    #[test]
    fn nothing_finished_above_is_no_text() {
        assert_eq!(encode(5, &[], MAX_LEN), "");
        assert_eq!(decode(5, ""), Ok(vec![]));
    }

    #[test]
    fn a_map_of_another_commit_or_version_is_refused() {
        let finished = runs(&[(2, 2), (3, 1)], 5);
        let text = encode(5, &finished, MAX_LEN);
        assert_eq!(decode(5, &text), Ok(finished));
        assert!(decode(6, &text).unwrap_err().contains("another offset"));
        let newer = text.replace("job1.", "job2.");
        assert!(decode(5, &newer).unwrap_err().contains("format"));
        assert!(decode(5, "set by hand").is_err());
    }
}
