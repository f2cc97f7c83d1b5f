//! Which Comets get a room's messages, where not all do (`--fan-out rooms`).
//!
//! A Comet is left out of a room's messages only by its own word: it told its rooms, lately, and this one isn't among them, while
//! another Comet has it. Whatever isn't known counts as there. So does a Comet that tells no room at all: one that doesn't know the
//! question answers it in the same way.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::route::Router;
use crate::message::CometId;
use crate::message::call::{Call, Delivery, OrderingKey, Target};
use crate::message::rooms::RoomList;

/// How many rooms have their answer kept until a list changes.
const KEPT: usize = 4_096;

impl Router {
    /// Has a room's messages go to the Comets alone that have it.
    pub fn by_rooms(&mut self) {
        self.fan_out = Some(FanOut::new());
    }

    /// Takes what a Comet told of its rooms. `None`: what it told no longer counts.
    pub fn rooms(&mut self, comet: CometId, rooms: Option<Arc<RoomList>>) {
        if let Some(fan_out) = &mut self.fan_out {
            fan_out.note(comet, rooms);
        }
    }

    /// Leaves out the Comets that don't have a message's room. Returns how many these are.
    pub fn narrow(&mut self, delivery: &mut Delivery) -> usize {
        let Some(fan_out) = &mut self.fan_out else {
            return 0;
        };
        if let (Target::All, Call::BroadcastRoom { .. }) = (&delivery.target, &delivery.call) {
            // The key is the room's.
            delivery.target = fan_out.target(delivery.key, self.comets.ids());
        }
        match &delivery.target {
            Target::Some(comets) => self.comets.len() - comets.len(),
            Target::All | Target::One(_) => 0,
        }
    }
}

/// The lists that count, and what follows from them.
pub struct FanOut {
    lists: BTreeMap<CometId, Arc<RoomList>>,
    /// Grows with each change of the lists or the fleet.
    generation: u64,
    kept: Vec<Option<Kept>>,
}

struct Kept {
    room: OrderingKey,
    generation: u64,
    target: Target,
}

impl FanOut {
    pub fn new() -> Self {
        Self {
            lists: BTreeMap::new(),
            generation: 0,
            kept: Vec::new(),
        }
    }

    /// Takes what a Comet told, in the place of what it told before. `None`: what it told no longer counts.
    pub fn note(&mut self, comet: CometId, rooms: Option<Arc<RoomList>>) {
        let rooms = rooms.filter(|rooms| !rooms.is_empty());
        let changes = self.lists.get(&comet) != rooms.as_ref();
        match rooms {
            Some(rooms) => drop(self.lists.insert(comet, rooms)),
            None => drop(self.lists.remove(&comet)),
        }
        self.generation += u64::from(changes);
    }

    /// The Comets that `comets` says are other ones than before.
    pub fn fleet_changed(&mut self) {
        self.generation += 1;
    }

    /// Which of `comets` get a message to this room.
    pub fn target(
        &mut self,
        room: OrderingKey,
        comets: impl Iterator<Item = CometId> + Clone,
    ) -> Target {
        if self.lists.is_empty() {
            return Target::All;
        }
        self.kept.resize_with(KEPT, || None);
        let place = room.0 as usize % KEPT;
        if let Some(kept) = &self.kept[place]
            && (kept.room, kept.generation) == (room, self.generation)
        {
            return kept.target.clone();
        }
        let target = self.find(room, comets);
        self.kept[place] = Some(Kept {
            room,
            generation: self.generation,
            target: target.clone(),
        });
        target
    }

    fn find(&self, room: OrderingKey, comets: impl Iterator<Item = CometId> + Clone) -> Target {
        let mut all = true;
        let mut is_told = false;
        let get_it = comets.filter(|comet| match self.lists.get(comet) {
            None => true,
            Some(rooms) => {
                let has = rooms.has(room);
                all &= has;
                is_told |= has;
                has
            }
        });
        let get_it: Arc<[CometId]> = get_it.collect();
        match is_told && !all {
            true => Target::Some(get_it),
            false => Target::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::fleet::Change;
    use crate::message::proto::push::{PushMsg, push_msg::Type};
    use proptest::prelude::*;

    fn room(n: u64) -> OrderingKey {
        OrderingKey::room(&n.to_string())
    }

    fn list(rooms: &[u64]) -> Option<Arc<RoomList>> {
        let rooms = rooms.iter().map(|n| room(*n));
        Some(Arc::new(rooms.collect()))
    }

    fn comets(of: u32) -> impl Iterator<Item = CometId> + Clone {
        (0..of).map(CometId)
    }

    fn some(of: &[u32]) -> Target {
        Target::Some(of.iter().copied().map(CometId).collect())
    }

    #[test]
    fn a_comet_is_left_out_by_its_own_word_alone() {
        let mut fan_out = FanOut::new();
        assert_eq!(fan_out.target(room(1), comets(3)), Target::All);
        fan_out.note(CometId(0), list(&[1, 2]));
        // Nobody else has said anything.
        assert_eq!(fan_out.target(room(1), comets(3)), Target::All);
        fan_out.note(CometId(1), list(&[2]));
        assert_eq!(fan_out.target(room(1), comets(3)), some(&[0, 2]));
        assert_eq!(fan_out.target(room(2), comets(3)), Target::All);
        fan_out.note(CometId(2), list(&[3]));
        assert_eq!(fan_out.target(room(1), comets(3)), some(&[0]));
        assert_eq!(fan_out.target(room(2), comets(3)), some(&[0, 1]));
        assert_eq!(fan_out.target(room(3), comets(3)), some(&[2]));
        // A room that nobody has told may be new.
        assert_eq!(fan_out.target(room(4), comets(3)), Target::All);
    }

    #[test]
    fn who_tells_no_room_or_told_long_ago_gets_all() {
        let mut fan_out = FanOut::new();
        fan_out.note(CometId(0), list(&[1]));
        fan_out.note(CometId(1), list(&[2]));
        assert_eq!(fan_out.target(room(1), comets(2)), some(&[0]));
        for nothing in [list(&[]), None] {
            fan_out.note(CometId(1), nothing);
            assert_eq!(fan_out.target(room(1), comets(2)), Target::All);
            fan_out.note(CometId(1), list(&[2]));
            assert_eq!(fan_out.target(room(1), comets(2)), some(&[0]));
        }
    }

    #[test]
    fn a_comet_that_joins_gets_all_at_once() {
        let mut fan_out = FanOut::new();
        fan_out.note(CometId(0), list(&[1]));
        fan_out.note(CometId(1), list(&[2]));
        assert_eq!(fan_out.target(room(1), comets(2)), some(&[0]));
        fan_out.fleet_changed();
        assert_eq!(fan_out.target(room(1), comets(3)), some(&[0, 2]));
    }

    #[test]
    fn rooms_messages_alone_are_narrowed() {
        let mut router = Router::new(vec!["a:1".into(), "b:1".into(), "c:1".into()]);
        router.by_rooms();
        router.rooms(CometId(0), list(&[1]));
        router.rooms(CometId(1), list(&[2]));
        let to_room = PushMsg {
            type_: Type::ROOM.into(),
            room: "1".into(),
            ..Default::default()
        };
        let to_users = PushMsg {
            type_: Type::PUSH.into(),
            keys: vec!["1".into()],
            ..Default::default()
        };
        let to_all = PushMsg {
            type_: Type::BROADCAST.into(),
            ..Default::default()
        };
        let replayed = PushMsg {
            only: "b:1".into(),
            ..to_room.clone()
        };
        for (push, target, spared) in [
            (&to_room, some(&[0, 2]), 1),
            (&to_users, Target::All, 0),
            (&to_all, Target::All, 0),
            (&replayed, Target::One(CometId(1)), 0),
        ] {
            let mut delivery = router.route(push.clone()).expect("it has somewhere to go");
            assert_eq!(router.narrow(&mut delivery), spared, "{push:?}");
            assert_eq!(delivery.target, target);
        }
        router.change(&Change::Leave(CometId(1)));
        router.change(&Change::Join(CometId(3), "d:1".into()));
        let mut delivery = router.route(to_room).expect("it has somewhere to go");
        assert_eq!(
            router.narrow(&mut delivery),
            0,
            "nobody told that it isn't there"
        );
        assert_eq!(delivery.target, Target::All);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Tells(u32, Option<Vec<u64>>),
        Fleet(u32),
        Message(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let rooms = prop::option::weighted(0.8, prop::collection::vec(0..6_u64, 0..5));
        let step = prop_oneof![
            3 => (0..6_u32, rooms).prop_map(|(comet, rooms)| Step::Tells(comet, rooms)),
            1 => (1..6_u32).prop_map(Step::Fleet),
            5 => (0..8_u64).prop_map(Step::Message),
        ];
        prop::collection::vec(step, 1..80)
    }

    proptest! {
        /// A model: who has the room by its own word, or has no word that counts, is never left out.
        #[test]
        fn nobody_who_may_have_the_room_is_left_out(steps in steps()) {
            let (mut fan_out, mut fleet) = (FanOut::new(), 3);
            let mut told: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Tells(comet, rooms) => {
                        fan_out.note(CometId(comet), rooms.as_deref().and_then(list));
                        match rooms.filter(|rooms| !rooms.is_empty()) {
                            Some(rooms) => drop(told.insert(comet, rooms)),
                            None => drop(told.remove(&comet)),
                        }
                    }
                    Step::Fleet(of) => {
                        fleet = of;
                        fan_out.fleet_changed();
                    }
                    Step::Message(n) => {
                        let has = |comet: &u32| told.get(comet).is_none_or(|rooms| rooms.contains(&n));
                        let is_told = |comet: &u32| told.get(comet).is_some_and(|rooms| rooms.contains(&n));
                        let expected: Vec<u32> = match (0..fleet).any(|comet| is_told(&comet)) {
                            true => (0..fleet).filter(has).collect(),
                            false => (0..fleet).collect(),
                        };
                        let target = match fan_out.target(room(n), comets(fleet)) {
                            Target::All => (0..fleet).collect(),
                            Target::Some(comets) => comets.iter().map(|comet| comet.0).collect(),
                            Target::One(comet) => vec![comet.0],
                        };
                        prop_assert_eq!(target, expected);
                    }
                }
            }
        }
    }
}
