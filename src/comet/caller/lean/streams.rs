//! The calls of one connection, in a slab: what ended leaves its place, and its memory, to the next.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Instant;

use super::answer::Answer;
use super::flow::{Credit, Window};
use super::head::Along;

/// Memory that a call leaves to the next one.
const KEPT: usize = 4 << 10;

/// A call of this connection, as long as it is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    slot: u32,
    generation: u32,
}

/// One call.
pub struct Stream {
    pub tag: u64,
    pub deadline: Instant,
    /// `None` until it has a stream.
    pub opened: Option<Opened>,
    /// Where it has none yet: what it is called with.
    pub path: String,
    pub along: Along,
    /// What is still to be sent, from `body_sent` on.
    pub body: Vec<u8>,
    pub body_sent: usize,
    pub answer: Answer,
}

/// What a call has from when its stream is opened.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    pub id: u32,
    /// Where in all that is sent its head begins.
    pub begin: u64,
    pub window: Window,
    pub credit: Credit,
}

struct Slot {
    generation: u32,
    is_used: bool,
    stream: Stream,
}

#[derive(Default)]
pub struct Streams {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_id: HashMap<u32, u32, BuildHasherDefault<ById>>,
}

impl Streams {
    /// How many calls there are, with those that have no stream yet.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many have a stream.
    pub fn opened(&self) -> usize {
        self.by_id.len()
    }

    pub fn insert(&mut self, tag: u64, deadline: Instant) -> Key {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::new(deadline));
            (self.slots.len() - 1) as u32
        });
        let place = &mut self.slots[slot as usize];
        place.is_used = true;
        (place.stream.tag, place.stream.deadline) = (tag, deadline);
        Key {
            slot,
            generation: place.generation,
        }
    }

    pub fn get(&mut self, key: Key) -> Option<&mut Stream> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        (slot.is_used && slot.generation == key.generation).then_some(&mut slot.stream)
    }

    pub fn is_live(&self, key: Key) -> bool {
        let slot = self.slots.get(key.slot as usize);
        slot.is_some_and(|slot| slot.is_used && slot.generation == key.generation)
    }

    /// The call that has this stream, if it is still open.
    pub fn find(&mut self, id: u32) -> Option<(Key, &mut Stream)> {
        let slot = *self.by_id.get(&id)?;
        let place = self.slots.get_mut(slot as usize)?;
        let generation = place.generation;
        Some((Key { slot, generation }, &mut place.stream))
    }

    /// Gives a call its stream.
    pub fn open(&mut self, key: Key, opened: Opened) {
        if let Some(stream) = self.get(key) {
            stream.opened = Some(opened);
            self.by_id.insert(opened.id, key.slot);
        }
    }

    /// Ends a call. Hands it to `last` before its place is free.
    pub fn remove<T>(&mut self, key: Key, last: impl FnOnce(&mut Stream) -> T) -> Option<T> {
        let stream = self.get(key)?;
        let outcome = last(stream);
        let opened = stream.opened.take();
        stream.clear();
        if let Some(opened) = opened {
            self.by_id.remove(&opened.id);
        }
        let slot = &mut self.slots[key.slot as usize];
        slot.is_used = false;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.slot);
        Some(outcome)
    }

    /// All calls.
    pub fn iter(&mut self) -> impl Iterator<Item = (Key, &mut Stream)> {
        let used = (0..).zip(&mut self.slots).filter(|(_, slot)| slot.is_used);
        used.map(|(number, slot)| {
            let key = Key {
                slot: number,
                generation: slot.generation,
            };
            (key, &mut slot.stream)
        })
    }

    /// The calls for which `which` holds, in the order in which they were opened; those without a stream last.
    pub fn keys(&mut self, mut which: impl FnMut(&Stream) -> bool) -> Vec<Key> {
        let mut found: Vec<_> = self
            .iter()
            .filter(|(_, stream)| which(stream))
            .map(|(key, stream)| (stream.id().unwrap_or(u32::MAX), key))
            .collect();
        found.sort_by_key(|(id, _)| *id);
        found.into_iter().map(|(_, key)| key).collect()
    }
}

impl Slot {
    fn new(deadline: Instant) -> Self {
        Self {
            generation: 0,
            is_used: false,
            stream: Stream {
                tag: 0,
                deadline,
                opened: None,
                path: String::new(),
                along: Along::default(),
                body: Vec::new(),
                body_sent: 0,
                answer: Answer::default(),
            },
        }
    }
}

impl Stream {
    pub fn id(&self) -> Option<u32> {
        self.opened.as_ref().map(|opened| opened.id)
    }

    /// What is still to be sent.
    pub fn unsent(&self) -> &[u8] {
        &self.body[self.body_sent..]
    }

    /// Forgets the body, when it is sent or no longer wanted.
    pub fn clear_body(&mut self) {
        self.body.clear();
        self.body.shrink_to(KEPT);
        self.body_sent = 0;
    }

    fn clear(&mut self) {
        self.path.clear();
        self.along.set(&[]);
        self.clear_body();
        self.answer.clear();
    }
}

/// Ids are this side's own and ascend, so any spreading will do.
#[derive(Default)]
pub struct ById(u64);

impl Hasher for ById {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(id: u32) -> Opened {
        Opened {
            id,
            begin: 0,
            window: Window::new(0),
            credit: Credit::new(0, 0),
        }
    }

    #[test]
    fn a_key_is_of_one_call_alone() {
        let mut streams = Streams::default();
        let now = Instant::now();
        let first = streams.insert(1, now);
        streams.open(first, opened(1));
        assert_eq!((streams.len(), streams.opened()), (1, 1));
        assert_eq!(
            streams.find(1).map(|(key, stream)| (key, stream.tag)),
            Some((first, 1))
        );
        assert_eq!(streams.remove(first, |stream| stream.tag), Some(1));
        assert!(streams.remove(first, |_| ()).is_none());
        let second = streams.insert(2, now);
        assert!(first != second && streams.get(first).is_none() && streams.find(1).is_none());
        assert_eq!(
            (streams.len(), streams.opened(), streams.slots.len()),
            (1, 0, 1)
        );
    }

    #[test]
    fn calls_come_in_the_order_of_their_streams() {
        let mut streams = Streams::default();
        let now = Instant::now();
        let keys: Vec<_> = (0..3).map(|tag| streams.insert(tag, now)).collect();
        streams.open(keys[0], opened(7));
        streams.open(keys[2], opened(5));
        assert_eq!(streams.keys(|_| true), [keys[2], keys[0], keys[1]]);
        assert_eq!(streams.keys(|stream| stream.tag == 0), [keys[0]]);
    }

    #[test]
    fn little_memory_is_kept() {
        let mut streams = Streams::default();
        let now = Instant::now();
        let key = streams.insert(1, now);
        streams.get(key).expect("live").body = vec![0; 10 << 20];
        streams.remove(key, |_| ());
        let key = streams.insert(1, now);
        assert!(streams.get(key).expect("live").body.capacity() <= KEPT);
    }
}
