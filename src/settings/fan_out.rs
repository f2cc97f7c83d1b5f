//! Which Comets get a room's messages.

use clap::builder::{PossibleValuesParser, TypedValueParser};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FanOut {
    All,
    /// Those that have the room, by what they tell, and those that tell nothing.
    Rooms,
}

/// Reads its name.
pub fn fan_out() -> impl TypedValueParser<Value = FanOut> {
    PossibleValuesParser::new(["all", "rooms"]).map(|name| match name.as_str() {
        "rooms" => FanOut::Rooms,
        _ => FanOut::All,
    })
}
