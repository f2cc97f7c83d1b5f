//! What is written to Kafka. It must not know what becomes of it.

use protobuf::Message as _;

use super::judge::{Place, Written};
use super::plan::LASTS;
use super::rooms::{ROOMS, room};
use super::world::{What, World};
use crate::message::CometId;
use crate::message::call::{OrderingKey, Target};
use crate::message::proto::push::{PushMsg, push_msg::Type};

/// A flood is so many messages that a Comet refuses, each to another room, and as many good ones behind them.
const FLOOD: usize = 200;

impl World<'_> {
    /// Writes a record: mostly a room's.
    pub fn write(&mut self) {
        let rng = &mut self.records;
        let mut push = PushMsg {
            type_: Type::ROOM.into(),
            ..Default::default()
        };
        let what = rng.u8(..20);
        let number = rng.u8(..ROOMS);
        let one = rng.usize(..self.plan.comets);
        let target = match what {
            0 => None,
            1..=4 => {
                push.type_ = Type::PUSH.into();
                push.keys = vec![format!("user-{one}-{number}")];
                push.server = super::judge::name(one);
                Some(Target::One(CometId(one as u32)))
            }
            5 => {
                push.type_ = Type::BROADCAST.into();
                Some(Target::All)
            }
            _ => {
                push.room = room(number);
                Some(self.plan.target(number))
            }
        };
        let key = match what {
            5 => OrderingKey::everybody(),
            1..=4 => OrderingKey::user(&push.keys[0]),
            _ => OrderingKey::room(&push.room),
        };
        let refused_by = (rng.u8(..50) == 0).then_some(one);
        let is_room = !push.room.is_empty();
        let refused_by = refused_by
            .filter(|one| target.is_some() && (!is_room || self.plan.is_for(number, *one)));
        let wait = self.plan.between.mul_f64(rng.f64() * 2.0);
        self.write_one(push, key, target, refused_by);
        self.records_came();
        if self.now + wait < LASTS {
            self.later(wait, What::Write);
        }
    }

    /// Many messages come at once. The Comet refuses those that come first.
    pub fn flood(&mut self, comet: usize) {
        for n in 0..2 * FLOOD {
            let push = PushMsg {
                type_: Type::ROOM.into(),
                room: format!("flooded-{n}"),
                ..Default::default()
            };
            let key = OrderingKey::room(&push.room);
            let refused_by = (n < FLOOD).then_some(comet);
            self.write_one(push, key, Some(Target::All), refused_by);
        }
        self.records_came();
    }

    /// Writes a message to a room that crashes each Comet which gets it.
    pub fn write_crashing(&mut self) {
        let push = PushMsg {
            type_: Type::ROOM.into(),
            room: room(0),
            ..Default::default()
        };
        let key = OrderingKey::room(&push.room);
        let target = self.plan.target(0);
        let place = self.write_one(push, key, Some(target), None);
        self.crashing.insert(place);
        self.judge.crashes(place);
        self.records_came();
    }

    /// Writes a record, or without a `target` one that can't be decoded.
    fn write_one(
        &mut self,
        mut push: PushMsg,
        key: OrderingKey,
        target: Option<Target>,
        refused_by: Option<usize>,
    ) -> Place {
        let index = (key.0 % self.plan.partitions as u64) as i32;
        let partition = self.plan.partition(index);
        let offset = self.kafka.end(partition);
        push.msg = format!("{} {} {offset}", partition.topic.0, partition.index).into();
        let bytes = match target {
            None => "no PushMsg".into(),
            Some(_) => push.write_to_bytes().expect("a message").into(),
        };
        let place = self.kafka.write(partition, bytes);
        if let Some(comet) = refused_by {
            self.refused.insert(place, comet);
        }
        let record = Written {
            at: self.now,
            key: key.0,
            target,
            refused_by,
        };
        self.judge.written(place, record);
        place
    }
}
