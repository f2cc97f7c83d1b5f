//! A Comet node: the calls to it, what its answers mean, and how it fares.

// Public for the fuzz targets.
pub mod caller;
mod client;
mod code;
mod cork;
mod dialect;
mod failure_log;
mod inquiry;
mod location;
mod lookup;
mod metadata;
pub mod methods;
mod names;
mod queues;
mod quiet;
// Public for the fuzz targets.
pub mod request;
pub mod tls;
mod verdict;

pub use client::Client;
pub use code::RpcStatusCode;
pub use cork::{Cork, forbid as forbid_cork};
pub use dialect::{Manner, service};
pub use failure_log::{FailureLog, said};
/// Has gRPC's core log through this process's log.
pub use grpcio::redirect_log;
pub use location::{Location, ONE_NAME_EACH};
pub use metadata::Metadata;
pub use names::find;
pub use queues::Queues;
pub use verdict::{Verdict, verdict_on};
