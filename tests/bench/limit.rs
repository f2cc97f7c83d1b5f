//! The limits: a way to call alone, making the same calls to the same Comet as job does, and nothing else.

mod frames;
mod grpcio;
mod lean;

use std::fmt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use clap::{Args, ValueEnum};
use protobuf::Message;
use serde::{Deserialize, Serialize};

use chatroom_job::message::proto::comet::BroadcastRoomReq;
use chatroom_job::message::proto::protocol::Proto;

use crate::comet::Comets;
use crate::load::{Shape, body};
use crate::process::{Process, cpu_of};

const PATH: &str = "/ChatRoom.Comet.Comet/BroadcastRoom";

/// What calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// gRPC's own library, as it is when nobody says anything.
    Grpcio,
    /// The same with the channel arguments that job sets.
    GrpcioTuned,
    /// Job's lean caller.
    Lean,
    /// Frames of HTTP/2 that were made before, and answers that are counted only: what the sockets allow.
    Frames,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            By::Grpcio => "grpcio",
            By::GrpcioTuned => "grpcio-tuned",
            By::Lean => "lean",
            By::Frames => "frames",
        })
    }
}

/// What the process is asked to do.
#[derive(Args, Clone, Debug)]
pub struct Asked {
    address: String,
    #[arg(long)]
    by: By,
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
}

/// What it says at the end.
#[derive(Debug, Deserialize, Serialize)]
struct Said {
    /// Microseconds of CPU time that the process used, from its start.
    cpu: u64,
    failed: usize,
}

/// The process.
pub fn serve(asked: &Asked) -> Result<(), String> {
    let environment = grpcio::environment(asked);
    let shape = Shape {
        rooms: asked.rooms,
        size: asked.size,
    };
    // A ring of requests, so that none is made while it is measured.
    let requests: Result<Vec<Vec<u8>>, String> = (0..asked.rooms.min(1000))
        .map(|room| request(&shape, room))
        .collect();
    let requests = Arc::new(requests?);
    let failed = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..asked.channels)
        .map(|n| {
            let environment = environment.clone();
            let (requests, failed, asked) = (requests.clone(), failed.clone(), asked.clone());
            thread::spawn(move || match asked.by {
                By::Grpcio | By::GrpcioTuned => {
                    let client = grpcio::client(environment, &asked, n);
                    grpcio::calls(&client, &requests, &asked, &failed);
                    Ok(())
                }
                By::Lean => lean::calls(&requests, &asked, &failed),
                By::Frames => frames::calls(&requests, &asked, &failed),
            })
        })
        .collect();
    for thread in threads {
        thread
            .join()
            .map_err(|_| "a thread of the raw caller panicked")?
            .map_err(|e| format!("calling {} by {}: {e}", asked.address, asked.by))?;
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

fn request(shape: &Shape, room: usize) -> Result<Vec<u8>, String> {
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

/// How the raw caller calls.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub channels: usize,
    pub window: usize,
    pub by: By,
}

impl Way {
    /// As many connections and calls in flight as job has.
    pub const DEFAULTS: Way = Way {
        channels: 4,
        window: 64,
        by: By::Grpcio,
    };
    pub const TUNED: Way = Way {
        by: By::GrpcioTuned,
        ..Way::DEFAULTS
    };
    pub const LEAN: Way = Way {
        by: By::Lean,
        ..Way::DEFAULTS
    };
    pub const FRAMES: Way = Way {
        by: By::Frames,
        ..Way::DEFAULTS
    };
    pub const ONE_AT_A_TIME: Way = Way {
        channels: 1,
        window: 1,
        by: By::Grpcio,
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
        .args(["--by", &way.by.to_string()])
        .args(["--channels", &way.channels.to_string()])
        .args(["--window", &way.window.to_string()])
        .args(["--calls", &calls.to_string()])
        .args(["--rooms", &shape.rooms.to_string()])
        .args(["--size", &shape.size.to_string()])
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
