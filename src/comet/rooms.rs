//! Asks the Comets for their rooms, each once a second, on a thread and over connections of its own.
//!
//! What they tell only ever leaves calls out that a Comet doesn't need. So whatever goes wrong here ends in silence, and a Comet that
//! is silent gets all.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::caller::{Caller, Callers, Ended, Tell};
use super::connecting::LONGEST_ANSWER;
use super::room_list::{MOST_ROOMS, Useless, read};
use super::{Directory, Location, Manner, RpcStatusCode};
use crate::base::last::Writer;
use crate::base::text::one_line;
use crate::message::rooms::{ASKED_EVERY, COUNTS_FOR, RoomList, Told};
use crate::message::{ByComet, CometId, Status};

/// The longest time between two looks at the fleet.
const LOOK: Duration = Duration::from_millis(200);

struct Asker {
    caller: Caller,
    directory: Arc<Directory>,
    comets: ByComet<Asked>,
    to: Sender<Ended>,
    ended: Receiver<Ended>,
    told: Writer<CometId, Told>,
}

/// A Comet that is asked.
struct Asked {
    location: Arc<Location>,
    /// Since when it has not answered.
    asked: Option<Instant>,
    next: Instant,
    /// What its last answer was like; `None` before the first one.
    last: Option<Kind>,
}

/// What an answer is like. A change of that is worth a line in the log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rooms,
    Nothing,
    Useless(Useless),
    /// An error, though it is there.
    Failed(RpcStatusCode),
}

/// What a Comet's answer comes to.
struct Meant {
    /// `None` where the Comet isn't there: others say that.
    kind: Option<Kind>,
    rooms: Option<RoomList>,
}

/// Starts to ask. What the Comets tell goes to `told`; the thread ends when nobody hears it any more.
///
/// # Errors
/// The system has no poller or thread left.
pub fn spawn(
    callers: &Callers,
    manner: Manner,
    directory: Arc<Directory>,
    told: Writer<CometId, Told>,
) -> io::Result<()> {
    let manner = Manner {
        // A later answer tells nothing that counts.
        deadline: manner.deadline.min(COUNTS_FOR),
        ..manner
    };
    let (to, ended) = unbounded();
    let asker = Asker {
        caller: callers.of(0, manner)?,
        directory,
        comets: ByComet::default(),
        to,
        ended,
        told,
    };
    thread::Builder::new()
        .name("rooms".into())
        .spawn(move || asker.run())?;
    Ok(())
}

impl Asker {
    fn run(mut self) {
        loop {
            let now = Instant::now();
            if self.follow_fleet(now).is_none() {
                return;
            }
            self.ask(now);
            self.caller.flush(true);
            let next = self.comets.values().filter(|comet| comet.asked.is_none());
            let next = next.map(|comet| comet.next).min();
            let until = next.map_or(now + LOOK, |next| next.min(now + LOOK));
            if let Ok(ended) = self.caller.wait_for(&self.ended, Some(until))
                && self.take(ended).is_none()
            {
                return;
            }
            while let Some(ended) = self.next_ended() {
                if self.take(ended).is_none() {
                    return;
                }
            }
        }
    }

    fn next_ended(&mut self) -> Option<Ended> {
        match &mut self.caller {
            Caller::Lean(direct) => direct.next_ended(Instant::now()),
            Caller::Grpcio { .. } => self.ended.try_recv().ok(),
        }
    }

    /// Asks those that there are now, where they are now. Returns `None` where nobody wants to hear the answers.
    fn follow_fleet(&mut self, now: Instant) -> Option<()> {
        let locations = self.directory.locations();
        let gone = self.comets.ids();
        let gone: Vec<_> = gone
            .filter(|comet| locations.get(*comet).is_none())
            .collect();
        for comet in gone {
            self.comets.remove(comet);
            self.caller.leave(comet);
        }
        let all = locations.len() as u32;
        for (place, (comet, location)) in (0..).zip(locations.iter()) {
            let known = self.comets.get(comet);
            if known.is_some_and(|known| Arc::ptr_eq(&known.location, location)) {
                continue;
            }
            if known.is_some() {
                // What it told where it was before says nothing about who comes to it there.
                self.told.put(comet, nothing(now))?;
            }
            let to = self.to.clone();
            let tell: Tell = Arc::new(move |ended| drop(to.send(ended)));
            self.caller.join(comet, location.clone(), tell);
            let asked = Asked {
                location: location.clone(),
                asked: None,
                // They take turns within the second.
                next: now + ASKED_EVERY * place / all,
                last: None,
            };
            self.comets.insert(comet, asked);
        }
        Some(())
    }

    fn ask(&mut self, now: Instant) {
        for (comet, asked) in self.comets.iter_mut() {
            if asked.asked.is_none() && asked.next <= now {
                asked.asked = Some(now);
                asked.next = now + ASKED_EVERY;
                self.caller.rooms(comet, now);
            }
        }
    }

    /// Takes what ended. Returns `None` where nobody wants to hear it.
    fn take(&mut self, ended: Ended) -> Option<()> {
        let Ended::Rooms {
            comet,
            asked: at,
            reply,
        } = ended
        else {
            return Some(());
        };
        let answer = reply.as_ref().map(drop).map_err(Clone::clone);
        self.caller.heard(comet, &answer, Instant::now());
        let Some(asked) = self.comets.get_mut(comet) else {
            return Some(());
        };
        if asked.asked != Some(at) {
            // It was asked where it was before.
            return Some(());
        }
        asked.asked = None;
        let reply = reply.and_then(short_enough);
        let said = reply.as_ref().err().cloned();
        let Meant { kind, rooms } = meant(reply);
        if let Some(kind) = kind
            && asked.last.replace(kind) != Some(kind)
        {
            let count = rooms.as_ref().map_or(0, |rooms| rooms.len());
            say(&asked.location, kind, count, said.as_ref());
        }
        let rooms = rooms.map(Arc::new);
        self.told.put(comet, Told { asked: at, rooms })
    }
}

/// As if a Comet had told nothing.
fn nothing(asked: Instant) -> Told {
    Told { asked, rooms: None }
}

/// With gRPC's library an answer may be longer: its own check is a filter that job leaves out.
fn short_enough(reply: Vec<u8>) -> Result<Vec<u8>, Status> {
    match reply.len() <= LONGEST_ANSWER as usize {
        true => Ok(reply),
        false => {
            let text = format!(
                "an answer of {} bytes, and {LONGEST_ANSWER} are the most",
                reply.len()
            );
            Err(Status::new(RpcStatusCode::RESOURCE_EXHAUSTED.into(), text))
        }
    }
}

/// What a Comet means. One that fails to answer tells nothing any more: where it has just been started again, other people are on it.
fn meant(reply: Result<Vec<u8>, Status>) -> Meant {
    let (kind, rooms) = match reply.map(|reply| read(&reply)) {
        Ok(Ok(rooms)) if rooms.is_empty() => (Some(Kind::Nothing), None),
        Ok(Ok(rooms)) => (Some(Kind::Rooms), Some(rooms)),
        Ok(Err(why)) => (Some(Kind::Useless(why)), None),
        Err(status) => match RpcStatusCode::from(status.code) {
            RpcStatusCode::UNIMPLEMENTED => (Some(Kind::Nothing), None),
            RpcStatusCode::UNAVAILABLE
            | RpcStatusCode::DEADLINE_EXCEEDED
            | RpcStatusCode::CANCELLED => (None, None),
            code => (Some(Kind::Failed(code)), None),
        },
    };
    Meant { kind, rooms }
}

fn say(location: &Location, kind: Kind, count: usize, said: Option<&Status>) {
    let node = location.node();
    let name = &node.name;
    match kind {
        Kind::Rooms => log::info!(
            comet = name;
            "Comet {node} tells its rooms, {count} now: it gets no messages of others"
        ),
        Kind::Nothing => log::info!(
            comet = name;
            "Comet {node} tells no rooms: it gets the messages of all, as one does that doesn't know the call Rooms"
        ),
        Kind::Useless(Useless::Unreadable) => log::warn!(
            comet = name;
            "Comet {node}: its answer to Rooms can't be read, so it gets the messages of all rooms"
        ),
        Kind::Useless(Useless::TooMany) => log::warn!(
            comet = name;
            "Comet {node} tells more than {MOST_ROOMS} rooms, which is the most that job keeps of one: it gets the messages of all"
        ),
        Kind::Failed(code) => {
            let why = said.map_or("", |status| &status.text);
            log::warn!(
                comet = name, status = code.to_string();
                "Comet {node} answers Rooms with {code} ({}), so it gets the messages of all rooms", one_line(why)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: RpcStatusCode) -> Result<Vec<u8>, Status> {
        Err(Status::new(code.into(), "as the test says"))
    }

    #[test]
    fn whatever_is_not_a_list_counts_as_none() {
        let rooms = [0x0a, 3, 0x0a, 1, b'r'];
        let unreadable = Kind::Useless(Useless::Unreadable);
        let full = RpcStatusCode::RESOURCE_EXHAUSTED;
        for (reply, kind, is_list) in [
            (Ok(rooms.to_vec()), Some(Kind::Rooms), true),
            (Ok(Vec::new()), Some(Kind::Nothing), false),
            (Ok(vec![0xff]), Some(unreadable), false),
            (
                status(RpcStatusCode::UNIMPLEMENTED),
                Some(Kind::Nothing),
                false,
            ),
            (status(full), Some(Kind::Failed(full)), false),
            (status(RpcStatusCode::UNAVAILABLE), None, false),
            (status(RpcStatusCode::DEADLINE_EXCEEDED), None, false),
        ] {
            let meant = meant(reply.clone());
            assert!(
                meant.kind == kind && meant.rooms.is_some() == is_list,
                "{reply:?}"
            );
        }
    }
}
