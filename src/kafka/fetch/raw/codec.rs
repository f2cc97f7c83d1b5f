//! How a batch is compressed.

use super::Head;

/// The attribute bits of the codec.
const CODEC: i16 = 0x07;

/// How a batch is compressed, by Kafka's name.
pub type Codec = &'static str;

/// Returns how the batch that holds `position`, or the first one behind it, is compressed.
pub fn codec(mut bytes: &[u8], position: i64) -> Option<Codec> {
    loop {
        let head = Head::read(bytes)?;
        if head.magic != 2 {
            return None;
        }
        if head.last >= position && !head.has_no_record() {
            return Some(match head.attributes & CODEC {
                0 => return None,
                1 => "gzip",
                2 => "snappy",
                3 => "lz4",
                4 => "zstd",
                _ => "a codec that nobody knows",
            });
        }
        bytes = bytes.get(head.size..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::batch;
    use super::*;

    #[test]
    fn the_codec_is_that_of_the_batch_at_the_position() {
        let bytes = [
            batch(100, 10, 0),
            batch(110, 5, 1),
            batch(115, 5, 2 | 0x10),
            // A transaction's marker.
            batch(120, 1, 0x30),
            batch(121, 5, 4),
        ]
        .concat();
        let codecs = [
            (100, None),
            (112, Some("gzip")),
            (115, Some("snappy")),
            (120, Some("zstd")),
        ];
        for (position, found) in codecs {
            assert_eq!(codec(&bytes, position), found, "{position}");
        }
        assert_eq!(codec(&bytes, 126), None);
        assert_eq!(codec(&[], 0), None);
    }
}
