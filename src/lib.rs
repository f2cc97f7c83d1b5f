//! job delivers a chat system's messages from Kafka to its Comet nodes.
//!
//! The way of a message: [`kafka::fetch`] ▸ [`consumer`] ([`decode`], [`route`]) ▸ [`worker`] ▸ [`comet`], and back
//! through [`group`], which keeps the account of offsets and commits them.

pub mod base;
pub mod coalesce;
pub mod comet;
pub mod commands;
pub mod consumer;
pub mod dead_letter;
pub mod decode;
pub mod group;
pub mod kafka;
pub mod message;
pub mod observe;
pub mod route;
pub mod run;
pub mod settings;
pub mod worker;
