//! A batch that nobody can read: one byte of it changes on Kafka's disk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::kafka::TOPIC;
use crate::plan::Spot;
use crate::timeline::Micros;

/// A batch that was changed, and how it was before.
#[derive(Clone, Debug)]
pub struct Corrupt {
    pub partition: i32,
    /// Offsets of its first and its last record.
    pub first: i64,
    pub last: i64,
    /// When Kafka was back with it.
    pub back: Micros,
    file: PathBuf,
    place: u64,
    was: u8,
}

impl Corrupt {
    pub fn back_at(self, back: Micros) -> Corrupt {
        Corrupt { back, ..self }
    }

    #[cfg(test)]
    pub fn made_up(partition: i32, first: i64, last: i64) -> Corrupt {
        Corrupt {
            partition,
            first,
            last,
            back: 0,
            file: PathBuf::new(),
            place: 0,
            was: 0,
        }
    }

    /// Makes it what it was.
    pub fn mend(&self) -> Result<(), String> {
        set_byte(&self.file, self.place, self.was)
    }
}

/// Changes one byte in the largest batch whose records were all made at or after `since` (milliseconds since 1970).
/// The broker must have been stopped in good order: it verifies nothing then when it starts again. Returns `None` where
/// there is no such batch.
pub fn spoil(folder: &Path, since: i64, spot: Spot) -> Result<Option<Corrupt>, String> {
    let failed = |e: io::Error| format!("{} can't be read: {e}", folder.display());
    let data = folder.join("data");
    if !data.join(".kafka_cleanshutdown").exists() {
        // It would look for batches like this one, and cut its log there.
        return Ok(None);
    }
    let mut largest: Option<(Batch, i32, PathBuf)> = None;
    for entry in fs::read_dir(&data).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let of_topic = name.strip_prefix(TOPIC).and_then(|n| n.strip_prefix('-'));
        let Some(partition) = of_topic.and_then(|n| n.parse().ok()) else {
            continue;
        };
        let Some(segment) = last_segment(&path).map_err(failed)? else {
            continue;
        };
        let bytes = fs::read(&segment).map_err(failed)?;
        for batch in batches(&bytes) {
            let larger = largest
                .as_ref()
                .is_none_or(|(other, ..)| batch.count() > other.count());
            if batch.is_plain && batch.made >= since && larger {
                largest = Some((batch, partition, segment.clone()));
            }
        }
    }
    let Some((batch, partition, file)) = largest else {
        return Ok(None);
    };
    let (place, was) = match spot {
        Spot::Checksum => (batch.place + CHECKSUM, batch.checksum),
        Spot::Length => (batch.place + RECORDS, batch.length),
    };
    let now = match spot {
        Spot::Checksum => was ^ 0x10,
        // Its lowest bit is its sign.
        Spot::Length => was | 1,
    };
    let corrupt = Corrupt {
        partition,
        first: batch.first,
        last: batch.last,
        back: 0,
        file,
        place: place as u64,
        was,
    };
    set_byte(&corrupt.file, corrupt.place, now)?;
    Ok(Some(corrupt))
}

fn set_byte(file: &Path, place: u64, byte: u8) -> Result<(), String> {
    OpenOptions::new()
        .write(true)
        .open(file)
        .and_then(|file: File| file.write_all_at(&[byte], place))
        .map_err(|e| format!("{} can't be changed: {e}", file.display()))
}

fn last_segment(folder: &Path) -> io::Result<Option<PathBuf>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "log") {
            segments.push(path);
        }
    }
    Ok(segments.into_iter().max())
}

/// Places in a batch of Kafka's format 2, from <https://kafka.apache.org/documentation/#recordbatch>.
const LENGTH: usize = 8;
const MAGIC: usize = 16;
const CHECKSUM: usize = 17;
const ATTRIBUTES: usize = 21;
const LAST_DELTA: usize = 23;
const BASE_TIMESTAMP: usize = 27;
const RECORDS: usize = 61;
/// Bits of its attributes: how it is compressed, whether it is of a transaction, whether it is a marker.
const NOT_PLAIN: u8 = 0b0011_0111;

/// One batch of a segment.
#[derive(Debug, PartialEq)]
struct Batch {
    /// Where it begins in the segment.
    place: usize,
    first: i64,
    last: i64,
    /// When its first record was made, in milliseconds since 1970.
    made: i64,
    /// Neither compressed nor of a transaction.
    is_plain: bool,
    /// The first byte of its checksum, and of the length of its first record.
    checksum: u8,
    length: u8,
}

impl Batch {
    fn count(&self) -> i64 {
        self.last - self.first + 1
    }
}

/// The batches of a segment, up to the first that is of another format or cut off.
fn batches(segment: &[u8]) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut place = 0;
    while let Some(batch) = segment.get(place..).filter(|b| b.len() > RECORDS) {
        let behind = u32::from_be_bytes(at(batch, LENGTH)) as usize;
        let size = LENGTH + 4 + behind;
        if batch[MAGIC] != 2 || size <= RECORDS || size > batch.len() {
            break;
        }
        let first = i64::from_be_bytes(at(batch, 0));
        batches.push(Batch {
            place,
            first,
            last: first + i64::from(i32::from_be_bytes(at(batch, LAST_DELTA))),
            made: i64::from_be_bytes(at(batch, BASE_TIMESTAMP)),
            is_plain: batch[ATTRIBUTES + 1] & NOT_PLAIN == 0,
            checksum: batch[CHECKSUM],
            length: batch[RECORDS],
        });
        place += size;
    }
    batches
}

fn at<const N: usize>(bytes: &[u8], place: usize) -> [u8; N] {
    let mut number = [0; N];
    number.copy_from_slice(&bytes[place..place + N]);
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(first: i64, count: i32, made: i64, attributes: u8) -> Vec<u8> {
        let mut bytes = vec![0; RECORDS];
        bytes[..8].copy_from_slice(&first.to_be_bytes());
        bytes[MAGIC] = 2;
        bytes[CHECKSUM] = 0x11;
        bytes[ATTRIBUTES + 1] = attributes;
        bytes[LAST_DELTA..LAST_DELTA + 4].copy_from_slice(&(count - 1).to_be_bytes());
        bytes[BASE_TIMESTAMP..BASE_TIMESTAMP + 8].copy_from_slice(&made.to_be_bytes());
        bytes.extend([0x20; 40]);
        let length = (bytes.len() - LENGTH - 4) as i32;
        bytes[LENGTH..LENGTH + 4].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    #[test]
    fn the_largest_plain_batch_since_then_is_changed_and_mended() {
        let broker = tempfile::tempdir().expect("a folder");
        let data = broker.path().join("data");
        let partition = data.join(format!("{TOPIC}-3"));
        fs::create_dir_all(&partition).expect("it is made");
        fs::create_dir_all(data.join(format!("{TOPIC}.dead-letter-0"))).expect("it is made");
        let segment = partition.join("00000000000000000040.log");
        let before = [
            batch(40, 9, 1_000, 0),
            batch(49, 2, 2_000, 0),
            batch(51, 8, 2_000, 0x10),
            batch(59, 3, 2_000, 0),
            batch(62, 1, 2_000, 0),
        ]
        .concat();
        fs::write(partition.join("00000000000000000000.log"), [0; 9]).expect("written");
        fs::write(&segment, [before.as_slice(), &[0; 20]].concat()).expect("written");
        let spoil = |spot| spoil(broker.path(), 2_000, spot).expect("it can be read");
        assert!(spoil(Spot::Length).is_none(), "it was not stopped well");
        fs::write(data.join(".kafka_cleanshutdown"), "").expect("written");

        for spot in [Spot::Checksum, Spot::Length] {
            let corrupt = spoil(spot).expect("there is one");
            assert_eq!(
                (corrupt.partition, corrupt.first, corrupt.last),
                (3, 59, 61)
            );
            let changed = fs::read(&segment).expect("it is there");
            let differ: Vec<usize> = (0..before.len())
                .filter(|n| changed[*n] != before[*n])
                .collect();
            let place = if spot == Spot::Length {
                RECORDS
            } else {
                CHECKSUM
            };
            assert_eq!(differ, [3 * before.len() / 5 + place]);
            corrupt.mend().expect("it can be written");
            assert_eq!(
                fs::read(&segment).expect("it is there")[..before.len()],
                before
            );
        }
    }

    #[test]
    fn what_is_no_batch_is_no_batch() {
        assert_eq!(batches(&[]), []);
        assert_eq!(batches(&[0xff; 300]), []);
        let one = batch(7, 1, 5, 0);
        assert_eq!(batches(&one).len(), 1);
        assert_eq!(batches(&one[..one.len() - 1]), []);
    }
}
