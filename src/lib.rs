//! job delivers a chat system's messages from Kafka to its Comet nodes. Each module is a room: docs/ARCHITECTURE.md says
//! what it owns, and which others it may use.
//!
//! The way of a message: [`kafka::fetch`] ▸ [`consumer`] ▸ [`worker`] ▸ [`comet`], and back through [`group`], which keeps
//! the account of offsets, to [`kafka::membership`], which commits them. [`service`] ties the threads together.

pub mod base;
pub mod comet;
pub mod commands;
pub mod consumer;
pub mod control;
pub mod dead_letter;
pub mod figures;
pub mod group;
pub mod kafka;
pub mod message;
pub mod observe;
pub mod service;
pub mod settings;
pub mod worker;

/// Runs the cores of all rooms together in virtual time.
#[cfg(test)]
#[path = "../tests/simulation/mod.rs"]
mod simulation;
