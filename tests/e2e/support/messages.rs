//! The records that tests write, and what must be true of what arrives.

use std::collections::BTreeMap;

use bytes::Bytes;
use chatroom_job::message::proto::push::PushMsg;
use chatroom_job::message::proto::push::push_msg::Type;
use krafka::Record;
use protobuf::Message;

use super::comet::Call;

/// A message to a room whose body says which it is: `room/sequence`.
pub fn numbered(room: &str, sequence: usize) -> PushMsg {
    to_room(room, format!("{room}/{sequence}"))
}

pub fn to_room(room: &str, body: impl Into<Bytes>) -> PushMsg {
    PushMsg {
        type_: Type::ROOM.into(),
        room: room.into(),
        msg: body.into(),
        ..Default::default()
    }
}

/// The record of a message, keyed by its room as Logic does it, so that a room has one partition.
pub fn record(topic: &str, message: &PushMsg) -> Record {
    Record::new(topic, encoded(message)).key(message.room.clone().into_bytes())
}

pub fn encoded(message: &PushMsg) -> Vec<u8> {
    message.write_to_bytes().expect("a message can be encoded")
}

/// `count` numbered messages over `rooms` rooms in turn, numbers `from` on.
pub fn over_rooms(rooms: usize, from: usize, count: usize) -> impl Iterator<Item = PushMsg> {
    (from..from + count).map(move |n| numbered(&format!("room-{}", n % rooms), n / rooms))
}

/// The sequence numbers that arrived for each room, in the order of their arrival, repeats included.
pub fn arrived(calls: &[Call]) -> BTreeMap<String, Vec<usize>> {
    let mut rooms = BTreeMap::<String, Vec<usize>>::new();
    for call in calls {
        let body = String::from_utf8_lossy(&call.body);
        let (room, sequence) = body.rsplit_once('/').expect("a numbered body");
        assert_eq!(room, call.room, "the body belongs to the room called");
        rooms
            .entry(room.to_owned())
            .or_default()
            .push(sequence.parse().expect("a sequence number"));
    }
    rooms
}

/// Panics unless each of the rooms got its messages 0, 1, 2 … once each and in order, `count` in all.
#[track_caller]
pub fn assert_each_once_in_order(calls: &[Call], rooms: usize, count: usize) {
    let repeats = assert_in_order(calls, rooms, count);
    assert_eq!(repeats, 0, "messages were sent again");
}

/// Panics unless the first delivery of each of the `count` messages kept its room's order. Gives the number of
/// further deliveries.
#[track_caller]
pub fn assert_in_order(calls: &[Call], rooms: usize, count: usize) -> usize {
    let arrived = arrived(calls);
    assert_eq!(arrived.len(), rooms.min(count), "rooms that got a message");
    let mut first = 0;
    for (room, sequences) in &arrived {
        let mut next = 0;
        for (n, sequence) in sequences.iter().enumerate() {
            assert!(
                *sequence <= next,
                "{room} got {sequence} before {next}: {:?}",
                &sequences[n.saturating_sub(10)..sequences.len().min(n + 10)]
            );
            next = next.max(sequence + 1);
        }
        first += next;
    }
    assert_eq!(first, count, "messages that arrived");
    calls.len() - count
}
