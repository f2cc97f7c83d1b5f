//! A Comet's answer to `Rooms`, taken in without a string for each room.

use crate::message::call::OrderingKey;
use crate::message::rooms::RoomList;

/// The most rooms of one Comet that are kept: 8 bytes each.
pub const MOST_ROOMS: usize = 1_000_000;

/// Why an answer tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Useless {
    /// It is no `RoomsReply`.
    Unreadable,
    TooMany,
}

/// The rooms that a `RoomsReply` names. What it says of each isn't looked at: it is there.
///
/// # Errors
/// It can't be read, or has too many.
pub fn read(reply: &[u8]) -> Result<RoomList, Useless> {
    let mut rooms = Vec::new();
    let mut input = Input(reply);
    while !input.0.is_empty() {
        // `map<string, bool> rooms = 1` is a repeated field of entries with a key, 1, and a value, 2.
        match input.field()? {
            (1, Value::Bytes(entry)) => {
                if rooms.len() == MOST_ROOMS {
                    return Err(Useless::TooMany);
                }
                rooms.push(OrderingKey::room(name(entry)?));
            }
            _ => continue,
        }
    }
    Ok(rooms.into_iter().collect())
}

fn name(entry: &[u8]) -> Result<&str, Useless> {
    let mut input = Input(entry);
    let mut name = "";
    while !input.0.is_empty() {
        if let (1, Value::Bytes(key)) = input.field()? {
            name = str::from_utf8(key).map_err(|_| Useless::Unreadable)?;
        }
    }
    Ok(name)
}

struct Input<'a>(&'a [u8]);

enum Value<'a> {
    Bytes(&'a [u8]),
    Other,
}

impl<'a> Input<'a> {
    fn field(&mut self) -> Result<(u64, Value<'a>), Useless> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => {
                self.varint()?;
                Value::Other
            }
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Other)?,
            _ => return Err(Useless::Unreadable),
        };
        match tag >> 3 {
            0 => Err(Useless::Unreadable),
            field => Ok((field, value)),
        }
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Useless> {
        let length = usize::try_from(length).map_err(|_| Useless::Unreadable)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Useless::Unreadable)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Useless> {
        let mut value = 0;
        for place in 0..10 {
            let [byte] = *self.take(1)? else {
                return Err(Useless::Unreadable);
            };
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Useless::Unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::proto::comet::RoomsReply;
    use proptest::prelude::*;
    use protobuf::Message;

    fn reply(rooms: impl IntoIterator<Item = (String, bool)>) -> Vec<u8> {
        let reply = RoomsReply {
            rooms: rooms.into_iter().collect(),
            ..Default::default()
        };
        reply.write_to_bytes().expect("it can be written")
    }

    #[test]
    fn a_hundred_thousand_rooms_are_read() {
        let name = |n| format!("live://{n}-{}", "x".repeat(40));
        let bytes = reply((0..100_000).map(|n| (name(n), true)));
        assert!(bytes.len() > 4 << 20);
        let rooms = read(&bytes).expect("it can be read");
        assert_eq!(rooms.len(), 100_000);
        assert!(rooms.has(OrderingKey::room(&name(99_999))));
        assert!(!rooms.has(OrderingKey::room(&name(100_000))));
    }

    #[test]
    fn too_many_rooms_are_none() {
        let entry = [0x0a, 3, 0x0a, 1, b'r'];
        let just = entry.repeat(MOST_ROOMS);
        assert_eq!(read(&just).map(|rooms| rooms.len()), Ok(1));
        assert_eq!(read(&[&just[..], &entry].concat()), Err(Useless::TooMany));
    }

    proptest! {
        #[test]
        fn an_answer_means_what_the_library_reads(rooms in prop::collection::hash_map(".{0,20}", any::<bool>(), 0..30)) {
            let read = read(&reply(rooms.clone())).expect("it can be read");
            let expected: RoomList = rooms.keys().map(|room| OrderingKey::room(room)).collect();
            prop_assert_eq!(read, expected);
        }

        /// Whatever a Comet sends: where the library reads it, it means the same, and nothing panics.
        #[test]
        fn broken_answers_are_read_as_the_library_does(
            rooms in prop::collection::hash_map(".{0,9}", any::<bool>(), 0..6),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = reply(rooms);
            for (place, byte) in changes {
                if !bytes.is_empty() {
                    let place = place.index(bytes.len());
                    bytes[place] = byte;
                }
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            if let (Ok(expected), Ok(read)) = (RoomsReply::parse_from_bytes(&bytes), read(&bytes)) {
                let expected: RoomList = expected.rooms.keys().map(|room| OrderingKey::room(room)).collect();
                prop_assert_eq!(read, expected);
            }
        }
    }
}
