//! One worker's channel to one Comet.

use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

use grpcio::{
    CallOption, ChannelBuilder, ClientUnaryReceiver, EnvBuilder, Environment, RpcStatus,
    RpcStatusCode,
};

use super::request;
use crate::route::Call;
use crate::wire::comet::RoomsReq;
use crate::wire::methods;

/// gRPC's own default grows to two minutes; a Comet that is back is to get its messages within a second.
const RECONNECT_FIRST: Duration = Duration::from_millis(100);
const RECONNECT_MOST: Duration = Duration::from_millis(500);
/// How long a connection may take to be made (what gRPC calls the least back-off), 20 s by default.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// A connection on which nothing came for so long while calls wait is asked for a sign of life, and given up after
/// the second time. Without that, one that a firewall forgot or whose peer lost its power is never noticed: all
/// calls, those that ask a left-out Comet whether it is back too, go on into it.
const SIGN_OF_LIFE_AFTER: Duration = Duration::from_secs(5);
const SIGN_OF_LIFE_WITHIN: Duration = Duration::from_secs(2);

/// The most that the head of an answer may be, with the text of its status. With gRPC's 16 KB a long text makes
/// a refusal look like a Comet that is out of something.
const LONGEST_STATUS: i32 = 256 << 10;

/// What a call came to: `Ok` or the status.
pub type Answer = Result<(), RpcStatus>;

/// gRPC's threads, shared by all channels.
pub fn environment() -> Arc<Environment> {
    Arc::new(EnvBuilder::new().cq_count(1).name_prefix("grpc-").build())
}

/// A channel of its own: channels to one address would otherwise share a connection.
pub struct Client {
    address: String,
    client: grpcio::Client,
    deadline: Duration,
}

impl Client {
    /// Connects in the background, at the first call. `deadline` bounds each call.
    pub fn new(environment: Arc<Environment>, address: &str, deadline: Duration) -> Self {
        let channel = ChannelBuilder::new(environment)
            .use_local_subchannel_pool(true)
            // A fifth of a call's instructions is filters that job has no use for. Without them deadlines would be
            // off, and a call to a Comet that hangs would never end.
            .raw_cfg_int(arg("grpc.minimal_stack"), 1)
            .raw_cfg_int(arg("grpc.enable_deadline_checking"), 1)
            .initial_reconnect_backoff(RECONNECT_FIRST)
            .max_reconnect_backoff(RECONNECT_MOST)
            .raw_cfg_int(
                arg("grpc.min_reconnect_backoff_ms"),
                CONNECT_WITHIN.as_millis() as i32,
            )
            .keepalive_time(SIGN_OF_LIFE_AFTER)
            .keepalive_timeout(SIGN_OF_LIFE_WITHIN)
            .max_send_message_len(-1)
            .raw_cfg_int(arg("grpc.max_metadata_size"), LONGEST_STATUS)
            // Comets are neighbours: a proxy that the environment names is for other things.
            .enable_http_proxy(false)
            // Retries are the worker's: it knows what order has to be kept.
            .enable_retry(false)
            .connect(address);
        Self {
            address: address.to_owned(),
            client: grpcio::Client::new(channel),
            deadline,
        }
    }

    /// The Comet's address, `host:port`, as configured.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Starts a call. `done` gets the answer, on a gRPC thread: it must be quick.
    pub fn call(&self, call: &Call, done: impl FnOnce(Answer) + Send + 'static) {
        let method = request::method_of(call);
        self.start(
            self.client.unary_call_async(method, call, self.option()),
            done,
        );
    }

    /// Asks whether the Comet is there, with the one call that sends nobody anything.
    pub fn probe(&self, done: impl FnOnce(Answer) + Send + 'static) {
        let request = RoomsReq::new();
        self.start(
            self.client
                .unary_call_async(&methods::ROOMS, &request, self.option()),
            done,
        );
    }

    fn option(&self) -> CallOption {
        CallOption::default().timeout(self.deadline)
    }

    fn start<T: Send + Unpin + 'static>(
        &self,
        started: grpcio::Result<ClientUnaryReceiver<T>>,
        done: impl FnOnce(Answer) + Send + 'static,
    ) {
        match started {
            Ok(receiver) => self
                .client
                .spawn(async move { done(answer(receiver.await.map(drop))) }),
            Err(error) => done(answer(Err(error))),
        }
    }
}

fn answer(result: grpcio::Result<()>) -> Answer {
    result.map_err(|error| match error {
        grpcio::Error::RpcFailure(status) => status,
        grpcio::Error::RpcFinished(Some(status)) => status,
        // The answer can't be read, or the call couldn't be made: neither says that it wasn't taken.
        other => RpcStatus::with_message(RpcStatusCode::UNKNOWN, other.to_string()),
    })
}

fn arg(name: &str) -> CString {
    CString::new(name).unwrap_or_default()
}
