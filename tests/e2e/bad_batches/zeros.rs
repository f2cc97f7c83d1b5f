//! A small batch that unpacks to as much as one likes.

/// A batch with one record of so many zeros, which zstd packs into a few kilobytes.
pub fn unpacks_to(bytes: usize) -> Vec<u8> {
    // A length of the record's format: zigzag, seven bits at a time.
    let varint = |number: usize| {
        let mut left = number << 1;
        let mut bytes = Vec::new();
        while left > 0x7f {
            bytes.push((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        bytes.push(left as u8);
        bytes
    };
    // Attributes, time and offset are 0; there is no key (-1), and there are no headers.
    let before = [&[0, 0, 0, 1][..], &varint(bytes)].concat();
    let head = [varint(before.len() + bytes + 1), before].concat();

    // zstd: a frame without a checksum, whose window is 1 MiB, of raw blocks (type 0) and such of one byte repeated (1).
    const BLOCK: usize = 128 << 10;
    let block = |kind: usize, size: usize, is_last: bool| {
        let head = (size << 3 | kind << 1 | usize::from(is_last)) as u32;
        head.to_le_bytes()[..3].to_vec()
    };
    let mut packed = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 10 << 3];
    packed.extend([block(0, head.len(), false), head].concat());
    assert!(bytes.is_multiple_of(BLOCK));
    for _ in 0..bytes / BLOCK {
        packed.extend([block(1, BLOCK, false), vec![0]].concat());
    }
    packed.extend([block(0, 1, true), vec![0]].concat());

    const ZSTD: u8 = 4;
    let mut checked = vec![0, ZSTD];
    checked.extend([0; 4]); // the last offset's distance
    checked.extend(1_700_000_000_000_i64.to_be_bytes().repeat(2)); // times
    checked.extend([0xff; 14]); // no producer
    checked.extend(1_u32.to_be_bytes()); // records
    checked.extend(packed);
    let mut batch = vec![0; 8];
    batch.extend((checked.len() as u32 + 9).to_be_bytes());
    batch.extend([0xff, 0xff, 0xff, 0xff, 2]); // no epoch, format 2
    batch.extend(crc32c(&checked).to_be_bytes());
    batch.extend(checked);
    batch
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg());
    !bytes.iter().fold(!0, |sum: u32, &byte| {
        (0..8).fold(sum ^ u32::from(byte), step)
    })
}
