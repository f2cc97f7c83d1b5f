//! gRPC's own library, and nothing else.

use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crossbeam_channel::bounded;
use grpcio::{
    CallOption, ChannelBuilder, Client, EnvBuilder, Environment, GrpcSlice, Marshaller, Method,
    MethodType,
};

use super::{Asked, By, PATH};

type Bytes = Vec<u8>;

const BROADCAST_ROOM: Method<Bytes, ()> = Method {
    ty: MethodType::Unary,
    name: PATH,
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

pub fn environment(asked: &Asked) -> Arc<Environment> {
    Arc::new(match asked.by {
        By::GrpcioTuned => EnvBuilder::new().cq_count(1).build(),
        _ => EnvBuilder::new().build(),
    })
}

/// A connection of its own; everything else as grpcio does it when nobody says anything, unless it is to be tuned.
pub fn client(environment: Arc<Environment>, asked: &Asked, n: usize) -> Client {
    let arg = |name: &str| CString::new(name).unwrap_or_default();
    let mut builder = ChannelBuilder::new(environment)
        .use_local_subchannel_pool(true)
        .raw_cfg_int(arg("bench.channel"), n as i32);
    if asked.by == By::GrpcioTuned {
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
pub fn calls(client: &Client, requests: &[Bytes], asked: &Asked, failed: &Arc<AtomicUsize>) {
    let calls = asked.calls / asked.channels;
    let option = || match asked.by {
        By::GrpcioTuned => CallOption::default().timeout(Duration::from_secs(5)),
        _ => CallOption::default(),
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
