//! Who is here, in which rooms and under which user keys, and each connection's queue of frames.
//!
//! A call has been taken when its frame is in the queue of everybody who should have it. Queues are filled under
//! one lock, so frames leave in the order in which calls came.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::ws::{Message, Utf8Bytes};
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{Notify, mpsc};

/// How much may wait for one connection before it is dropped as too slow.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Frames.
    pub frames: usize,
    /// Bytes of their bodies. Connections share a body's memory.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            frames: 100_000,
            bytes: 64 << 20,
        }
    }
}

/// What has happened since the start, and who is here now. Answered at `/stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Calls taken, by RPC.
    pub calls: Calls,
    /// Bodies that came with them.
    pub bodies: u64,
    /// Frames put into queues: a body to three connections makes three.
    pub frames: u64,
    /// Connections open now.
    pub connections: usize,
    /// Connections dropped because they read too slowly.
    pub dropped: u64,
    /// Rooms with somebody in them now.
    pub rooms: usize,
}

/// Calls taken, under the names that the service gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Calls {
    pub push_msg: u64,
    pub broadcast: u64,
    pub broadcast_room: u64,
    pub rooms: u64,
}

type Id = u64;

/// The connections of this Comet.
#[derive(Default)]
pub struct Hub {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_id: Id,
    stopping: bool,
    connections: BTreeMap<Id, Connection>,
    rooms: HashMap<String, BTreeSet<Id>>,
    keys: HashMap<String, BTreeSet<Id>>,
    stats: Stats,
}

struct Connection {
    frames: mpsc::Sender<Message>,
    /// Operations that it wants to be called with, where a Comet filters.
    accepts: BTreeSet<i32>,
    shared: Arc<Shared>,
}

/// What the hub and a connection tell each other.
#[derive(Default)]
struct Shared {
    waiting_bytes: AtomicUsize,
    too_slow: Notify,
}

/// Whom a call is for.
#[derive(Clone, Copy, Debug)]
pub enum To<'a> {
    Users(&'a [String]),
    Everybody,
    Room(&'a str),
}

/// One connection's place in the hub. Dropping it leaves all rooms.
pub struct Seat {
    hub: Arc<Hub>,
    id: Id,
    shared: Arc<Shared>,
    /// What is to be written, in order. It ends when the Comet stops.
    pub frames: mpsc::Receiver<Message>,
}

impl Hub {
    pub fn new(limits: Limits) -> Self {
        Hub {
            limits,
            state: Mutex::default(),
        }
    }

    /// Takes in a connection. Empty names are no rooms and no keys.
    pub fn connect(self: &Arc<Self>, rooms: &[String], keys: &[String]) -> Seat {
        let (frames, frames_out) = mpsc::channel(self.limits.frames);
        let shared = Arc::new(Shared::default());
        let mut state = self.state();
        state.last_id += 1;
        let id = state.last_id;
        if !state.stopping {
            let connection = Connection {
                frames,
                accepts: BTreeSet::new(),
                shared: shared.clone(),
            };
            state.connections.insert(id, connection);
            for room in rooms {
                join(&mut state.rooms, room, id);
            }
            for key in keys {
                join(&mut state.keys, key, id);
            }
        }
        Seat {
            hub: self.clone(),
            id,
            shared,
            frames: frames_out,
        }
    }

    /// A body for the connections of these users: one frame each, also where several keys are one's own.
    pub fn push(&self, keys: &[String], body: Bytes) {
        self.deliver(To::Users(keys), None, &[body]);
    }

    /// A body for everybody.
    pub fn broadcast(&self, body: Bytes) {
        self.deliver(To::Everybody, None, &[body]);
    }

    /// A body for everybody in a room.
    pub fn broadcast_room(&self, room: &str, body: Bytes) {
        self.deliver(To::Room(room), None, &[body]);
    }

    /// The bodies of one call, for those of these people who accept the operation, if there is one.
    pub fn deliver(&self, to: To<'_>, operation: Option<i32>, bodies: &[Bytes]) {
        let mut state = self.state();
        let calls = &mut state.stats.calls;
        *match to {
            To::Users(_) => &mut calls.push_msg,
            To::Everybody => &mut calls.broadcast,
            To::Room(_) => &mut calls.broadcast_room,
        } += 1;
        let mut to = state.who(to);
        if let Some(operation) = operation {
            to.retain(|id| state.connections[id].accepts.contains(&operation));
        }
        for body in bodies {
            self.hand_out(&mut state, to.iter().copied(), body.clone());
        }
    }

    /// The rooms with somebody in them, as the Rooms call asks for them.
    pub fn rooms(&self) -> Vec<String> {
        let mut state = self.state();
        state.stats.calls.rooms += 1;
        state.rooms.keys().cloned().collect()
    }

    /// Counts up to now.
    pub fn stats(&self) -> Stats {
        let state = self.state();
        Stats {
            connections: state.connections.len(),
            rooms: state.rooms.len(),
            ..state.stats.clone()
        }
    }

    /// Ends the queue of every connection, behind what is in it, and of those that still come.
    pub fn stop(&self) {
        let mut state = self.state();
        state.stopping = true;
        state.connections.clear();
        state.rooms.clear();
        state.keys.clear();
    }

    /// Queues a body for each of these connections; one that has too much waiting is dropped.
    fn hand_out(&self, state: &mut State, to: impl IntoIterator<Item = Id>, body: Bytes) {
        state.stats.bodies += 1;
        let size = body.len();
        let frame = frame(body);
        for id in to {
            let Some(connection) = state.connections.get(&id) else {
                continue;
            };
            let waiting = connection.shared.waiting_bytes.load(Ordering::Relaxed);
            if waiting + size <= self.limits.bytes
                && connection.frames.try_send(frame.clone()).is_ok()
            {
                connection
                    .shared
                    .waiting_bytes
                    .fetch_add(size, Ordering::Relaxed);
                state.stats.frames += 1;
            } else {
                connection.shared.too_slow.notify_one();
                state.stats.dropped += 1;
                state.remove(id);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the hub's lock is never poisoned")
    }
}

impl State {
    fn who(&self, to: To<'_>) -> BTreeSet<Id> {
        match to {
            To::Users(keys) => {
                let ids = keys.iter().filter_map(|key| self.keys.get(key));
                ids.flatten().copied().collect()
            }
            To::Everybody => self.connections.keys().copied().collect(),
            To::Room(room) => self.rooms.get(room).cloned().unwrap_or_default(),
        }
    }

    fn remove(&mut self, id: Id) {
        if self.connections.remove(&id).is_none() {
            return;
        }
        for names in [&mut self.rooms, &mut self.keys] {
            names.retain(|_, ids| {
                ids.remove(&id);
                !ids.is_empty()
            });
        }
    }
}

impl Seat {
    /// Frames for this room come from now on.
    pub fn join(&self, room: &str) {
        let mut state = self.hub.state();
        if state.connections.contains_key(&self.id) {
            join(&mut state.rooms, room, self.id);
        }
    }

    /// Calls with these operations reach it from now on, where a Comet filters.
    pub fn accept(&self, operations: &[i32]) {
        if let Some(connection) = self.hub.state().connections.get_mut(&self.id) {
            connection.accepts.extend(operations);
        }
    }

    /// Frames for this room come no longer; those already queued still do.
    pub fn leave(&self, room: &str) {
        let mut state = self.hub.state();
        if let Some(ids) = state.rooms.get_mut(room) {
            ids.remove(&self.id);
            if ids.is_empty() {
                state.rooms.remove(room);
            }
        }
    }

    /// Says that so many bytes of bodies have been written and wait no longer.
    pub fn written(&self, bytes: usize) {
        self.shared
            .waiting_bytes
            .fetch_sub(bytes, Ordering::Relaxed);
    }

    /// How much may wait.
    pub fn limits(&self) -> Limits {
        self.hub.limits
    }

    /// Comes when the hub has dropped this connection because more than its [`Limits`] waited.
    pub fn too_slow(&self) -> impl Future<Output = ()> + use<> {
        let shared = self.shared.clone();
        async move { shared.too_slow.notified().await }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hub.state().remove(self.id);
    }
}

fn join(names: &mut HashMap<String, BTreeSet<Id>>, name: &str, id: Id) {
    if !name.is_empty() {
        names.entry(name.to_owned()).or_default().insert(id);
    }
}

/// A body as people get it: text where it is UTF-8 and binary where not, its bytes unchanged.
fn frame(body: Bytes) -> Message {
    match Utf8Bytes::try_from(body.clone()) {
        Ok(text) => Message::Text(text),
        Err(_) => Message::Binary(body),
    }
}

#[cfg(test)]
mod tests;
