//! From a `PushMsg` to the call that delivers it, its target Comets, and its ordering key.

use std::collections::HashMap;

use bytes::Bytes;

use super::fan_out::FanOut;
use crate::base::text::one_line;
use crate::message::call::{Call, Delivery, Frame, OrderingKey, Target};
use crate::message::fleet::{Change, Node};
use crate::message::proto::push::{PushMsg, push_msg::Type};
use crate::message::{ByComet, CometId, Dialect};

/// Operations for messages without one: to a user or room, and to everybody.
const OP_MESSAGE: i32 = 4;
const OP_BROADCAST: i32 = 5;

/// Routes messages to the Comets of the fleet.
pub struct Router {
    pub(super) comets: ByComet<Node>,
    /// What `PushMsg.server` may say, and which Comet that means.
    servers: HashMap<String, CometId>,
    /// Where a room's messages don't go to all.
    pub(super) fan_out: Option<FanOut>,
    /// Whether a message without an operation gets a usual one.
    usual_operations: bool,
    /// Whether all Comets get what is for users on a server that is none of them.
    unknown_to_all: bool,
}

impl Router {
    /// For these Comets, their ids from 0 on.
    pub fn new(comets: Vec<Node>) -> Self {
        let mut router = Self {
            comets: comets.into(),
            servers: HashMap::new(),
            fan_out: None,
            usual_operations: true,
            unknown_to_all: true,
        };
        router.list_servers();
        router
    }

    /// Routes as Comets of this kind want it. `unknown_to_all`: a message to users on a server that is none of the Comets goes to
    /// all of them.
    pub fn speaking(self, dialect: Dialect, unknown_to_all: bool) -> Self {
        Self {
            usual_operations: dialect.has_usual_operations(),
            unknown_to_all,
            ..self
        }
    }

    /// Routes what comes from now on to the fleet as it is then.
    pub fn change(&mut self, change: &Change) {
        match change {
            Change::Join(comet, node) | Change::Become(comet, node) => {
                self.comets.insert(*comet, node.clone());
            }
            Change::Leave(comet) => {
                self.comets.remove(*comet);
                self.rooms(*comet, None);
            }
        }
        if let Some(fan_out) = &mut self.fan_out {
            fan_out.fleet_changed();
        }
        self.list_servers();
    }

    /// A Comet is meant by its name, its address, or the host in that, where no other Comet has that one. What is more exact wins.
    fn list_servers(&mut self) {
        self.servers.clear();
        for (comet, node) in self.comets.iter() {
            let mut others = self.comets.iter().filter(|(other, _)| *other != comet);
            if others.all(|(_, other)| other.host() != node.host()) {
                self.servers.insert(node.host().to_owned(), comet);
            }
        }
        for (comet, node) in self.comets.iter() {
            self.servers.insert(node.address.clone(), comet);
        }
        for (comet, node) in self.comets.iter() {
            self.servers.insert(node.name.clone(), comet);
        }
    }

    /// How many Comets there are.
    pub fn comets(&self) -> usize {
        self.comets.len()
    }

    /// A Comet's name.
    pub fn name(&self, comet: CometId) -> &str {
        self.comets.get(comet).map_or("?", |node| &node.name)
    }

    /// Routes one message.
    ///
    /// # Errors
    /// The message names no room or user, its type is unknown, or it is for a Comet alone that isn't in the list. The text goes
    /// into the log and the dead letter.
    pub fn route(&self, push: PushMsg) -> Result<Delivery, String> {
        let only = self.only(&push.only)?;
        let mut delivery = self.delivery(push)?;
        if let Some(comet) = only {
            delivery.target = Target::One(comet);
        }
        Ok(delivery)
    }

    /// The Comet that a replayed message is for alone, if it is for one alone.
    fn only(&self, name: &str) -> Result<Option<CometId>, String> {
        if name.is_empty() {
            return Ok(None);
        }
        let mut comets = self.comets.iter();
        match comets.find(|(_, node)| node.is_called(name)) {
            Some((comet, _)) => Ok(Some(comet)),
            None => Err(format!(
                "it was replayed for the Comet {} alone, which isn't in the fleet",
                one_line(name)
            )),
        }
    }

    fn delivery(&self, push: PushMsg) -> Result<Delivery, String> {
        match push.type_.enum_value() {
            Ok(Type::ROOM) if push.room.is_empty() => {
                Err("a message of type ROOM that names no room".into())
            }
            Ok(Type::ROOM) => Ok(self.to_room(push)),
            Ok(Type::PUSH) if !push.keys.is_empty() => self.to_users(push),
            Ok(Type::PUSH) if !push.room.is_empty() => Ok(self.to_room(push)),
            Ok(Type::PUSH) => {
                Err("a message of type PUSH that names neither users nor a room".into())
            }
            Ok(Type::BROADCAST) => Ok(self.to_everybody(push)),
            Err(number) => Err(format!(
                "a message of unknown type {number} (PUSH is 0, ROOM 1, BROADCAST 2)"
            )),
        }
    }

    fn to_users(&self, push: PushMsg) -> Result<Delivery, String> {
        let target = match self.servers.get(&push.server) {
            Some(&comet) => Target::One(comet),
            None if self.unknown_to_all || !push.only.is_empty() => Target::All,
            None => return Err(nowhere(&push.server)),
        };
        Ok(Delivery {
            key: OrderingKey::user(&push.keys[0]),
            target,
            call: Call::PushMsg {
                frame: self.frame(push.operation, OP_MESSAGE, push.msg),
                keys: push.keys,
            },
        })
    }

    fn to_everybody(&self, push: PushMsg) -> Delivery {
        // The speed is the whole system's. Rounded up: a share of 0 would mean no limit.
        let speed = (push.speed.max(0) as u32).div_ceil(self.comets.len().max(1) as u32) as i32;
        Delivery {
            key: OrderingKey::everybody(),
            target: Target::All,
            call: Call::Broadcast {
                speed,
                frame: self.frame(push.operation, OP_BROADCAST, push.msg),
            },
        }
    }

    fn to_room(&self, push: PushMsg) -> Delivery {
        Delivery {
            key: OrderingKey::room(&push.room),
            target: Target::All,
            call: Call::BroadcastRoom {
                frame: self.frame(push.operation, OP_MESSAGE, push.msg),
                room: push.room,
            },
        }
    }

    fn frame(&self, operation: i32, usual: i32, body: Bytes) -> Frame {
        let op = match operation {
            0 if self.usual_operations => usual,
            operation => operation,
        };
        Frame::new(op, body)
    }
}

/// Why a message to users goes nowhere.
fn nowhere(server: &str) -> String {
    match server {
        "" => "it is for users, and names no server".into(),
        server => format!(
            "it is for users on the server {}, which isn't in the fleet",
            one_line(server)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router() -> Router {
        Router::new(vec!["comet-a:50051".into(), "comet-b:50051".into()])
    }

    fn push(type_: Type) -> PushMsg {
        PushMsg {
            type_: type_.into(),
            msg: Bytes::from_static(b"body"),
            ..Default::default()
        }
    }

    #[test]
    fn a_room_message_goes_to_the_room_on_every_comet() {
        let mut message = push(Type::ROOM);
        message.room = "r1".into();
        let delivery = router().route(message).unwrap();
        assert_eq!(delivery.target, Target::All);
        let Call::BroadcastRoom { room, frame } = delivery.call else {
            panic!("not BroadcastRoom: {:?}", delivery.call)
        };
        assert_eq!(room, "r1");
        assert_eq!((frame.op, &frame.body[..]), (4, &b"body"[..]));
    }

    #[test]
    fn users_are_called_on_the_named_comet_and_on_all_where_none_is_known() {
        for (server, target) in [
            ("comet-b:50051", Target::One(CometId(1))),
            ("comet-b", Target::One(CometId(1))),
            ("elsewhere:1", Target::All),
            ("", Target::All),
        ] {
            let mut message = push(Type::PUSH);
            message.keys = vec!["u1".into(), "u2".into()];
            message.room = "r1".into();
            message.server = server.into();
            message.operation = 7;
            let delivery = router().route(message).unwrap();
            assert_eq!(delivery.target, target, "server {server:?}");
            assert_eq!(delivery.key, OrderingKey::user("u1"));
            let Call::PushMsg { keys, frame } = delivery.call else {
                panic!("not PushMsg: {:?}", delivery.call)
            };
            assert_eq!(keys, ["u1", "u2"]);
            assert_eq!(frame.op, 7);
        }
    }

    fn target_of(router: &Router, server: &str) -> Target {
        let message = PushMsg {
            keys: vec!["u1".into()],
            server: server.into(),
            ..push(Type::PUSH)
        };
        router.route(message).unwrap().target
    }

    #[test]
    fn a_server_is_named_by_its_name_its_address_or_a_host_of_its_own() {
        let named = |name: &str, address: &str| Node {
            name: name.into(),
            ..address.into()
        };
        let comets = vec![
            named("comet1", "10.0.0.1:1"),
            named("comet2", "10.0.0.2:1"),
            named("10.0.0.2", "10.0.0.2:2"),
            "10.0.0.3:1".into(),
            "10.0.0.3:2".into(),
        ];
        let router = Router::new(comets);
        for (server, target) in [
            ("comet1", Target::One(CometId(0))),
            ("10.0.0.1", Target::One(CometId(0))),
            ("comet2", Target::One(CometId(1))),
            ("10.0.0.2:1", Target::One(CometId(1))),
            // A name before a host.
            ("10.0.0.2", Target::One(CometId(2))),
            ("10.0.0.3:2", Target::One(CometId(4))),
            // Which of two it is can't be told.
            ("10.0.0.3", Target::All),
            ("Comet1", Target::All),
        ] {
            assert_eq!(target_of(&router, server), target, "{server}");
        }
    }

    #[test]
    fn the_fleet_changes_where_messages_go_and_not_their_keys() {
        let mut router = router();
        let key = |router: &Router| {
            let mut message = push(Type::BROADCAST);
            message.speed = 6;
            let delivery = router.route(message).unwrap();
            let Call::Broadcast { speed, .. } = delivery.call else {
                panic!("not Broadcast")
            };
            (delivery.key, speed)
        };
        assert_eq!(key(&router), (OrderingKey::everybody(), 3));
        router.change(&Change::Join(CometId(5), "comet-c:50051".into()));
        assert_eq!(key(&router), (OrderingKey::everybody(), 2));
        assert_eq!(target_of(&router, "comet-c"), Target::One(CometId(5)));
        let renamed = Node {
            name: "c".into(),
            ..Node::from("comet-x:50051")
        };
        router.change(&Change::Become(CometId(5), renamed));
        assert_eq!(target_of(&router, "comet-c"), Target::All);
        assert_eq!(target_of(&router, "c"), Target::One(CometId(5)));
        router.change(&Change::Leave(CometId(1)));
        assert_eq!(target_of(&router, "comet-b"), Target::All);
        assert_eq!((router.comets(), router.name(CometId(5))), (2, "c"));
    }

    #[test]
    fn a_push_that_names_only_a_room_keeps_its_order_with_the_rooms_messages() {
        let mut by_push = push(Type::PUSH);
        by_push.room = "r1".into();
        let mut by_room = push(Type::ROOM);
        by_room.room = "r1".into();
        let by_push = router().route(by_push).unwrap();
        assert!(matches!(by_push.call, Call::BroadcastRoom { .. }));
        assert_eq!(by_push.key, router().route(by_room).unwrap().key);
    }

    #[test]
    fn a_broadcast_shares_its_speed_among_the_comets() {
        for (speed, share) in [(0, 0), (1, 1), (7, 4), (10, 5), (-3, 0)] {
            let mut message = push(Type::BROADCAST);
            message.speed = speed;
            let Call::Broadcast { speed, frame } = router().route(message).unwrap().call else {
                panic!("not Broadcast")
            };
            assert_eq!((speed, frame.op), (share, 5));
        }
    }

    #[test]
    fn a_message_with_nowhere_to_go_says_why() {
        let mut unknown = push(Type::ROOM);
        unknown.type_ = protobuf::EnumOrUnknown::from_i32(9);
        for (message, word) in [
            (push(Type::ROOM), "no room"),
            (push(Type::PUSH), "neither"),
            (unknown, "unknown type 9"),
        ] {
            let reason = router().route(message).unwrap_err();
            assert!(reason.contains(word), "{reason}");
        }
    }

    #[test]
    fn what_is_for_one_comet_alone_goes_there_and_keeps_its_order() {
        let room = || PushMsg {
            room: "r1".into(),
            ..push(Type::ROOM)
        };
        let users = || PushMsg {
            keys: vec!["u1".into()],
            server: "comet-a".into(),
            ..push(Type::PUSH)
        };
        for message in [room(), users(), push(Type::BROADCAST)] {
            let live = router().route(message.clone()).unwrap();
            let mut only = message;
            only.only = "comet-b:50051".into();
            let expected = Delivery {
                target: Target::One(CometId(1)),
                ..live
            };
            assert_eq!(router().route(only).unwrap(), expected);
        }
        let mut gone = room();
        gone.only = "comet-c".into();
        let reason = router().route(gone).unwrap_err();
        assert!(
            reason.contains("comet-c alone, which isn't in the fleet"),
            "{reason}"
        );
    }

    #[test]
    fn a_room_and_a_user_of_one_name_are_two_keys() {
        assert_ne!(OrderingKey::room("x"), OrderingKey::user("x"));
    }

    #[test]
    fn goims_comets_get_no_usual_operation_and_no_users_that_are_elsewhere() {
        let goim = |unknown_to_all| router().speaking(Dialect::Goim, unknown_to_all);
        let to_user = |server: &str| PushMsg {
            keys: vec!["u1".into()],
            server: server.into(),
            ..push(Type::PUSH)
        };
        let here = goim(false).route(to_user("comet-b")).unwrap();
        assert_eq!(here.target, Target::One(CometId(1)));
        let Call::PushMsg { frame, .. } = here.call else {
            panic!("not PushMsg")
        };
        assert_eq!(frame.op, 0);
        for (server, said) in [("gone\n", "server gone\\n,"), ("", "names no server")] {
            let reason = goim(false).route(to_user(server)).unwrap_err();
            assert!(reason.contains(said), "{reason}");
            let to_all = goim(true).route(to_user(server)).unwrap();
            assert_eq!(to_all.target, Target::All);
        }
        // One of the Comets still needs it: it says which.
        let replayed = PushMsg {
            only: "comet-a:50051".into(),
            ..to_user("gone")
        };
        let to_one = goim(false).route(replayed).unwrap();
        assert_eq!(to_one.target, Target::One(CometId(0)));
    }
}
