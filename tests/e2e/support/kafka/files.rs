//! The broker's own files of a partition: read, and damaged as a disk does.

use std::fs;
use std::path::{Path, PathBuf};

use super::Kafka;

impl Kafka {
    /// Cuts the log of partition 0 of a topic, as a disk does that lost what was written last: it ends with the batch whose last
    /// offset is the one before `end`. The broker must be stopped.
    pub fn cut_log(&self, topic: &str, end: i64) {
        let folder = find(&self.folder, &format!("{topic}-0")).expect("the partition has a folder");
        let log = folder.join("00000000000000000000.log");
        let bytes = fs::read(&log).expect("the partition's file can be read");
        // As in `newest_codec`; 23 bytes after a batch's start stands by how much its last offset is above its base offset.
        let mut place = 0;
        let mut next = 0;
        while next < end {
            let batch = &bytes[place..];
            let number =
                |at: usize| i32::from_be_bytes(batch[at..at + 4].try_into().expect("four"));
            let base = i64::from_be_bytes(batch[..8].try_into().expect("eight bytes"));
            next = base + i64::from(number(23)) + 1;
            place += 12 + number(8) as usize;
        }
        assert_eq!(next, end, "a batch ends there");
        let file = fs::OpenOptions::new().write(true).open(&log);
        file.and_then(|file| file.set_len(place as u64))
            .expect("the partition's file can be cut");
        // What Kafka noted about the log speaks of what is gone. It is made anew.
        for entry in fs::read_dir(&folder).expect("the partition's folder can be read") {
            let path = entry.expect("an entry").path();
            let of_log = path
                .extension()
                .is_some_and(|e| e == "index" || e == "timeindex" || e == "snapshot");
            if of_log {
                fs::remove_file(path).expect("it can be removed");
            }
        }
    }

    /// The broker's own file with a partition's first records.
    pub fn segment(&self, topic: &str, partition: i32) -> PathBuf {
        find(&self.folder, &format!("{topic}-{partition}"))
            .expect("the partition has a folder")
            .join("00000000000000000000.log")
    }

    /// The codec of the newest batch in partition 0 of the topic, read from the broker's own file: none, gzip,
    /// snappy, lz4, zstd are 0 to 4.
    pub fn newest_codec(&self, topic: &str) -> u8 {
        let log = fs::read(self.segment(topic, 0)).expect("the partition's file can be read");
        // A batch, from its start: base offset 8 bytes, length of what follows 4, leader epoch 4, magic 1, crc 4,
        // attributes 2, whose lowest three bits are the codec.
        let mut codec = 0;
        let mut rest = log.as_slice();
        while rest.len() >= 23 {
            let length = u32::from_be_bytes(rest[8..12].try_into().expect("four bytes")) as usize;
            codec = rest[22] & 7;
            rest = rest.get(12 + length..).unwrap_or_default();
        }
        codec
    }
}

/// The folder of this name, anywhere below `folder`.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let folders = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    folders.into_iter().find_map(|path| {
        if path.file_name().is_some_and(|n| n == name) {
            Some(path)
        } else {
            find(&path, name)
        }
    })
}
