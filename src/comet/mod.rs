//! A Comet node: the calls to it, what its answers mean, and how it fares.

mod client;
mod cork;
mod failure_log;
mod health;
mod inquiry;
mod location;
mod lookup;
mod names;
mod queues;
mod quiet;
// Public for the fuzz targets.
pub mod request;
mod tally;
mod verdict;

pub use client::{Answer, Client};
pub use cork::{Cork, forbid as forbid_cork};
pub use failure_log::{FailureLog, said};
pub use health::{Health, Pace, Return, Signs, State};
pub use location::{Location, ONE_NAME_EACH};
pub use names::find;
pub use queues::Queues;
pub use tally::{Fleet, Tally};
pub use verdict::{Verdict, verdict};
