//! Comets tell their rooms, or don't, and jobs send a room's messages where it is.
//!
//! Each Comet has some rooms for the whole life: it must get all their messages. Others come and go; nobody can say which of their
//! messages a job still sent.

use std::sync::Arc;
use std::time::Duration;

use super::kafka::Member;
use super::plan::Plan;
use super::world::{What, World};
use crate::consumer::core as consumer;
use crate::message::CometId;
use crate::message::call::{OrderingKey, Target};
use crate::message::rooms::RoomList;

/// The rooms are `room-0` and so on.
pub const ROOMS: u8 = 4;

pub fn room(number: u8) -> String {
    format!("room-{number}")
}

impl Plan {
    /// Whether a Comet has a room for its whole life.
    fn has(&self, comet: usize, number: u8) -> bool {
        let of = (comet as u64) << 8 | u64::from(number);
        fastrand::Rng::with_seed(self.seed ^ 0x7007 ^ of << 16).bool()
    }

    /// Whom a room's messages are for.
    pub fn target(&self, number: u8) -> Target {
        if !self.by_rooms {
            return Target::All;
        }
        let all = 0..self.comets + self.joiners;
        let have = all.filter(|comet| self.has(*comet, number));
        Target::Some(have.map(|comet| CometId(comet as u32)).collect())
    }

    /// Whether a Comet has to get a room's messages.
    pub fn is_for(&self, number: u8, comet: usize) -> bool {
        self.target(number).has(CometId(comet as u32))
    }
}

impl World<'_> {
    /// A job hears of some Comets' rooms from now on.
    pub fn asks_rooms(&mut self, member: Member) {
        if self.plan.by_rooms {
            let wait = Duration::from_millis(self.rng.u64(..3_000));
            self.later(wait, What::Rooms(member));
        }
    }

    pub fn tells_rooms(&mut self, member: Member) {
        if self.cores(member).is_none() {
            return;
        }
        for comet in self.judge.fleet() {
            let list: Option<RoomList> = match self.rng.u8(..10) {
                // It answers later.
                0..=2 => continue,
                // What it told is too old, or it has just started.
                3 => None,
                4 => Some([].into_iter().collect()),
                _ => {
                    let plan = self.plan;
                    let rng = &mut self.rng;
                    let has = |number: &u8| plan.has(comet, *number) || rng.u8(..4) == 0;
                    let rooms = (0..ROOMS).filter(has).map(room);
                    // Somebody is in a room of their own.
                    let rooms = rooms.chain([format!("home-{comet}")]);
                    Some(rooms.map(|room| OrderingKey::room(&room)).collect())
                }
            };
            let comet = CometId(comet as u32);
            self.step_consumer(member, consumer::Event::Rooms(comet, list.map(Arc::new)));
        }
        self.asks_rooms(member);
    }
}
