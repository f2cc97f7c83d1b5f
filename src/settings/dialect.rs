//! What kind of Comet is called, in what form it gets messages, and what becomes of one whose Comet isn't known.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::duration_or_none;
use crate::message::Dialect;

/// Reads the name of a dialect.
pub fn dialect() -> impl TypedValueParser<Value = Dialect> {
    PossibleValuesParser::new(["chatroom", "goim"]).map(|name| match name.as_str() {
        "goim" => Dialect::Goim,
        _ => Dialect::Chatroom,
    })
}

/// What becomes of a message to users on a server that `comet` doesn't list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownServer {
    /// As the dialect's own job does it: with `goim` a dead letter, else all Comets get it.
    Auto,
    /// Every Comet gets it.
    All,
    /// It becomes a dead letter.
    DeadLetter,
}

impl UnknownServer {
    /// Whether it goes to all Comets, of this kind.
    pub fn goes_to_all(self, dialect: Dialect) -> bool {
        match self {
            Self::Auto => dialect == Dialect::Chatroom,
            Self::All => true,
            Self::DeadLetter => false,
        }
    }
}

/// Reads what becomes of them.
pub fn unknown_server() -> impl TypedValueParser<Value = UnknownServer> {
    PossibleValuesParser::new(["auto", "all", "dead-letter"]).map(|name| match name.as_str() {
        "all" => UnknownServer::All,
        "dead-letter" => UnknownServer::DeadLetter,
        _ => UnknownServer::Auto,
    })
}

/// The time between two calls of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// As the dialect wants it.
    Auto,
    Of(Duration),
}

/// goim's Comet handles the calls of a room side by side, and its clients' queues are short.
const AT_GOIM: Duration = Duration::from_millis(100);

impl Pause {
    /// At Comets of this kind.
    pub fn at(self, dialect: Dialect) -> Duration {
        match (self, dialect) {
            (Self::Of(time), _) => time,
            (Self::Auto, Dialect::Goim) => AT_GOIM,
            (Self::Auto, Dialect::Chatroom) => Duration::ZERO,
        }
    }
}

/// Reads such a time, or `auto`.
///
/// # Errors
/// It is neither.
pub fn pause(text: &str) -> Result<Pause, String> {
    match text.trim() {
        "auto" => Ok(Pause::Auto),
        time => duration_or_none(time)
            .map(Pause::Of)
            .map_err(|error| format!("{error}, or auto")),
    }
}

/// How a room's waiting messages are merged into one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coalesce {
    /// Not merged: each message is a call.
    Off,
    /// Merged into one web body with all their messages.
    Json,
    /// Each message becomes a frame of goim's, for a Comet that knows operation 9 (raw).
    Goim,
}

/// Reads the name of a form.
pub fn coalesce() -> impl TypedValueParser<Value = Coalesce> {
    PossibleValuesParser::new(["off", "json", "goim"]).map(|name| match name.as_str() {
        "json" => Coalesce::Json,
        "goim" => Coalesce::Goim,
        _ => Coalesce::Off,
    })
}
