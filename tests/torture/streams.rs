//! What is sent: streams of numbered messages, each to a room, a user or everybody.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use bytes::Bytes;
use chatroom_job::message::proto::push::PushMsg;
use chatroom_job::message::proto::push::push_msg::Type;
use fastrand::Rng;
use protobuf::Message;

/// A stream's place in [`Streams`].
pub type Stream = usize;

/// So many partitions can be added to the topic, and so many rooms are in each of them.
pub const ADDED_AT_MOST: i32 = 8;
const ROOMS_OF_ADDED: usize = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    Room,
    /// A user at this Comet, or at one that isn't known.
    User {
        comet: Option<usize>,
    },
    Everybody,
}

/// All streams, how they are named, and where they are: each stays in one partition.
pub struct Streams {
    /// First the rooms, then those of the partitions that may be added, then the others.
    names: Vec<(String, To)>,
    by_name: HashMap<String, Stream>,
    rooms: usize,
    comets: usize,
    /// Partitions at the beginning.
    partitions: i32,
}

impl Streams {
    pub fn new(rooms: usize, comets: usize, partitions: i32) -> Streams {
        let mut names: Vec<(String, To)> = (0..rooms)
            .map(|n| (format!("room-{n}"), To::Room))
            .collect();
        for added in partitions..partitions + ADDED_AT_MOST {
            let of_it = (0..ROOMS_OF_ADDED).map(|n| (format!("added-{added}-{n}"), To::Room));
            names.extend(of_it);
        }
        names.extend((0..comets).map(|n| (format!("user-{n}"), To::User { comet: Some(n) })));
        names.extend((0..2).map(|n| (format!("someone-{n}"), To::User { comet: None })));
        names.push(("everybody".into(), To::Everybody));
        let by_name = names
            .iter()
            .enumerate()
            .map(|(n, (name, _))| (name.clone(), n))
            .collect();
        Streams {
            names,
            by_name,
            rooms,
            comets,
            partitions,
        }
    }

    pub fn count(&self) -> usize {
        self.names.len()
    }

    pub fn name(&self, stream: Stream) -> &str {
        &self.names[stream].0
    }

    /// One to send to next while the topic has so many partitions: most go to rooms, and many of those to one of them.
    pub fn draw(&self, rng: &mut Rng, partitions: i32) -> Stream {
        let added = (partitions - self.partitions).clamp(0, ADDED_AT_MOST) as usize;
        match rng.u32(0..100) {
            0..10 => 0,
            10..90 => rng.usize(0..self.rooms + added * ROOMS_OF_ADDED),
            _ => rng.usize(self.others()..self.names.len()),
        }
    }

    /// The first that isn't a room.
    fn others(&self) -> Stream {
        self.rooms + ADDED_AT_MOST as usize * ROOMS_OF_ADDED
    }

    /// The partition that it is in, from the first message to the last.
    pub fn partition(&self, stream: Stream) -> i32 {
        if (self.rooms..self.others()).contains(&stream) {
            self.partitions + ((stream - self.rooms) / ROOMS_OF_ADDED) as i32
        } else {
            stream as i32 % self.partitions
        }
    }

    /// Whether this Comet is to get it.
    pub fn reaches(&self, stream: Stream, comet: usize) -> bool {
        match self.names[stream].1 {
            To::User { comet: Some(only) } => only == comet,
            _ => true,
        }
    }

    /// How many Comets are to get it.
    pub fn reach(&self, stream: Stream) -> usize {
        (0..self.comets)
            .filter(|c| self.reaches(stream, *c))
            .count()
    }

    /// The value of a record.
    pub fn encode(&self, stream: Stream, sequence: u32, padding: usize) -> Vec<u8> {
        let (name, to) = &self.names[stream];
        let body = format!("{name} {sequence} {}", ".".repeat(padding));
        let mut push = PushMsg {
            operation: 4,
            msg: Bytes::from(body),
            ..Default::default()
        };
        match to {
            To::Room => {
                push.type_ = Type::ROOM.into();
                push.room = name.clone();
            }
            To::User { comet } => {
                push.type_ = Type::PUSH.into();
                push.keys = vec![name.clone()];
                let host = comet.map(|comet| comet_host(comet).to_string());
                push.server = host.unwrap_or_default();
            }
            To::Everybody => push.type_ = Type::BROADCAST.into(),
        }
        push.write_to_bytes().unwrap_or_default()
    }

    /// Which message a body is.
    pub fn parse(&self, body: &str) -> Option<(Stream, u32)> {
        let mut words = body.split(' ');
        let stream = *self.by_name.get(words.next()?)?;
        Some((stream, words.next()?.parse().ok()?))
    }

    /// Which message a record's value is; `None` for one that can't be delivered.
    pub fn decode(&self, value: &[u8]) -> Option<(Stream, u32)> {
        let push = PushMsg::parse_from_bytes(value).ok()?;
        self.parse(std::str::from_utf8(&push.msg).ok()?)
    }

    /// Whether a call with this target is the right one for the stream.
    pub fn is_called_by(&self, stream: Stream, rpc: &str, target: &str) -> bool {
        let (name, to) = &self.names[stream];
        match to {
            To::Room => rpc == "BroadcastRoom" && target == name,
            To::User { .. } => rpc == "PushMsg" && target == name,
            To::Everybody => rpc == "Broadcast",
        }
    }
}

/// The address at which all jobs know a Comet, each at a port of its own.
pub fn comet_host(comet: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 11 + comet as u8)
}

/// The value of a record that can't be delivered.
pub fn poison(rng: &mut Rng) -> Option<Vec<u8>> {
    match rng.u32(0..5) {
        0 => None,
        1 => Some(Vec::new()),
        // A length that goes beyond the end.
        2 => Some(vec![0x2a, 0x7f, rng.u8(..), rng.u8(..)]),
        3 => Some(
            PushMsg {
                type_: Type::ROOM.into(),
                msg: Bytes::from_static(b"no room"),
                ..Default::default()
            }
            .write_to_bytes()
            .unwrap_or_default(),
        ),
        _ => Some(
            [0xff; 64]
                .iter()
                .map(|byte| byte ^ (rng.u8(..) & 0x0f))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_stays_where_it_is_and_new_partitions_get_new_rooms() {
        let streams = Streams::new(10, 3, 4);
        let mut rng = Rng::with_seed(1);
        for partitions in 4..=4 + ADDED_AT_MOST {
            let drawn: Vec<Stream> = (0..5_000)
                .map(|_| streams.draw(&mut rng, partitions))
                .collect();
            for partition in 0..partitions {
                assert!(drawn.iter().any(|s| streams.partition(*s) == partition));
            }
            assert!(drawn.iter().all(|s| streams.partition(*s) < partitions));
        }
        let added = streams.by_name["added-5-2"];
        assert_eq!(streams.partition(added), 5);
    }
}
