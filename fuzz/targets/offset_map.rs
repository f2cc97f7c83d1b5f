//! The account of a partition and the map of it that stands in a commit's metadata.
//!
//! The input's first byte says what the rest is:
//!
//! - `t`: `WATERMARK TEXT`, metadata as anybody may have written it
//! - `m`: the watermark (8 bytes) and what a map holds, which gets the checksum that makes it pass for job's own. It is read as a map
//!   without and as one with what Comets miss.
//! - anything else: what happens to a ledger, step by step

#![no_main]

#[path = "offset_map/model.rs"]
mod model;

use std::collections::BTreeMap;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chatroom_job::group::ledger::{Ledger, union};
use chatroom_job::message::offset_map::{MAX_LEN, Map, decode, encode, shorten};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    match input.split_first() {
        Some((b't', rest)) => {
            let rest = String::from_utf8_lossy(rest);
            let (watermark, text) = rest.split_once(' ').unwrap_or(("0", &rest));
            read_back(watermark.parse().unwrap_or(0), text);
        }
        Some((b'm', rest)) => {
            if let Some((watermark, map)) = rest.split_first_chunk() {
                let watermark = i64::from_le_bytes(*watermark);
                read_back(watermark, &signed("job1.", watermark, map));
                read_back(watermark, &signed("job2.", watermark, map));
            }
        }
        Some((_, steps)) => model::run(steps),
        None => {}
    }
});

/// Whatever metadata says is refused, or speaks of offsets at or above the watermark only; and what it says
/// outlives being written again, as far as the broker's limit lets it.
fn read_back(watermark: i64, text: &str) {
    let Ok(map) = decode(watermark, text) else {
        return;
    };
    if watermark >= 0 && !map.missing.is_empty() {
        nothing_is_lost(watermark, &map);
    }
    let finished = map.finished;
    assert!(finished.len() <= text.len(), "more runs than characters");
    ascending(watermark, &finished);
    if !text.is_empty() {
        let other = watermark.wrapping_add(1);
        assert!(decode(other, text).is_err(), "trusted at another watermark");
    }
    if watermark >= 0 {
        fits(watermark, &finished);
        let ledger = Ledger::new(watermark, finished.clone(), BTreeMap::new());
        assert_eq!(ledger.watermark(), watermark);
        assert_eq!(ledger.finished_above(), finished);
        // Runs that touch become one.
        let once = union(&finished, &[]);
        assert_eq!(union(&finished, &finished), once);
        assert_eq!(union(&once, &[]), once);
    }
}

/// What is written fits into a commit, and is read back as what it was or the lower part of it.
fn fits(watermark: i64, finished: &[Range<i64>]) -> Vec<Range<i64>> {
    let map = Map {
        finished: finished.to_vec(),
        missing: BTreeMap::new(),
    };
    let (offset, text) = encode(watermark, &map, MAX_LEN);
    assert_eq!(offset, watermark);
    assert!(text.len() <= MAX_LEN, "{} characters", text.len());
    let back = decode(watermark, &text)
        .expect("job's own map is read")
        .finished;
    assert_eq!(back, finished[..back.len()]);
    // Only the limit leaves anything out: a run takes 20 bytes at most.
    assert!(back.len() == finished.len() || text.len() > MAX_LEN - 32);
    back
}

/// In few bytes too, what a Comet misses is said, or lies at or above the offset and doesn't count as finished.
fn nothing_is_lost(watermark: i64, map: &Map) {
    let (offset, whole) = encode(watermark, map, MAX_LEN);
    for max_len in [MAX_LEN, 100, 40, 0] {
        let (offset, text) = shorten(offset, &whole, max_len);
        assert!(offset <= watermark && text.len() <= max_len);
        let back = decode(offset, &text).expect("job's own map is read");
        for (name, missed) in &map.missing {
            for missed in missed.ranges().flat_map(|run| [run.start, run.end - 1]) {
                let is_finished = back.finished.iter().any(|run| run.contains(&missed));
                let is_said = back
                    .missing
                    .get(name)
                    .is_some_and(|said| said.contains(missed));
                assert!(
                    is_said || missed >= offset && !is_finished,
                    "{name} at {missed}"
                );
            }
        }
    }
}

fn ascending(watermark: i64, runs: &[Range<i64>]) {
    assert!(runs.iter().all(|run| run.start < run.end));
    assert!(runs.first().is_none_or(|first| first.start >= watermark));
    assert!(runs.windows(2).all(|pair| pair[0].end <= pair[1].start));
}

/// A map with the right watermark and checksum, written without any of job's code.
fn signed(prefix: &str, watermark: i64, map: &[u8]) -> String {
    let mut bytes = Vec::new();
    let mut left = watermark as u64;
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes.extend(map);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
}
