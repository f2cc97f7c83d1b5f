//! What is said of the Comets in few bytes: never that one misses less than it does.

use std::cmp::Reverse;
use std::ops::Range;

use super::{NAME_LEN, Offsets, push_name, push_run, push_varint};

/// A Comet's name, and what it misses.
type Missed<'a> = (&'a String, &'a Offsets);

/// The part of a map that names the Comets, what those miss that don't fit into it, and how many gaps are closed in what the others
/// miss. None of `missing` is empty. The map's first number is `watermark` or less, and the map has `max_bytes`.
pub fn fit<'a>(
    watermark: i64,
    missing: impl Iterator<Item = Missed<'a>>,
    max_bytes: usize,
) -> (Vec<u8>, Vec<&'a Offsets>, usize) {
    let mut comets: Vec<_> = missing.collect();
    // Those that are left out lower the offset, so that is those that are the least behind.
    comets.sort_by_key(|(_, missed)| missed.first());
    let max_bytes = max_bytes.saturating_sub(varint_len(watermark as u64));
    let mut len = varint_len(comets.len() as u64);
    let (mut named, mut left_out) = (Vec::new(), Vec::new());
    for (name, missed) in comets {
        let mut least = Vec::new();
        push_comet(&mut least, name, &span(missed));
        if name.len() <= NAME_LEN && len + least.len() <= max_bytes {
            len += least.len();
            named.push((name, missed));
        } else {
            left_out.push(missed);
        }
    }
    if named.is_empty() {
        return (Vec::new(), left_out, 0);
    }
    let (said, closed) = say(&named, max_bytes);
    (said, left_out, closed)
}

/// Says what the Comets miss. One range for each Comet fits into `max_bytes`. As many ranges as fit are told apart: the wider a gap
/// between two of them, the more is it worth. Returns how many gaps are not.
fn say(comets: &[Missed], max_bytes: usize) -> (Vec<u8>, usize) {
    let mut gaps = Vec::new();
    for (comet, (_, missed)) in comets.iter().enumerate() {
        let behind = missed.ranges().skip(1);
        let pairs = missed.ranges().zip(behind);
        gaps.extend(pairs.map(|(one, next)| (comet, one.end..next.start)));
    }
    let widest = |(comet, gap): &(usize, Range<i64>)| {
        (Reverse(gap.end.abs_diff(gap.start)), *comet, gap.start)
    };
    let all_gaps = gaps.len();
    // Each range takes two bytes at least.
    let most = max_bytes / 2;
    if gaps.len() > most {
        gaps.select_nth_unstable_by_key(most, widest);
        gaps.truncate(most);
    }
    gaps.sort_unstable_by_key(widest);
    let all = with_gaps(comets, &gaps);
    if all.len() <= max_bytes {
        return (all, all_gaps - gaps.len());
    }
    // Each gap makes the text longer.
    let (mut fit, mut too_many) = (0, gaps.len());
    while too_many - fit > 1 {
        let tried = (fit + too_many) / 2;
        if with_gaps(comets, &gaps[..tried]).len() <= max_bytes {
            fit = tried;
        } else {
            too_many = tried;
        }
    }
    (with_gaps(comets, &gaps[..fit]), all_gaps - fit)
}

fn with_gaps(comets: &[Missed], gaps: &[(usize, Range<i64>)]) -> Vec<u8> {
    let mut missing: Vec<_> = comets.iter().map(|(_, missed)| span(missed)).collect();
    for (comet, gap) in gaps {
        missing[*comet].remove(gap.clone());
    }
    let mut said = Vec::new();
    push_varint(&mut said, comets.len() as u64);
    for ((name, _), missed) in comets.iter().zip(&missing) {
        push_comet(&mut said, name, missed);
    }
    said
}

/// One range with all of them.
fn span(offsets: &Offsets) -> Offsets {
    let ends = offsets.first().zip(offsets.end());
    ends.map(|(start, end)| start..end).into_iter().collect()
}

fn push_comet(to: &mut Vec<u8>, name: &str, missed: &Offsets) {
    push_name(to, name);
    push_varint(to, missed.ranges().count() as u64);
    let mut at = 0;
    for run in missed.ranges() {
        push_run(to, &mut at, &run);
    }
}

fn varint_len(value: u64) -> usize {
    let mut bytes = Vec::new();
    push_varint(&mut bytes, value);
    bytes.len()
}
