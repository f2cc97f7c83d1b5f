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
    shared: Arc<Shared>,
}

/// What the hub and a connection tell each other.
#[derive(Default)]
struct Shared {
    waiting_bytes: AtomicUsize,
    too_slow: Notify,
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
        let mut state = self.state();
        state.stats.calls.push_msg += 1;
        let to: BTreeSet<Id> = keys
            .iter()
            .filter_map(|key| state.keys.get(key))
            .flatten()
            .copied()
            .collect();
        self.hand_out(&mut state, to, body);
    }

    /// A body for everybody.
    pub fn broadcast(&self, body: Bytes) {
        let mut state = self.state();
        state.stats.calls.broadcast += 1;
        let to: Vec<Id> = state.connections.keys().copied().collect();
        self.hand_out(&mut state, to, body);
    }

    /// A body for everybody in a room.
    pub fn broadcast_room(&self, room: &str, body: Bytes) {
        let mut state = self.state();
        state.stats.calls.broadcast_room += 1;
        let to = state.rooms.get(room).cloned().unwrap_or_default();
        self.hand_out(&mut state, to, body);
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
mod tests {
    use futures_util::FutureExt;
    use tokio::sync::mpsc::error::TryRecvError;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    fn too_slow(seat: &Seat) -> bool {
        seat.too_slow().now_or_never().is_some()
    }

    /// What waits for a connection, as text.
    fn waiting(seat: &mut Seat) -> Vec<String> {
        let mut out = Vec::new();
        while let Ok(frame) = seat.frames.try_recv() {
            let data = frame.into_data();
            seat.written(data.len());
            out.push(String::from_utf8(data.to_vec()).unwrap());
        }
        out
    }

    #[test]
    fn a_body_reaches_those_in_the_room_and_nobody_else() {
        let hub = Arc::new(Hub::default());
        let mut a = hub.connect(&names(&["r1", "r2"]), &[]);
        let mut b = hub.connect(&names(&["r2"]), &[]);
        hub.broadcast_room("r1", "one".into());
        hub.broadcast_room("r2", "two".into());
        hub.broadcast_room("r3", "three".into());
        assert_eq!(waiting(&mut a), ["one", "two"]);
        assert_eq!(waiting(&mut b), ["two"]);
    }

    #[test]
    fn joining_and_leaving_take_effect_at_once() {
        let hub = Arc::new(Hub::default());
        let mut a = hub.connect(&[], &[]);
        hub.broadcast_room("r1", "before".into());
        a.join("r1");
        a.join("");
        hub.broadcast_room("r1", "in".into());
        assert_eq!(hub.rooms(), ["r1"]);
        a.leave("r1");
        a.leave("never joined");
        hub.broadcast_room("r1", "after".into());
        assert_eq!(waiting(&mut a), ["in"]);
        assert!(hub.rooms().is_empty());
    }

    #[test]
    fn a_push_is_one_frame_for_each_connection_of_the_users() {
        let hub = Arc::new(Hub::default());
        let mut both = hub.connect(&[], &names(&["u1", "u2"]));
        let mut second = hub.connect(&names(&["u1"]), &names(&["u2"]));
        let mut nobody = hub.connect(&[], &names(&[""]));
        hub.push(&names(&["u1", "u2", "u3", ""]), "hello".into());
        hub.push(&names(&["u1"]), "you".into());
        assert_eq!(waiting(&mut both), ["hello", "you"]);
        assert_eq!(waiting(&mut second), ["hello"]);
        assert!(waiting(&mut nobody).is_empty());
    }

    #[test]
    fn a_broadcast_reaches_everybody_and_a_dropped_seat_is_empty() {
        let hub = Arc::new(Hub::default());
        let mut a = hub.connect(&names(&["r1"]), &[]);
        let b = hub.connect(&names(&["r1", "r2"]), &names(&["u1"]));
        drop(b);
        hub.broadcast("all".into());
        assert_eq!(waiting(&mut a), ["all"]);
        assert_eq!(hub.rooms(), ["r1"]);
        let stats = hub.stats();
        assert_eq!((stats.connections, stats.rooms), (1, 1));
        assert_eq!((stats.bodies, stats.frames, stats.dropped), (1, 1, 0));
        assert_eq!((stats.calls.broadcast, stats.calls.rooms), (1, 1));
    }

    #[test]
    fn a_body_that_is_not_utf_8_goes_as_a_binary_frame() {
        assert_eq!(frame("聊天".into()), Message::text("聊天"));
        assert_eq!(frame(Bytes::new()), Message::text(""));
        let body = Bytes::from_static(b"\xff\x00");
        assert_eq!(frame(body.clone()), Message::Binary(body));
    }

    #[test]
    fn who_reads_too_slowly_is_dropped_and_the_others_go_on() {
        let hub = Arc::new(Hub::new(Limits {
            frames: 2,
            bytes: 1000,
        }));
        let slow = hub.connect(&names(&["r1", "slow"]), &[]);
        let mut quick = hub.connect(&names(&["r1"]), &[]);
        for body in ["1", "2", "3"] {
            hub.broadcast_room("r1", body.into());
            assert_eq!(waiting(&mut quick), [body]);
        }
        assert!(too_slow(&slow) && !too_slow(&quick));
        slow.join("r1");
        assert_eq!(hub.rooms(), ["r1"]);
        let stats = hub.stats();
        assert_eq!((stats.dropped, stats.connections), (1, 1));
    }

    #[test]
    fn bytes_that_wait_are_bounded_and_written_ones_wait_no_longer() {
        let hub = Arc::new(Hub::new(Limits {
            frames: 100,
            bytes: 10,
        }));
        let mut a = hub.connect(&names(&["r1"]), &[]);
        hub.broadcast_room("r1", "1234567890".into());
        assert_eq!(waiting(&mut a).len(), 1);
        hub.broadcast_room("r1", "12345".into());
        assert!(!too_slow(&a));
        hub.broadcast_room("r1", "123456".into());
        assert!(too_slow(&a));
    }

    #[test]
    fn a_stop_ends_those_who_are_here_and_those_who_come() {
        let hub = Arc::new(Hub::default());
        let mut before = hub.connect(&names(&["r1"]), &[]);
        hub.broadcast("last".into());
        hub.stop();
        let after = hub.connect(&names(&["r1"]), &[]);
        after.join("r1");
        hub.broadcast("too late".into());
        assert_eq!(waiting(&mut before), ["last"]);
        for mut seat in [before, after] {
            assert_eq!(seat.frames.try_recv(), Err(TryRecvError::Disconnected));
        }
        let stats = hub.stats();
        assert_eq!((stats.connections, stats.rooms), (0, 0));
    }
}
