//! The dynamic table (RFC 7541, sections 2.3.2 and 4).

use std::collections::VecDeque;

/// What an entry counts beside its bytes (4.1).
pub const OVERHEAD: usize = 32;
/// The size that each side has until the other allows more (RFC 9113, 6.5.2). This side never allows more.
pub const LIMIT: usize = 4096;

/// Fields that the peer sent, and what each of them means.
///
/// The bytes of all entries lie in one buffer behind each other. It is twice as long as they can be, so they are moved to its
/// front once for each 4 KiB of new ones, and an entry costs no allocation.
pub struct Table<M> {
    bytes: Vec<u8>,
    /// The newest is in front.
    entries: VecDeque<Entry<M>>,
    size: usize,
    max: usize,
}

struct Entry<M> {
    start: usize,
    name: usize,
    value: usize,
    meaning: M,
}

impl<M> Entry<M> {
    fn size(&self) -> usize {
        self.name + self.value + OVERHEAD
    }
}

impl<M: Copy> Table<M> {
    pub fn new() -> Self {
        Self {
            bytes: Vec::with_capacity(2 * LIMIT),
            entries: VecDeque::new(),
            size: 0,
            max: LIMIT,
        }
    }

    /// The entry at a place: 0 is the newest.
    pub fn get(&self, place: usize) -> Option<(&[u8], &[u8], M)> {
        let entry = self.entries.get(place)?;
        let (name, rest) = self
            .bytes
            .get(entry.start..)?
            .split_at_checked(entry.name)?;
        Some((name, rest.get(..entry.value)?, entry.meaning))
    }

    /// Returns false where the peer isn't allowed to have so large a table (6.3).
    pub fn resize(&mut self, max: usize) -> bool {
        if max > LIMIT {
            return false;
        }
        self.max = max;
        self.evict(0);
        true
    }

    /// One that is larger than the table empties it (4.4).
    pub fn insert(&mut self, name: &[u8], value: &[u8], meaning: M) {
        let size = name.len() + value.len() + OVERHEAD;
        self.evict(size);
        if size > self.max {
            return;
        }
        if self.bytes.len() + name.len() + value.len() > 2 * LIMIT {
            self.move_to_front();
        }
        self.entries.push_front(Entry {
            start: self.bytes.len(),
            name: name.len(),
            value: value.len(),
            meaning,
        });
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.size += size;
    }

    /// Makes room.
    fn evict(&mut self, room: usize) {
        while self.size + room > self.max
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= oldest.size();
        }
    }

    fn move_to_front(&mut self) {
        let begin = self
            .entries
            .back()
            .map_or(self.bytes.len(), |entry| entry.start);
        self.bytes.drain(..begin);
        for entry in &mut self.entries {
            entry.start -= begin;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_and_the_bytes_stay_bounded() {
        let mut table = Table::new();
        for n in 0..10_000_u32 {
            table.insert(b"name", n.to_string().as_bytes(), n);
            assert!(table.size <= LIMIT && table.bytes.len() <= 2 * LIMIT);
            let (name, value, meaning) = table.get(0).expect("it was entered");
            assert_eq!(
                (name, value, meaning),
                (&b"name"[..], n.to_string().as_bytes(), n)
            );
            let last = table.entries.len() - 1;
            let (_, value, meaning) = table.get(last).expect("the oldest");
            assert_eq!(value, meaning.to_string().as_bytes());
            assert_eq!(meaning, n - last as u32);
        }
        assert_eq!(table.entries.len(), LIMIT / 40);
        assert!(table.resize(79));
        assert_eq!(table.get(0).map(|entry| entry.2), Some(9_999));
        assert!(table.get(1).is_none());
        table.insert(b"n", &[b'v'; 79 - 32], 0);
        assert!(table.get(0).is_none(), "larger than the table");
        assert!(!table.resize(LIMIT + 1));
    }
}
