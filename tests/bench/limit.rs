//! The raw limit: grpcio alone, making the same calls to the same Comet as job does, and nothing else.

use std::ffi::CString;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use clap::Args;
use crossbeam_channel::bounded;
use grpcio::{
    CallOption, ChannelBuilder, Client, EnvBuilder, Environment, GrpcSlice, Marshaller, Method,
    MethodType,
};
use protobuf::Message;
use serde::{Deserialize, Serialize};

use chatroom_job::message::proto::comet::BroadcastRoomReq;
use chatroom_job::message::proto::protocol::Proto;

use crate::comet::Comets;
use crate::load::{Shape, body};
use crate::process::{Process, cpu_of};

/// What the process is asked to do.
#[derive(Args, Clone, Debug)]
pub struct Asked {
    address: String,
    #[arg(long)]
    channels: usize,
    #[arg(long)]
    window: usize,
    #[arg(long)]
    calls: usize,
    #[arg(long)]
    rooms: usize,
    #[arg(long)]
    size: usize,
    /// With the channel arguments that job sets.
    #[arg(long)]
    tuned: bool,
}

/// What it says at the end.
#[derive(Debug, Deserialize, Serialize)]
struct Said {
    /// Microseconds of CPU time that the process used, from its start.
    cpu: u64,
    failed: usize,
}

type Bytes = Vec<u8>;

const BROADCAST_ROOM: Method<Bytes, ()> = Method {
    ty: MethodType::Unary,
    name: "/ChatRoom.Comet.Comet/BroadcastRoom",
    req_mar: Marshaller {
        ser: serialize,
        de: |_| Ok(Bytes::new()),
    },
    resp_mar: Marshaller {
        ser: |(), _| Ok(()),
        de: |_| Ok(()),
    },
};

fn serialize(request: &Bytes, to: &mut GrpcSlice) -> grpcio::Result<()> {
    // SAFETY: each byte is written before anybody reads it: the slice is as long as the request.
    let buffer = unsafe { &mut *(std::ptr::from_mut(to.realloc(request.len())) as *mut [u8]) };
    buffer.copy_from_slice(request);
    Ok(())
}

/// The process.
pub fn serve(asked: &Asked) -> Result<(), String> {
    let environment = Arc::new(match asked.tuned {
        true => EnvBuilder::new().cq_count(1).build(),
        false => EnvBuilder::new().build(),
    });
    let shape = Shape {
        rooms: asked.rooms,
        size: asked.size,
    };
    // A ring of requests, so that none is made while it is measured.
    let requests: Result<Vec<Bytes>, String> = (0..asked.rooms.min(1000))
        .map(|room| request(&shape, room))
        .collect();
    let requests = Arc::new(requests?);
    let failed = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..asked.channels)
        .map(|n| {
            let client = client(environment.clone(), asked, n);
            let (requests, failed, asked) = (requests.clone(), failed.clone(), asked.clone());
            thread::spawn(move || calls(&client, &requests, &asked, &failed))
        })
        .collect();
    for thread in threads {
        thread
            .join()
            .map_err(|_| "a thread of the raw caller panicked")?;
    }
    let said = Said {
        cpu: cpu_of(std::process::id())?,
        failed: failed.load(Relaxed),
    };
    println!(
        "{}",
        serde_json::to_string(&said).map_err(|e| e.to_string())?
    );
    Ok(())
}

fn request(shape: &Shape, room: usize) -> Result<Bytes, String> {
    let request = BroadcastRoomReq {
        roomID: format!("r{room}"),
        proto: Some(Proto {
            ver: 1,
            op: 4,
            body: body(shape, room, 0, 0).into(),
            ..Proto::new()
        })
        .into(),
        ..BroadcastRoomReq::new()
    };
    request.write_to_bytes().map_err(|e| e.to_string())
}

/// A connection of its own; everything else as grpcio does it when nobody says anything, unless `tuned`.
fn client(environment: Arc<Environment>, asked: &Asked, n: usize) -> Client {
    let arg = |name: &str| CString::new(name).unwrap_or_default();
    let mut builder = ChannelBuilder::new(environment)
        .use_local_subchannel_pool(true)
        .raw_cfg_int(arg("bench.channel"), n as i32);
    if asked.tuned {
        // Those of src/comet/client.rs that cost or save something in each call.
        builder = builder
            .raw_cfg_int(arg("grpc.minimal_stack"), 1)
            .raw_cfg_int(arg("grpc.enable_deadline_checking"), 1)
            .keepalive_time(Duration::from_secs(5))
            .keepalive_timeout(Duration::from_secs(2))
            .enable_http_proxy(false)
            .enable_retry(false);
    }
    Client::new(builder.connect(&asked.address))
}

/// Keeps the window full until all of this channel's calls are made.
fn calls(client: &Client, requests: &[Bytes], asked: &Asked, failed: &Arc<AtomicUsize>) {
    let calls = asked.calls / asked.channels;
    let option = || match asked.tuned {
        true => CallOption::default().timeout(Duration::from_secs(5)),
        false => CallOption::default(),
    };
    let mut requests = requests.iter().cycle();
    if asked.window == 1 {
        for request in requests.take(calls) {
            if client
                .unary_call(&BROADCAST_ROOM, request, option())
                .is_err()
            {
                failed.fetch_add(1, Relaxed);
            }
        }
        return;
    }
    let (done, answers) = bounded(asked.window);
    let (mut sent, mut answered) = (0, 0);
    while answered < calls {
        while sent < calls && sent - answered < asked.window {
            let Some(request) = requests.next() else {
                return;
            };
            let (done, failures) = (done.clone(), failed.clone());
            let started = client.unary_call_async(&BROADCAST_ROOM, request, option());
            client.spawn(async move {
                let answer = match started {
                    Ok(receiver) => receiver.await,
                    Err(error) => Err(error),
                };
                if answer.is_err() {
                    failures.fetch_add(1, Relaxed);
                }
                // The other end waits for as many as it sent.
                let _ = done.send(());
            });
            sent += 1;
        }
        if answers.recv().is_err() {
            return;
        }
        answered += 1 + answers.try_iter().count();
    }
}

/// How the raw caller calls.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub channels: usize,
    pub window: usize,
    pub tuned: bool,
}

impl Way {
    /// As many connections and calls in flight as job has.
    pub const DEFAULTS: Way = Way {
        channels: 4,
        window: 64,
        tuned: false,
    };
    pub const TUNED: Way = Way {
        tuned: true,
        ..Way::DEFAULTS
    };
    pub const ONE_AT_A_TIME: Way = Way {
        channels: 1,
        window: 1,
        tuned: false,
    };
}

/// What the raw caller did.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// As the Comet saw them, from the first to the last.
    pub calls_per_second: f64,
    /// Microseconds of CPU time, the start of the process among them.
    pub cpu_a_call: f64,
    /// The Comet's own.
    pub comet_cpu_a_call: f64,
}

pub fn measure(
    comets: &mut Comets,
    way: Way,
    calls: usize,
    shape: &Shape,
) -> Result<Limit, String> {
    let own = std::env::current_exe()
        .map_err(|e| format!("this program's own place is not known: {e}"))?;
    let mut command = Command::new(own);
    command
        .args(["raw-limit", &comets.addresses[0]])
        .args(["--channels", &way.channels.to_string()])
        .args(["--window", &way.window.to_string()])
        .args(["--calls", &calls.to_string()])
        .args(["--rooms", &shape.rooms.to_string()])
        .args(["--size", &shape.size.to_string()])
        .args(way.tuned.then_some("--tuned"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut process = Process::spawn(command)?;
    let mut output = process
        .child
        .stdout
        .take()
        .ok_or("the raw caller has no pipe")?;
    let text = std::io::read_to_string(&mut output)
        .map_err(|e| format!("the raw caller doesn't answer: {e}"))?;
    let said: Said =
        serde_json::from_str(&text).map_err(|e| format!("the raw caller said {text:?}: {e}"))?;
    let report = comets.report()?;
    let made = calls / way.channels * way.channels;
    if said.failed > 0 || report.calls != made as u64 || report.unreadable > 0 {
        return Err(format!(
            "the raw caller made {made} calls, of which {} failed; the Comet counted {}, of which it couldn't read {}",
            said.failed, report.calls, report.unreadable
        ));
    }
    Ok(Limit {
        calls_per_second: made as f64 / report.seconds(),
        cpu_a_call: said.cpu as f64 / made as f64,
        comet_cpu_a_call: report.cpu as f64 / made as f64,
    })
}
