//! Which failures count against a message, as its worker heard them. It must not know why a call failed.

use std::collections::HashMap;
use std::time::Duration;

use super::comet::{BROKE, INVALID_ARGUMENT, UNAVAILABLE};
use super::job::STANDS_STILL;
use super::judge::Place;
use super::kafka::Member;

/// A life's worker, and the Comet that it calls.
pub type Connection = (Member, usize, usize);

/// A message is given up after so many failures that count.
const TRIES: u32 = 5;
/// Where only probes show that the Comet is there, these are spread over this time.
const TAKE: Duration = Duration::from_secs(60);

/// What a connection has answered.
#[derive(Clone, Copy, Default)]
struct Signs {
    messages: u64,
    probes: u64,
}

struct Tries {
    before: Signs,
    beside_messages: u32,
    beside_probes: u32,
    /// The first and the last one that counts.
    counted: Option<(Duration, Duration)>,
    /// Whether the last one counts, or was a refusal.
    proves: bool,
}

#[derive(Default)]
pub struct AllTries {
    signs: HashMap<Connection, Signs>,
    failed: HashMap<(Connection, Place), Tries>,
}

impl AllTries {
    /// How many messages the connection has taken.
    pub fn taken(&self, connection: Connection) -> u64 {
        self.signs
            .get(&connection)
            .map_or(0, |signs| signs.messages)
    }

    /// A probe was answered.
    pub fn probed(&mut self, connection: Connection) {
        self.signs.entry(connection).or_default().probes += 1;
    }

    /// A call was answered that began when the connection had taken so many.
    pub fn answered(
        &mut self,
        now: Duration,
        connection: Connection,
        place: Place,
        taken: u64,
        answer: Result<(), i32>,
    ) {
        let signs = self.signs.entry(connection).or_default();
        let code = match answer {
            Ok(()) => {
                signs.messages += 1;
                if !self.failed.is_empty() {
                    self.failed.remove(&(connection, place));
                }
                return;
            }
            Err(UNAVAILABLE | BROKE) => return,
            Err(code) => code,
        };
        let tries = self.failed.entry((connection, place));
        let tries = tries.or_insert_with(|| Tries {
            before: Signs {
                messages: taken,
                ..*signs
            },
            beside_messages: 0,
            beside_probes: 0,
            counted: None,
            proves: false,
        });
        let before = std::mem::replace(&mut tries.before, *signs);
        let is_beside_messages = signs.messages > before.messages;
        let is_beside_probes = !is_beside_messages && signs.probes > before.probes;
        tries.beside_messages += u32::from(is_beside_messages);
        tries.beside_probes += u32::from(is_beside_probes);
        let counts = is_beside_messages || is_beside_probes;
        if counts {
            tries.counted = Some((tries.counted.map_or(now, |(first, _)| first), now));
        }
        tries.proves = counts || code == INVALID_ARGUMENT;
    }

    /// Whether a message that fails there may be given up.
    pub fn may_give_up(&self, connection: Connection, place: Place) -> bool {
        let Some(tries) = self.failed.get(&(connection, place)) else {
            return false;
        };
        let is_spread = |(first, last): (Duration, Duration)| last + STANDS_STILL >= first + TAKE;
        let is_enough = tries.beside_messages >= TRIES
            || tries.beside_messages + tries.beside_probes >= TRIES
                && tries.counted.is_some_and(is_spread);
        tries.proves && is_enough
    }
}
