//! What is to be called, where, and in which order.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;

use super::CometId;

/// `Proto.ver` of every frame.
pub const VERSION: i32 = 1;

/// A message on its way: what to call, where, and in which order.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    pub key: OrderingKey,
    pub target: Target,
    pub call: Call,
}

/// Messages of one key are delivered one after the other, in offset order.
///
/// A hash stands for the room or user: two that collide share their order, which costs time and breaks nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderingKey(pub u64);

impl OrderingKey {
    pub fn room(room: &str) -> Self {
        Self::hash((0u8, room))
    }

    pub fn user(key: &str) -> Self {
        Self::hash((1u8, key))
    }

    pub fn everybody() -> Self {
        Self::hash(2u8)
    }

    fn hash(of: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        of.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Takes an [`OrderingKey`] for the hash that it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }

    fn write(&mut self, bytes: &[u8]) {
        // Not called for a key; any hash serves.
        self.0 = bytes
            .iter()
            .fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Which Comets get a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    All,
    One(CometId),
    /// Those that have its room.
    Some(Arc<[CometId]>),
}

impl Target {
    pub fn has(&self, comet: CometId) -> bool {
        match self {
            Self::All => true,
            Self::One(one) => *one == comet,
            Self::Some(comets) => comets.contains(&comet),
        }
    }
}

/// What to call, and with what: the same at every Comet of the target.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// To users, by their keys.
    PushMsg {
        keys: Vec<String>,
        frame: Frame,
    },
    BroadcastRoom {
        room: String,
        frame: Frame,
    },
    /// To everybody, at this Comet's share of the speed.
    Broadcast {
        speed: i32,
        frame: Frame,
    },
}

/// What is called at a Comet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    PushMsg,
    BroadcastRoom,
    Broadcast,
}

pub const METHODS: [Method; 3] = [Method::PushMsg, Method::BroadcastRoom, Method::Broadcast];

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Method::PushMsg => "PushMsg",
            Method::BroadcastRoom => "BroadcastRoom",
            Method::Broadcast => "Broadcast",
        }
    }
}

impl Call {
    pub fn method(&self) -> Method {
        match self {
            Self::PushMsg { .. } => Method::PushMsg,
            Self::BroadcastRoom { .. } => Method::BroadcastRoom,
            Self::Broadcast { .. } => Method::Broadcast,
        }
    }

    pub fn body_mut(&mut self) -> &mut Bytes {
        match self {
            Self::PushMsg { frame, .. }
            | Self::BroadcastRoom { frame, .. }
            | Self::Broadcast { frame, .. } => &mut frame.body,
        }
    }
}

/// What the Comet passes on to people. Its body is the message's, byte for byte, or several messages in one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    /// The call's `protoOp`, too, where it has one: goim's Comet passes the frame on only to those who accept that.
    pub op: i32,
    pub body: Bytes,
    /// Whether the body is frames of goim's already.
    pub is_framed: bool,
}

impl Frame {
    pub fn new(op: i32, body: impl Into<Bytes>) -> Self {
        Self {
            op,
            body: body.into(),
            is_framed: false,
        }
    }
}

impl Default for Call {
    fn default() -> Self {
        Self::BroadcastRoom {
            room: String::new(),
            frame: Frame::default(),
        }
    }
}
