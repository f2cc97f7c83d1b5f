//! What a Comet's state is called.

use crate::figures::{Seen, Standing};

pub const STATES: [&str; 5] = ["up", "refusing", "down", "detached", "catching_up"];

/// The state's name, as the group and the worker that sees it worst have it.
pub fn state(standing: Standing, seen: Seen) -> &'static str {
    match (standing, seen) {
        (Standing::Detached, _) => "detached",
        (Standing::CatchingUp, _) => "catching_up",
        (Standing::Attached, Seen::Down) => "down",
        (Standing::Attached, Seen::RefusesAll) => "refusing",
        (Standing::Attached, Seen::Up) => "up",
    }
}
