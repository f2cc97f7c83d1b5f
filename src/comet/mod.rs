//! A Comet node: the calls to it, what its answers mean, and how it fares.

// Public for the fuzz targets.
pub mod caller;
#[cfg(feature = "grpcio")]
mod client;
mod code;
mod connecting;
mod cork;
mod dialect;
mod directory;
mod failure_log;
pub mod fleet;
mod inquiry;
mod location;
mod lookup;
mod metadata;
pub mod methods;
mod names;
pub mod own;
#[cfg(feature = "grpcio")]
mod queues;
mod quiet;
mod room_list;
pub mod rooms;
// Public for the fuzz targets.
#[cfg(feature = "grpcio")]
pub mod request;
pub mod tls;
mod verdict;
#[cfg(not(feature = "grpcio"))]
mod without_library;

#[cfg(not(feature = "grpcio"))]
pub use without_library::{Client, Environment, Queues, redirect_log};
/// What is over gRPC's own library. It has gRPC's core log through this process's log.
#[cfg(feature = "grpcio")]
pub use {client::Client, grpcio::Environment, grpcio::redirect_log, queues::Queues};

pub use code::RpcStatusCode;
pub use cork::{Cork, forbid as forbid_cork};
pub use dialect::{Manner, service};
pub use directory::{Directory, Known};
pub use failure_log::{FailureLog, said};
pub use location::{Location, ONE_NAME_EACH};
pub use metadata::Metadata;
pub use verdict::{Verdict, verdict_on};
