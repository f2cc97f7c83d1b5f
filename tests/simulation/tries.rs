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
    /// The first one that counts.
    first: Option<Duration>,
    /// Whether it could be given up for one that counts. A message may be held twice, of two assignments.
    may_give_up: bool,
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
        match answer {
            Ok(()) => {
                signs.messages += 1;
                return;
            }
            Err(UNAVAILABLE | BROKE | INVALID_ARGUMENT) => return,
            Err(_) => {}
        }
        let tries = self.failed.entry((connection, place));
        let tries = tries.or_insert_with(|| Tries {
            before: Signs {
                messages: taken,
                ..*signs
            },
            beside_messages: 0,
            beside_probes: 0,
            first: None,
            may_give_up: false,
        });
        let before = std::mem::replace(&mut tries.before, *signs);
        let is_beside_messages = signs.messages > before.messages;
        let is_beside_probes = !is_beside_messages && signs.probes > before.probes;
        tries.beside_messages += u32::from(is_beside_messages);
        tries.beside_probes += u32::from(is_beside_probes);
        if is_beside_messages || is_beside_probes {
            let first = *tries.first.get_or_insert(now);
            let counted = tries.beside_messages + tries.beside_probes;
            tries.may_give_up |= tries.beside_messages >= TRIES
                || counted >= TRIES && now + STANDS_STILL >= first + TAKE;
        }
    }

    /// Whether a message that fails there may be given up.
    pub fn may_give_up(&self, connection: Connection, place: Place) -> bool {
        let tries = self.failed.get(&(connection, place));
        tries.is_some_and(|tries| tries.may_give_up)
    }
}
