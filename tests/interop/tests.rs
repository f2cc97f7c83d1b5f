//! Against gRPC's own server, which is stopped and started meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use chatroom_job::comet::methods;
use chatroom_job::message::proto::comet::{PushMsgReply, PushMsgReq};
use grpcio::{
    ChannelBuilder, EnvBuilder, Environment, ResourceQuota, RpcContext, RpcStatus, RpcStatusCode,
    Server, ServerBuilder, ServerCredentials, ServiceBuilder, UnarySink,
};

use crate::calls;
use crate::drive::{Outcome, Plan, drive};

const CALLS: usize = 3_000;

/// What a server allows: streams, and the window of each.
#[derive(Clone, Copy)]
struct Limits {
    streams: i32,
    window: i32,
}

struct Comets {
    environment: Arc<Environment>,
    limits: Limits,
    /// Calls that were answered.
    answered: Arc<AtomicUsize>,
    /// Told of each 500th.
    progress: mpsc::Sender<usize>,
}

impl Comets {
    fn start(&self, port: u16) -> (Server, u16) {
        let (answered, progress) = (self.answered.clone(), self.progress.clone());
        let push = move |context: RpcContext<'_>, request, sink| {
            let count = answered.fetch_add(1, Ordering::Relaxed);
            if count.is_multiple_of(500) {
                let _ = progress.send(count);
            }
            answer(&context, &request, sink);
        };
        let service = ServiceBuilder::new().add_unary_handler(&methods::PUSH_MSG, push);
        let arguments = ChannelBuilder::new(self.environment.clone())
            .max_concurrent_stream(self.limits.streams)
            .stream_initial_window_size(self.limits.window)
            .set_resource_quota(ResourceQuota::new(None))
            .build_args();
        let mut server = ServerBuilder::new(self.environment.clone())
            .channel_args(arguments)
            .register_service(service.build())
            .build()
            .expect("a server");
        let address = format!("127.0.0.1:{port}");
        let port = server
            .add_listening_port(address, ServerCredentials::insecure())
            .expect("a free port");
        server.start();
        (server, port)
    }
}

fn answer(context: &RpcContext<'_>, request: &PushMsgReq, sink: UnarySink<PushMsgReply>) {
    let key = request.keys.first().map_or("", |key| key);
    let number: usize = key[1..].parse().expect("a number");
    let answered = if request.proto.body != calls::body(number) {
        let wrong = RpcStatus::with_message(RpcStatusCode::INVALID_ARGUMENT, "wrong body".into());
        sink.fail(wrong)
    } else if calls::is_known(number) {
        sink.success(PushMsgReply::new())
    } else {
        let unknown = RpcStatus::with_message(RpcStatusCode::NOT_FOUND, calls::said(key));
        sink.fail(unknown)
    };
    context.spawn(async move { drop(answered.await) });
}

/// All calls, while `disturb` is told each time that 500 are answered.
fn drive_against(
    limits: Limits,
    mut disturb: impl FnMut(&Comets, u16, &mut Option<Server>) + Send,
) -> Outcome {
    let (progress, told) = mpsc::channel();
    let comets = Comets {
        environment: Arc::new(EnvBuilder::new().cq_count(1).build()),
        limits,
        answered: Arc::default(),
        progress,
    };
    let (server, port) = comets.start(0);
    let mut server = Some(server);
    let plan = Plan {
        address: format!("127.0.0.1:{port}"),
        calls: CALLS,
        at_once: 100,
    };
    thread::scope(|scope| {
        let driver = scope.spawn(|| drive(&plan));
        while !driver.is_finished() {
            if told
                .recv_timeout(std::time::Duration::from_millis(20))
                .is_ok()
            {
                disturb(&comets, port, &mut server);
            }
        }
        driver
            .join()
            .expect("it didn't panic")
            .expect("it went on to the end")
    })
}

#[test]
fn each_answer_of_grpcs_own_server_is_right_whatever_its_limits_are() {
    for (streams, window) in [(100, 65_535), (1, 65_535), (10, 1_000)] {
        let outcome = drive_against(Limits { streams, window }, |_, _, _| ());
        assert_eq!(
            (outcome.right, outcome.wrong.len()),
            (CALLS, 0),
            "{outcome:?}"
        );
        assert!(
            outcome.away.is_empty() && outcome.cut.is_empty(),
            "{outcome:?}"
        );
    }
}

#[test]
fn each_answer_is_right_while_the_server_is_stopped_and_started() {
    let limits = Limits {
        streams: 50,
        window: 65_535,
    };
    let mut restarts = 0;
    let outcome = drive_against(limits, |comets, port, server| {
        if let Some(mut old) = server.take() {
            // In turns it finishes its calls, and leaves them.
            if restarts % 2 == 0 {
                grpc_wait(old.shutdown());
            } else {
                old.cancel_all_calls();
            }
        }
        *server = Some(comets.start(port).0);
        restarts += 1;
    });
    assert_eq!(
        (outcome.right, outcome.wrong.len()),
        (CALLS, 0),
        "{outcome:?}"
    );
    assert!(restarts >= 3);
}

fn grpc_wait(future: impl Future) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(future);
}
