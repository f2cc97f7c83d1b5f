//! How long a message may share the memory that it was fetched in.
//!
//! A message's body is never copied on its way: it is a slice of the block that holds Kafka's answer, or what that unpacked
//! to. The block stays in memory while any message of it is held. Usually all settle soon. But a stuck room has messages
//! in many blocks, and would keep them all. So a message that others overtake gets a body of its own.

use super::Message;

/// The least length of a round, in bytes read. Keeping this much is always affordable.
const LEAST_ROUND: usize = 4 << 20;

/// The consumer's part: cuts what it reads into rounds.
///
/// A round ends when as many bytes were read in it as are held. If messages settled in reading order, those of earlier
/// rounds would be gone by then: the remaining ones were overtaken.
#[derive(Debug, Default)]
pub struct Rounds {
    /// Bytes read in this round.
    read: usize,
}

impl Rounds {
    /// Counts bytes that were read.
    pub fn read(&mut self, bytes: usize) {
        self.read += bytes;
    }

    /// Ends the round if as much was read as `held`, in bytes. Returns whether it ended.
    pub fn end(&mut self, held: usize) -> bool {
        let ends = self.read >= held.max(LEAST_ROUND);
        if ends {
            self.read = 0;
        }
        ends
    }
}

/// The worker's part: where a message's body is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    /// In its fetched block, of this round.
    #[default]
    New,
    /// In its fetched block, of an earlier round.
    Old,
    /// In a copy.
    Own,
}

impl Memory {
    /// Records that a round ended. Copies the body of a message from before the round, so that its block is freed.
    pub fn round_ended(&mut self, message: &mut Message) {
        *self = match self {
            Memory::New => Memory::Old,
            Memory::Old => {
                message.copy_body();
                Memory::Own
            }
            Memory::Own => Memory::Own,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;
    use protobuf::Message as _;

    use super::*;
    use crate::consumer::decode::decode;
    use crate::consumer::route::Router;
    use crate::message::proto::push::{PushMsg, push_msg::Type};
    use crate::message::{Assignment, PartitionId, RecordId};

    /// `count` messages, and the block that they were fetched in.
    fn fetched(count: usize) -> (Bytes, Vec<Message>) {
        let push = PushMsg {
            type_: Type::ROOM.into(),
            room: "r1".into(),
            msg: Bytes::from_static(b"body"),
            ..Default::default()
        };
        let value = push.write_to_bytes().unwrap();
        let block = Bytes::from(value.repeat(count));
        let assignment = Assignment {
            partition: PartitionId::of_first(0),
            epoch: 1,
        };
        let mut messages = Vec::new();
        for n in 0..count {
            let bytes = value.len();
            let value = block.slice(n * bytes..(n + 1) * bytes);
            let push = decode(Some(&value)).unwrap();
            let delivery = Router::new(vec!["comet:1".into()]).route(push).unwrap();
            messages.push(Message {
                timestamp: -1,
                record: RecordId {
                    assignment,
                    offset: n as i64,
                },
                bytes,
                delivery,
                trace: None,
                without: None,
                again: false,
            });
        }
        (block, messages)
    }

    #[test]
    fn a_message_keeps_its_block_until_the_end_of_the_next_round() {
        let (block, mut messages) = fetched(2);
        let mut held = messages.pop().unwrap();
        let mut memory = Memory::default();
        drop(messages);
        memory.round_ended(&mut held);
        assert!(!block.is_unique());
        memory.round_ended(&mut held);
        assert!(block.is_unique());
        let body = held.delivery.call.body_mut().clone();
        assert_eq!(&body[..], b"body");
        memory.round_ended(&mut held);
        assert_eq!(held.delivery.call.body_mut().as_ptr(), body.as_ptr());
    }

    /// Reads blocks of ten messages, of so many bytes each, and settles them in order, but for the last `held`; where one is
    /// `stuck`, a message of each block is never settled. Returns how many blocks the stuck ones keep at most, and how
    /// many of the others are copied.
    fn drain(blocks: usize, size: usize, held: usize, stuck: bool) -> (usize, usize) {
        const EACH: usize = 10;
        let mut rounds = Rounds::default();
        let mut settles = VecDeque::<Memory>::new();
        let mut stays = Vec::<Memory>::new();
        let (mut most_kept, mut copied) = (0, 0);
        let (_, mut messages) = fetched(1);
        let any = &mut messages[0];
        for _ in 0..blocks {
            settles.extend([Memory::New; EACH - 1]);
            match stuck {
                true => stays.push(Memory::New),
                false => settles.push_back(Memory::New),
            }
            rounds.read(EACH * size);
            if rounds.end((settles.len() + stays.len()) * size) {
                let all = settles.iter_mut().chain(&mut stays);
                all.for_each(|memory| memory.round_ended(any));
            }
            while settles.len() > held {
                let settled = settles.pop_front();
                copied += usize::from(settled == Some(Memory::Own));
            }
            let kept = stays.iter().filter(|memory| **memory != Memory::Own);
            most_kept = most_kept.max(kept.count());
        }
        (most_kept, copied)
    }

    #[test]
    fn nothing_is_copied_where_all_goes_in_order() {
        for (size, held) in [(100, 4_000), (10_000, 3_000), (1_000_000, 30)] {
            assert_eq!(drain(10_000, size, held, false), (0, 0), "{size} bytes");
        }
    }

    #[test]
    fn what_is_stuck_keeps_two_rounds_at_most() {
        // What is held in the end is less than the least round.
        let (kept, copied) = drain(300, 10_000, 100, true);
        assert!(
            kept <= 2 * LEAST_ROUND.div_ceil(10 * 10_000),
            "{kept} blocks"
        );
        assert_eq!(copied, 0);
    }
}
