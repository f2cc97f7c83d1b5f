//! How a channel to a Comet is set: when it connects, when a connection counts as dead, and what gRPC leaves to job.

use std::ffi::CString;
use std::sync::Arc;

use grpcio::{ChannelBuilder, Environment};

use super::super::connecting::{
    CONNECT_WITHIN, LONGEST_ANSWER, RECONNECT_FIRST, RECONNECT_MOST, SIGN_OF_LIFE_AFTER,
    SIGN_OF_LIFE_WITHIN,
};
use super::super::location::Location;

/// The most that the head of an answer may be, with the text of its status. With gRPC's 16 KB a long text makes
/// a refusal look like a Comet that is out of something.
const LONGEST_STATUS: i32 = 256 << 10;

/// Opens a channel, which connects at its first call. Returns None while no address is known.
pub(super) fn connect(
    environment: &Arc<Environment>,
    location: &Location,
) -> Option<grpcio::Client> {
    let target = location.target()?;
    let builder = ChannelBuilder::new(environment.clone()).default_authority(location.address());
    Some(grpcio::Client::new(with_settings(builder).connect(&target)))
}

fn with_settings(builder: ChannelBuilder) -> ChannelBuilder {
    builder
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
        .max_receive_message_len(LONGEST_ANSWER as i32)
        .raw_cfg_int(arg("grpc.max_metadata_size"), LONGEST_STATUS)
        // Comets are neighbours: a proxy that the environment names is for other things.
        .enable_http_proxy(false)
        // Retries are the worker's: it knows what order has to be kept.
        .enable_retry(false)
}

fn arg(name: &str) -> CString {
    CString::new(name).unwrap_or_default()
}
