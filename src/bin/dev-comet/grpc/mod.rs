//! A gRPC server for unary calls, over HTTP/2: what a Comet needs of gRPC and no more.
//!
//! `listen` takes connections, `connection` their calls, `call` answers one of them; `message` and `status` are what stands
//! on the wire.

mod call;
mod connection;
mod listen;
mod message;
mod status;
mod tls;

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::oneshot;

pub use listen::{Listener, Server};
pub use status::Status;
pub use tls::Files;

/// The reply's message, or why there is none.
pub type Outcome = Result<Bytes, Status>;

/// What becomes of a call.
pub enum Answer {
    Now(Outcome),
    /// It comes when it comes. Where its sender is dropped, the call is cancelled.
    Later(oneshot::Receiver<Outcome>),
}

/// The calls that a server takes.
pub trait Service: Clone + Send + Sync + 'static {
    /// Whether there is such a method; the path is `/package.Service/Method`.
    fn has(&self, path: &str) -> bool;

    /// A request has come from `peer`. This must be quick.
    fn call(&self, path: &str, peer: &str, request: Bytes) -> Answer;

    /// The same, with the call's metadata.
    fn call_with(&self, _: &HeaderMap, path: &str, peer: &str, request: Bytes) -> Answer {
        self.call(path, peer, request)
    }
}
