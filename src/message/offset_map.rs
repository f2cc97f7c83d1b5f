//! What is finished above the watermark, and what each Comet misses, as text for the metadata of an offset commit.
//!
//! Both texts are a prefix and then, in base64 (URL alphabet, no padding), numbers (LEB128) with their CRC-32 behind them,
//! little-endian. The first number is the committed offset.
//!
//! `job1.`, where no Comet misses anything: the lengths of an unfinished run, a finished run, an unfinished one … from the
//! committed offset on.
//!
//! `job2.`: how many Comets miss something. Of each the length of its name, the name, how many ranges it misses, and the lengths
//! of a run that it has, a run that it misses, a run that it has … from offset 0 on. Then what `job1.` says.

mod fit;

use std::collections::BTreeMap;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Offsets, topic_tag};

/// The longest that a map may be, in bytes, with the topic's tag before it.
pub const MAX_LEN: usize = 4096;
const _: () = assert!(
    MAX_LEN <= 4096,
    "longer than the broker's default offset.metadata.max.bytes: that partition's commits would be refused"
);

const FINISHED: &str = "job1.";
const MISSING: &str = "job2.";
const _: () = assert!(FINISHED.len() == MISSING.len());
const CRC_LEN: usize = 4;

/// The longest name of a Comet that a map has, in bytes.
const NAME_LEN: usize = 255;

/// What a commit says beside its offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map {
    /// The finished offsets above the committed one, as ascending ranges.
    pub finished: Vec<Range<i64>>,
    /// What each Comet misses of all that counts as finished, by the Comet's `host:port`. It may lie far below the committed offset.
    pub missing: BTreeMap<String, Offsets>,
}

/// The offset to commit where all below `watermark` is finished, and the map that goes along with it; empty where there is nothing
/// to say.
///
/// Where `max_len` bytes are too few, some is sent again after a crash, and nothing is lost. First, what is finished is left out from
/// the high end. Then the map says that Comets miss more than they do. Comets that don't fit at all are left out, and the offset is
/// the lowest one that any of these misses: what they miss counts as not finished.
pub fn encode(watermark: i64, map: &Map, max_len: usize) -> (i64, String) {
    let (offset, text, _) = encode_some(watermark, map, max_len);
    (offset, text)
}

/// And how many runs of records that are finished, or that a Comet has between others that it misses, it has no room for.
pub fn encode_some(watermark: i64, map: &Map, max_len: usize) -> (i64, String, usize) {
    let coded = max_len.saturating_sub(FINISHED.len());
    let max_bytes = (coded / 4 * 3).saturating_sub(CRC_LEN);
    let missing = map.missing.iter().filter(|(_, missed)| !missed.is_empty());
    let (said, left_out, closed) = fit::fit(watermark, missing, max_bytes);
    let lowest = left_out.iter().filter_map(|missed| missed.first()).min();
    let offset = lowest.map_or(watermark, |lowest| lowest.min(watermark));
    let finished = if left_out.is_empty() {
        &map.finished
    } else {
        &without(offset..watermark, &map.finished, &left_out)
    };

    let mut bytes = Vec::new();
    push_varint(&mut bytes, offset as u64);
    bytes.extend(&said);
    let head = bytes.len();
    let mut at = offset;
    let mut left_out = finished.len() + closed;
    for run in finished {
        let mut pair = Vec::new();
        push_run(&mut pair, &mut at, run);
        if bytes.len() + pair.len() > max_bytes {
            break;
        }
        bytes.extend(pair);
        left_out -= 1;
    }
    if said.is_empty() && bytes.len() == head {
        return (offset, String::new(), left_out);
    }
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    let prefix = if said.is_empty() { FINISHED } else { MISSING };
    let text = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes));
    (offset, text, left_out)
}

/// What is finished, less what Comets miss that the map doesn't name. All of `below` is finished, too.
fn without(below: Range<i64>, finished: &[Range<i64>], left_out: &[&Offsets]) -> Vec<Range<i64>> {
    let runs = std::iter::once(&below).chain(finished);
    let mut finished: Offsets = runs.cloned().collect();
    for missed in left_out.iter().flat_map(|missed| missed.ranges()) {
        finished.remove(missed);
    }
    finished.ranges().collect()
}

/// A commit of `offset` with the metadata `text` as [`encode`] made it, in `max_len` bytes: a lower offset, perhaps, and a text that
/// says nothing that the two didn't say before.
pub fn shorten(offset: i64, text: &str, max_len: usize) -> (i64, String) {
    let (topic, _) = topic_tag::split(text);
    // What can't be read says nothing.
    let map = decode(offset, text).unwrap_or_default();
    let tag = topic_tag::before(topic, max_len);
    let (offset, text) = encode(offset, &map, max_len - tag.len());
    (offset, tag + &text)
}

/// Reads a map back, for a partition whose committed offset is `watermark`. A topic's tag may stand before it.
///
/// # Errors
/// A sentence where the text is no map of ours, is damaged, or belongs to another commit. It must not be
/// trusted then: skipping a record that nobody delivered would lose it.
pub fn decode(watermark: i64, text: &str) -> Result<Map, String> {
    let (_, text) = topic_tag::split(text);
    if text.is_empty() {
        return Ok(Map::default());
    }
    if let Some(coded) = text.strip_prefix(FINISHED) {
        decode_coded(watermark, coded, false)
    } else if let Some(coded) = text.strip_prefix(MISSING) {
        decode_coded(watermark, coded, true)
            .map_err(|why| format!("{why} (what Comets had missed until then, they don't get)"))
    } else {
        Err("it is not in a format that this version of job writes".into())
    }
}

fn decode_coded(watermark: i64, coded: &str, names_comets: bool) -> Result<Map, String> {
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
    let mut map = Map::default();
    if names_comets {
        for _ in 0..take_varint(&mut rest)? {
            let name = take_name(&mut rest)?;
            let missed = map.missing.entry(name).or_default();
            let mut at = 0;
            for _ in 0..take_varint(&mut rest)? {
                missed.insert(take_run(&mut rest, &mut at)?);
            }
        }
    }
    let mut at = watermark;
    while !rest.is_empty() {
        map.finished.push(take_run(&mut rest, &mut at)?);
    }
    Ok(map)
}

/// Writes how far `run` begins behind `at`, and how long it is. `at` is its end then.
fn push_run(to: &mut Vec<u8>, at: &mut i64, run: &Range<i64>) {
    push_varint(to, (run.start - *at) as u64);
    push_varint(to, (run.end - run.start) as u64);
    *at = run.end;
}

fn take_run(from: &mut &[u8], at: &mut i64) -> Result<Range<i64>, String> {
    let start = step(*at, take_varint(from)?)?;
    let end = step(start, take_varint(from)?)?;
    if start == end {
        return Err("it holds an empty run".into());
    }
    *at = end;
    Ok(start..end)
}

fn push_name(to: &mut Vec<u8>, name: &str) {
    push_varint(to, name.len() as u64);
    to.extend(name.as_bytes());
}

fn take_name(from: &mut &[u8]) -> Result<String, String> {
    let len = usize::try_from(take_varint(from)?).ok();
    let (name, rest) = len
        .and_then(|len| from.split_at_checked(len))
        .ok_or("it is cut short")?;
    *from = rest;
    let name = std::str::from_utf8(name).map_err(|_| "it names a Comet that can't be read")?;
    Ok(name.into())
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
mod tests;
