//! job delivers a chat system's messages from Kafka to its Comet nodes.
//!
//! The way of a message: [`fetch`] ▸ [`consumer`] ([`decode`], [`route`]) ▸ [`worker`] ▸ [`comet`], and back
//! through [`group`], which keeps the account of offsets and commits them.

pub mod backoff;
pub mod check;
pub mod cli;
pub mod coalesce;
pub mod comet;
pub mod config;
pub mod consumer;
pub mod dead_letter;
pub mod decode;
pub mod dev_comet;
pub mod fetch;
pub mod group;
pub mod kafka;
pub mod layers;
pub mod lease;
pub mod limits;
pub mod logging;
mod memory;
pub mod message;
mod panics;
pub mod route;
pub mod run;
pub mod send;
pub mod sharing;
pub mod signals;
pub mod trial;
pub mod wire;
pub mod worker;
