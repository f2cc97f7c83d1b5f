//! A real gRPC server in Comet's place. It writes down what it gets, and answers as the test says.

use std::any::Any;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chatroom_job::comet::methods;
use chatroom_job::message::proto::comet::RoomsReply;
use chatroom_job::message::proto::protocol::Proto;
use grpcio::{
    EnvBuilder, Environment, RpcContext, RpcStatus, RpcStatusCode, Server, ServerBuilder,
    ServerCredentials, Service, ServiceBuilder, UnarySink,
};

use super::{await_until, free_port, runtime};

/// One call as it came.
#[derive(Clone, Debug)]
pub struct Call {
    pub rpc: Rpc,
    pub room: String,
    pub keys: Vec<String>,
    /// `protoOp` of PushMsg and Broadcast.
    pub operation: i32,
    pub speed: i32,
    pub ver: i32,
    pub op: i32,
    pub seq: i32,
    pub body: Bytes,
    /// When it came.
    pub at: Instant,
    /// What came along with it.
    pub metadata: Vec<(String, Vec<u8>)>,
    /// What this Comet answered; `None` while it has not.
    pub answer: Option<RpcStatusCode>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rpc {
    PushMsg,
    Broadcast,
    BroadcastRoom,
    Rooms,
}

impl Call {
    fn new(rpc: Rpc, proto: Proto) -> Call {
        Call {
            rpc,
            room: String::new(),
            keys: Vec::new(),
            operation: 0,
            speed: 0,
            ver: proto.ver,
            op: proto.op,
            seq: proto.seq,
            body: proto.body,
            metadata: Vec::new(),
            at: Instant::now(),
            answer: None,
        }
    }

    /// Calls of one key must come one after the other.
    fn ordering_key(&self) -> String {
        match self.rpc {
            Rpc::BroadcastRoom => format!("room {}", self.room),
            Rpc::PushMsg => format!("user {:?}", self.keys.first()),
            Rpc::Broadcast => "everybody".into(),
            Rpc::Rooms => "rooms".into(),
        }
    }

    /// The values of this name that came along.
    pub fn metadata(&self, name: &str) -> Vec<&[u8]> {
        let all = self.metadata.iter();
        let named = all.filter(|(other, _)| other == name);
        named.map(|(_, value)| value.as_slice()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// How a call is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    Ok,
    OkAfter(Duration),
    Status(RpcStatusCode),
    /// A status with this text.
    Said(RpcStatusCode, String),
    /// Never: the caller has its deadline.
    Hang,
}

type Rule = Arc<dyn Fn(&Call) -> Answer + Send + Sync>;

/// The name of a status, without its number.
pub fn name(code: RpcStatusCode) -> String {
    let text = code.to_string();
    text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-')
        .to_owned()
}

/// A Comet on a port of its own, until dropped.
pub struct Comet {
    host: IpAddr,
    port: u16,
    state: Arc<Mutex<State>>,
    server: Mutex<Option<Server>>,
}

struct State {
    rule: Rule,
    /// Counts the starts: what an earlier server still had to answer is void.
    run: usize,
    calls: Vec<Call>,
    /// The server cuts its calls: who made them may call again before this side knows that they have ended.
    is_ending: bool,
    /// The call that each ordering key has in flight.
    active: HashMap<String, usize>,
    overlaps: Vec<String>,
    /// What it answers to `Rooms`.
    rooms: Vec<String>,
    /// Hanging calls: a dropped sink would cancel its call.
    hanging: Vec<Box<dyn Any + Send>>,
}

impl Comet {
    pub fn start() -> Comet {
        let comet = Comet::not_started();
        comet.start_again();
        comet
    }

    /// A Comet whose port is chosen but where nobody listens yet.
    pub fn not_started() -> Comet {
        Comet::on(Ipv4Addr::LOCALHOST.into(), free_port())
    }

    /// One at the same port of another host, where nobody listens yet.
    pub fn same_port_on(&self, host: IpAddr) -> Comet {
        Comet::on(host, self.port)
    }

    fn on(host: IpAddr, port: u16) -> Comet {
        Comet {
            host,
            port,
            state: Arc::new(Mutex::new(State {
                rule: Arc::new(|_| Answer::Ok),
                run: 0,
                is_ending: false,
                calls: Vec::new(),
                active: HashMap::new(),
                overlaps: Vec::new(),
                rooms: Vec::new(),
                hanging: Vec::new(),
            })),
            server: Mutex::new(None),
        }
    }

    pub fn address(&self) -> String {
        SocketAddr::new(self.host, self.port).to_string()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn start_again(&self) {
        static ENVIRONMENT: LazyLock<Arc<Environment>> =
            LazyLock::new(|| Arc::new(EnvBuilder::new().cq_count(1).build()));
        let run = {
            let mut state = lock(&self.state);
            state.run += 1;
            state.run
        };
        let mut server = ServerBuilder::new(Arc::clone(&ENVIRONMENT))
            .register_service(service(&self.state, run))
            .build()
            .expect("a gRPC server can be built");
        server
            .add_listening_port(self.address(), ServerCredentials::insecure())
            .expect("the Comet's port is free");
        server.start();
        *lock(&self.server) = Some(server);
    }

    /// Ends the server at once: calls in flight end UNAVAILABLE or CANCELLED.
    pub fn stop(&self) {
        let Some(mut server) = lock(&self.server).take() else {
            return;
        };
        lock(&self.state).is_ending = true;
        let ended = server.shutdown();
        server.cancel_all_calls();
        runtime().block_on(ended).expect("a gRPC server ends");
        // Only now: calls came in until the end, and all of them are cut off.
        let mut state = lock(&self.state);
        state.run += 1;
        state.is_ending = false;
        state.active.clear();
        state.hanging.clear();
    }

    /// From now on each call is answered as `rule` says.
    pub fn answer(&self, rule: impl Fn(&Call) -> Answer + Send + Sync + 'static) {
        lock(&self.state).rule = Arc::new(rule);
    }

    /// Fails the first of so many calls, and takes the others.
    pub fn fail_each(&self, of: usize) {
        let calls = AtomicUsize::new(0);
        self.answer(move |_| match calls.fetch_add(1, Ordering::Relaxed) % of {
            0 => Answer::Status(RpcStatusCode::INTERNAL),
            _ => Answer::Ok,
        });
    }

    /// From now on it says that it has these rooms.
    pub fn has_rooms(&self, rooms: impl IntoIterator<Item = String>) {
        lock(&self.state).rooms = rooms.into_iter().collect();
    }

    /// OK, but after the next `swift` calls only half a second later: what a test does in the middle of them then comes
    /// in the middle, however busy the machine is.
    pub fn slow_down_after(&self, swift: usize) {
        let calls = AtomicUsize::new(0);
        self.answer(
            move |_| match calls.fetch_add(1, Ordering::Relaxed) < swift {
                true => Answer::Ok,
                false => Answer::OkAfter(Duration::from_millis(500)),
            },
        );
    }

    /// Every call of a message that came, in the order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.select(|call| call.rpc != Rpc::Rooms)
    }

    /// The calls that were answered OK.
    pub fn delivered(&self) -> Vec<Call> {
        self.select(|call| call.rpc != Rpc::Rooms && call.answer == Some(RpcStatusCode::OK))
    }

    fn select(&self, wanted: impl Fn(&Call) -> bool) -> Vec<Call> {
        let state = lock(&self.state);
        state.calls.iter().filter(|c| wanted(c)).cloned().collect()
    }

    /// How many messages have been answered OK.
    pub fn count(&self) -> usize {
        let state = lock(&self.state);
        let ok = |call: &&Call| call.rpc != Rpc::Rooms && call.answer == Some(RpcStatusCode::OK);
        state.calls.iter().filter(ok).count()
    }

    /// Waits until so many messages have been answered OK, or more.
    #[track_caller]
    pub fn await_delivered(&self, count: usize) {
        await_until(&format!("{count} messages at {}", self.address()), || {
            let delivered = self.count();
            if delivered >= count {
                Ok(())
            } else {
                Err(format!("{delivered} came"))
            }
        });
    }

    /// Forgets what was in flight, for when the process that called was killed.
    pub fn forget_in_flight(&self) {
        lock(&self.state).active.clear();
    }

    /// Panics where a call came before the one ahead of it, of the same ordering key, was answered.
    #[track_caller]
    pub fn assert_no_overlaps(&self) {
        let overlaps = lock(&self.state).overlaps.clone();
        assert!(overlaps.is_empty(), "calls overlapped: {overlaps:#?}");
    }
}

impl Drop for Comet {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A failed assertion in one test thread must not hide behind a poisoned lock in another.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn service(state: &Arc<Mutex<State>>, run: usize) -> Service {
    let desk = Desk {
        state: Arc::clone(state),
        run,
    };
    let [push, broadcast, room, rooms] = [desk.clone(), desk.clone(), desk.clone(), desk];
    ServiceBuilder::new()
        .add_unary_handler(&methods::PUSH_MSG, move |ctx, req, sink| {
            let call = Call {
                keys: req.keys,
                operation: req.protoOp,
                ..Call::new(Rpc::PushMsg, req.proto.unwrap_or_default())
            };
            push.receive(ctx, call, sink);
        })
        .add_unary_handler(&methods::BROADCAST, move |ctx, req, sink| {
            let call = Call {
                operation: req.protoOp,
                speed: req.speed,
                ..Call::new(Rpc::Broadcast, req.proto.unwrap_or_default())
            };
            broadcast.receive(ctx, call, sink);
        })
        .add_unary_handler(&methods::BROADCAST_ROOM, move |ctx, req, sink| {
            let call = Call {
                room: req.roomID,
                ..Call::new(Rpc::BroadcastRoom, req.proto.unwrap_or_default())
            };
            room.receive(ctx, call, sink);
        })
        .add_unary_handler(&methods::ROOMS, move |ctx, _, sink| {
            let mut reply = RoomsReply::new();
            let all = lock(&rooms.state).rooms.clone();
            reply.rooms = all.into_iter().map(|room| (room, true)).collect();
            rooms.receive_with(ctx, Call::new(Rpc::Rooms, Proto::new()), sink, reply);
        })
        .build()
}

/// Takes the calls of one run of the server.
#[derive(Clone)]
struct Desk {
    state: Arc<Mutex<State>>,
    run: usize,
}

impl Desk {
    fn receive<R: Default + Send + 'static>(
        &self,
        ctx: RpcContext<'_>,
        call: Call,
        sink: UnarySink<R>,
    ) {
        self.receive_with(ctx, call, sink, R::default());
    }

    fn receive_with<R: Send + 'static>(
        &self,
        ctx: RpcContext<'_>,
        mut call: Call,
        sink: UnarySink<R>,
        reply: R,
    ) {
        let headers = ctx.request_headers().iter();
        call.metadata = headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let rule = Arc::clone(&lock(&self.state).rule);
        let answer = rule(&call);
        let index = self.write_down(call, !matches!(answer, Answer::Hang));
        let desk = self.clone();
        match answer {
            Answer::Ok => ctx.spawn(desk.reply(index, Ok(reply), sink)),
            Answer::Status(code) => {
                let status = RpcStatus::with_message(code, "as the test asked".into());
                ctx.spawn(desk.reply(index, Err(status), sink));
            }
            Answer::Said(code, text) => {
                ctx.spawn(desk.reply(index, Err(RpcStatus::with_message(code, text)), sink));
            }
            Answer::OkAfter(delay) => {
                runtime().spawn(async move {
                    tokio::time::sleep(delay).await;
                    desk.reply(index, Ok(reply), sink).await;
                });
            }
            Answer::Hang => lock(&self.state).hanging.push(Box::new(sink)),
        }
    }

    /// A call that will hang is not watched for overlaps: when its caller gives it up, this side isn't told.
    fn write_down(&self, call: Call, watched: bool) -> usize {
        let mut state = lock(&self.state);
        let index = state.calls.len();
        if watched
            && !state.is_ending
            && call.rpc != Rpc::Rooms
            && let Some(earlier) = state.active.insert(call.ordering_key(), index)
        {
            let overlap = format!(
                "{} came during {}",
                call.text(),
                state.calls[earlier].text()
            );
            state.overlaps.push(overlap);
        }
        state.calls.push(call);
        index
    }

    async fn reply<R>(self, index: usize, answer: Result<R, RpcStatus>, sink: UnarySink<R>) {
        let code = answer
            .as_ref()
            .err()
            .map_or(RpcStatusCode::OK, RpcStatus::code);
        {
            let mut state = lock(&self.state);
            if state.run != self.run {
                return;
            }
            let call = &mut state.calls[index];
            call.answer = Some(code);
            let key = call.ordering_key();
            if state.active.get(&key) == Some(&index) {
                state.active.remove(&key);
            }
        }
        // The caller may have gone in the meantime: then there is nobody to tell.
        let _ = match answer {
            Ok(reply) => sink.success(reply).await,
            Err(status) => sink.fail(status).await,
        };
    }
}
