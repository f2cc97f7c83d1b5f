//! Where batches begin and end in a partition's bytes, without reading their records.
//!
//! The bytes may be damaged. So nothing counts that contradicts the next batch, the reading position or the log's end. A
//! batch's checksum covers neither its offset nor its length.

mod codec;

use std::ops::Range;

pub use codec::{Codec, codec};

/// Bytes before a batch's length counts, and of a header: <https://kafka.apache.org/documentation/#recordbatch>.
const BEFORE: usize = 12;
const HEADER: usize = 61;
const CHECKED_FROM: usize = 21;
/// The attribute bit of a transaction marker.
const CONTROL: i16 = 0x20;
/// The attribute bit of a topic whose records bear the broker's time: only the largest one in the header is that.
const LOG_APPEND_TIME: i16 = 0x08;

/// What a look at a position found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The log ends there.
    End,
    /// No record: a transaction marker, or offsets that compaction removed. Reading continues at `next`.
    Nothing { next: i64 },
    /// A batch up to offset `last`. It is `intact` if its checksum is right.
    Batch { last: i64, intact: bool },
    /// A batch whose end can't be told: the reason.
    Broken(String),
}

/// The head of a batch.
#[derive(Debug)]
struct Head {
    first: i64,
    last: i64,
    /// The whole batch's length in bytes.
    size: usize,
    magic: u8,
    attributes: i16,
    records: i32,
}

impl Head {
    /// Returns `None` if there are too few bytes, or the length is impossible.
    fn read(bytes: &[u8]) -> Option<Head> {
        let first = i64::from_be_bytes(at(bytes, 0)?);
        let length = usize::try_from(i32::from_be_bytes(at(bytes, 8)?)).ok()?;
        let magic = *bytes.get(16)?;
        let delta = i32::from_be_bytes(at(bytes, 23)?);
        let is_old = magic < 2;
        if !is_old && length < HEADER - BEFORE {
            return None;
        }
        Some(Head {
            first,
            // Before format 2 an entry carries its last record's offset.
            last: if is_old {
                first
            } else {
                first.checked_add(delta.into())?
            },
            size: BEFORE + length,
            magic,
            attributes: i16::from_be_bytes(at(bytes, 21)?),
            records: i32::from_be_bytes(at(bytes, 57)?),
        })
    }

    /// Whether it is plausible in a log that ends before `end`, for a batch that reaches `position` or further.
    fn fits(&self, position: i64, end: i64) -> bool {
        self.magic <= 2
            && 0 <= self.first
            && self.first <= self.last
            && (position..end).contains(&self.last)
    }

    /// Whether its checksum is right. Batches of formats before 2, which nobody writes any more, count as not intact.
    fn is_intact(&self, bytes: &[u8]) -> bool {
        let sum = at(bytes, 17).map(u32::from_be_bytes);
        let covered = bytes.get(CHECKED_FROM..self.size);
        self.magic == 2 && covered.is_some_and(|covered| sum == Some(crc32c(covered)))
    }

    fn has_no_record(&self) -> bool {
        self.magic == 2 && (self.attributes & CONTROL != 0 || self.records == 0)
    }
}

/// Bytes needed to hold the first batch whole, and the head of the next one.
pub fn needed(bytes: &[u8]) -> usize {
    Head::read(bytes).map_or(HEADER, |head| head.size.saturating_add(HEADER))
}

/// Tells what is at `position` in a log that is readable up to `end`, by the bytes that the broker serves from there.
pub fn look(mut bytes: &[u8], position: i64, end: i64) -> Look {
    let mut at = position;
    loop {
        let here = look_once(bytes, at, end);
        let Look::Nothing { next } = here else {
            return match here {
                _ if at > position => Look::Nothing { next: at },
                here => here,
            };
        };
        // A gap ends before the batch; a batch without records ends behind itself.
        let passed = Head::read(bytes).filter(|head| head.last < next);
        at = next;
        match passed.and_then(|head| bytes.get(head.size..)) {
            Some(rest) if !rest.is_empty() => bytes = rest,
            _ => return Look::Nothing { next: at },
        }
    }
}

fn look_once(bytes: &[u8], position: i64, end: i64) -> Look {
    if position >= end {
        return Look::End;
    }
    if bytes.is_empty() {
        return Look::Broken(format!(
            "the broker brings nothing, though its log goes on to offset {end}"
        ));
    }
    let head = Head::read(bytes);
    let behind = head.as_ref().and_then(|head| bytes.get(head.size..));
    let next = behind
        .and_then(Head::read)
        .filter(|next| next.magic == 2 && next.fits(position, end) && next.first > position);
    let fits = |head: &&Head| {
        let ends_before_next = next.as_ref().is_none_or(|next| head.last < next.first);
        head.fits(position, end) && ends_before_next
    };
    match (head.as_ref().filter(fits), &next) {
        (Some(head), _) if head.is_intact(bytes) => {
            let is_last = head.last + 1 == end;
            if head.first > position && (next.is_some() || is_last) {
                Look::Nothing { next: head.first }
            } else if head.has_no_record() {
                Look::Nothing {
                    next: head.last + 1,
                }
            } else {
                Look::Batch {
                    last: head.last,
                    intact: true,
                }
            }
        }
        // The next batch is more reliable than a damaged one.
        (_, Some(next)) => Look::Batch {
            last: next.first - 1,
            intact: false,
        },
        (Some(head), None) => Look::Batch {
            last: head.last,
            intact: false,
        },
        (None, None) => Look::Broken(match head {
            Some(Head { first, last, .. }) => format!(
                "the batch there says that it has offsets {first} to {last}, and the log ends at {end}"
            ),
            None => "what stands there is no batch".into(),
        }),
    }
}

/// Returns the offset of the first intact batch in the bytes that the broker serves from `position`.
pub fn begins(bytes: &[u8], position: i64, end: i64) -> Option<i64> {
    let head = Head::read(bytes).filter(|head| head.fits(position, end))?;
    head.is_intact(bytes).then_some(head.first)
}

/// Returns the timestamp of the first record in the batch that holds `position`, or of the first batch behind it.
pub fn written(mut bytes: &[u8], position: i64) -> Option<i64> {
    loop {
        let head = Head::read(bytes)?;
        if head.magic != 2 {
            return None;
        }
        if head.last >= position && !head.has_no_record() {
            let is_log_append_time = head.attributes & LOG_APPEND_TIME != 0;
            let (first, most) = (at(bytes, 27)?, at(bytes, 35)?);
            let time = i64::from_be_bytes(if is_log_append_time { most } else { first });
            return (time >= 0).then_some(time);
        }
        bytes = bytes.get(head.size..)?;
    }
}

/// Returns which of a partition's offsets are plausible in a log that ends at `end`, read from `position` on. A batch with a
/// damaged base offset has offsets behind the end, or among those of others.
pub fn plausible(offsets: &[i64], position: i64, end: i64) -> Range<usize> {
    let mut lowest_behind = vec![end; offsets.len() + 1];
    for place in (0..offsets.len()).rev() {
        lowest_behind[place] = offsets[place].min(lowest_behind[place + 1]);
    }
    let mut taken = 0..0;
    let mut expected = position;
    let mut begin = 0;
    for run in offsets.chunk_by(|one, next| *next == one + 1) {
        let place = begin..begin + run.len();
        begin = place.end;
        let (first, last) = (run[0], run[run.len() - 1]);
        // A batch that begins here again is whole: this is the tail of one that overlaps it.
        let is_whole = || !offsets[place.end..].contains(&expected);
        let follows = first == expected && is_whole();
        let may_be_gap =
            first > expected && last < lowest_behind[place.end] && taken.end == place.start;
        if last < end && (follows || may_be_gap) {
            let start = if taken.is_empty() {
                place.start
            } else {
                taken.start
            };
            taken = start..place.end;
            expected = last + 1;
        } else if !taken.is_empty() {
            break;
        }
    }
    taken
}

fn at<const N: usize>(bytes: &[u8], place: usize) -> Option<[u8; N]> {
    bytes.get(place..place + N)?.try_into().ok()
}

/// CRC-32C, bit by bit: it is computed rarely, for one batch.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg());
    !bytes.iter().fold(!0, |sum: u32, &byte| {
        (0..8).fold(sum ^ u32::from(byte), step)
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A batch of format 2, with a right checksum.
    pub fn batch(first: i64, count: i32, attributes: i16) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[..8].copy_from_slice(&first.to_be_bytes());
        bytes[16] = 2;
        bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
        bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        bytes.extend([7; 40]);
        let length = (bytes.len() - BEFORE) as i32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        let sum = crc32c(&bytes[CHECKED_FROM..]);
        bytes[17..21].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    fn damaged(batches: &[Vec<u8>], place: usize, bit: u8) -> Vec<u8> {
        let mut bytes = batches.concat();
        bytes[place] ^= bit;
        bytes
    }

    fn found(last: i64, intact: bool) -> Look {
        Look::Batch { last, intact }
    }

    #[test]
    fn the_sum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_batch_reaches_to_its_last_offset() {
        let bytes = [batch(100, 10, 0), batch(110, 5, 0)].concat();
        assert_eq!(look(&bytes, 100, 115), found(109, true));
        assert_eq!(look(&bytes, 104, 115), found(109, true));
        assert_eq!(look(&bytes[..HEADER], 100, 115), found(109, false));
        assert_eq!(look(&bytes, 115, 115), Look::End);
        assert!(matches!(look(&[], 100, 115), Look::Broken(_)));
        assert_eq!(needed(&bytes[..HEADER]), 101 + HEADER);
    }

    #[test]
    fn markers_and_gaps_hold_no_record() {
        let markers = [batch(100, 1, 0x30), batch(101, 1, 0x30), batch(102, 3, 0)].concat();
        assert_eq!(look(&markers, 100, 105), Look::Nothing { next: 102 });
        assert_eq!(
            look(&batch(100, 1, 0x30), 100, 101),
            Look::Nothing { next: 101 }
        );
        let gap = [batch(100, 2, 0), batch(102, 2, 0)].concat();
        assert_eq!(look(&gap, 90, 104), Look::Nothing { next: 100 });
        // A damaged marker is not believed to be one.
        let bytes = damaged(&[batch(100, 1, 0x30), batch(101, 2, 0)], 80, 1);
        assert_eq!(look(&bytes, 100, 103), found(100, false));
    }

    #[test]
    fn a_record_was_written_when_its_batch_says() {
        let at = |first: i64, attributes: i16, times: [i64; 2]| {
            let mut bytes = batch(first, 10, attributes);
            bytes[27..35].copy_from_slice(&times[0].to_be_bytes());
            bytes[35..43].copy_from_slice(&times[1].to_be_bytes());
            bytes
        };
        let two = [at(100, 0, [5, 7]), at(110, 0, [8, 9])].concat();
        assert_eq!(written(&two, 105), Some(5));
        assert_eq!(written(&two, 110), Some(8));
        assert_eq!(written(&two, 120), None);
        assert_eq!(written(&at(100, LOG_APPEND_TIME, [5, 7]), 100), Some(7));
        assert_eq!(written(&at(100, 0, [-1, -1]), 100), None);
        let marker = [at(100, CONTROL, [5, 5]), at(110, 0, [8, 9])].concat();
        assert_eq!(written(&marker, 100), Some(8));
        assert_eq!(written(&two[..30], 100), None);
        assert_eq!(written(&[], 0), None);
    }

    #[test]
    fn the_next_batch_tells_where_a_damaged_one_ends() {
        let batches = [batch(100, 10, 0), batch(110, 5, 0)];
        let (last_delta, offset, magic, body) = (26, 6, 16, 90);
        for (place, bit) in [
            (last_delta, 1),
            (last_delta, 0x40),
            (offset, 1),
            (offset + 1, 8),
            (magic, 4),
            (magic, 2),
            (body, 0x80),
        ] {
            let bytes = damaged(&batches, place, bit);
            assert_eq!(
                look(&bytes, 100, 115),
                found(109, false),
                "bit {bit} of byte {place}"
            );
        }
    }

    #[test]
    fn nothing_is_made_up_where_nothing_tells_the_end() {
        let last = [batch(100, 10, 0)];
        for (place, bit) in [(1, 1), (8, 0x80), (11, 0x20), (23, 1), (16, 0x40)] {
            let bytes = damaged(&last, place, bit);
            let look = look(&bytes, 100, 110);
            let is_safe = matches!(look, Look::Broken(_)) || look == found(109, false);
            assert!(is_safe, "bit {bit} of byte {place}: {look:?}");
        }
        assert_eq!(begins(&last.concat(), 105, 110), Some(100));
        assert_eq!(begins(&damaged(&last, 90, 1), 105, 110), None);
    }

    #[test]
    fn offsets_that_cannot_be_are_told_from_those_that_can() {
        assert_eq!(plausible(&[5, 6, 9], 5, 10), 0..3);
        assert_eq!(plausible(&[7, 9], 5, 10), 0..2);
        assert_eq!(plausible(&[], 5, 10), 0..0);
        assert_eq!(plausible(&[5, 6, 10], 5, 10), 0..2);
        assert_eq!(plausible(&[5, 6, 4, 7], 5, 10), 0..2);
        assert_eq!(plausible(&[5, 90, 91, 6, 7], 5, 100), 0..1);
        assert_eq!(plausible(&[5, 5], 5, 10), 1..2);
        assert_eq!(plausible(&[8, 9, 8, 9, 10], 8, 11), 2..5);
        // Those of the damaged batch come first, since it says that it reaches to the position.
        assert_eq!(plausible(&[90, 91, 5, 6, 7], 5, 100), 2..5);
        assert_eq!(plausible(&[6, 7, 8, 7, 8, 9], 5, 10), 0..0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            position in 0i64..200,
            length in 0i64..200,
        ) {
            check(&bytes, position, position + length);
        }

        #[test]
        fn any_damage_is_looked_at(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(),
            position in 95i64..125,
        ) {
            let mut bytes = [batch(100, 10, 0), batch(110, 1, 0x20), batch(111, 4, 0)].concat();
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            let cut = cut.index(bytes.len());
            check(&bytes, position, 115);
            check(&bytes[..cut], position, 115);
        }

        #[test]
        fn what_is_plausible_ascends(offsets in prop::collection::vec(0i64..20, 0..12), from in 0i64..5, end in 5i64..25) {
            let good = &offsets[plausible(&offsets, from, end)];
            prop_assert!(good.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(good.iter().all(|offset| (from..end).contains(offset)));
        }
    }

    /// Whatever it is taken for, reading goes on further on, and not behind the end.
    fn check(bytes: &[u8], position: i64, end: i64) {
        match look(bytes, position, end) {
            Look::End => assert!(position >= end),
            Look::Nothing { next } => assert!(position < next && next <= end),
            Look::Batch { last, .. } => assert!((position..end).contains(&last)),
            Look::Broken(why) => assert!(!why.is_empty()),
        }
        assert!(begins(bytes, position, end).is_none_or(|first| first < end));
        assert!(needed(bytes) >= HEADER);
    }
}
