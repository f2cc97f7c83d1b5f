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
use super::room_list::{MOST_ROOMS, Useless, read};
use super::{Directory, Location, Manner, RpcStatusCode};
use crate::message::rooms::{ASKED_EVERY, COUNTS_FOR, RoomList, Told};
use crate::message::{ByComet, Status};

/// The longest time between two looks at the fleet.
const LOOK: Duration = Duration::from_millis(200);

struct Asker {
    caller: Caller,
    directory: Arc<Directory>,
    comets: ByComet<Asked>,
    to: Sender<Ended>,
    ended: Receiver<Ended>,
    told: Sender<Told>,
}

/// A Comet that is asked.
struct Asked {
    location: Arc<Location>,
    is_asked: bool,
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
}

/// Starts to ask. What the Comets tell goes to `told`; the thread ends when nobody hears it any more.
///
/// # Errors
/// The system has no poller or thread left.
pub fn spawn(
    callers: &Callers,
    manner: Manner,
    directory: Arc<Directory>,
    told: Sender<Told>,
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
            self.follow_fleet(now);
            self.ask(now);
            self.caller.flush(true);
            let next = self.comets.values().filter(|comet| !comet.is_asked);
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

    /// Asks those that there are now, where they are now.
    fn follow_fleet(&mut self, now: Instant) {
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
            let to = self.to.clone();
            let tell: Tell = Arc::new(move |ended| drop(to.send(ended)));
            self.caller.join(comet, location.clone(), tell);
            let asked = Asked {
                location: location.clone(),
                is_asked: false,
                // They take turns within the second.
                next: now + ASKED_EVERY * place / all,
                last: None,
            };
            self.comets.insert(comet, asked);
        }
    }

    fn ask(&mut self, now: Instant) {
        for (comet, asked) in self.comets.iter_mut() {
            if !asked.is_asked && asked.next <= now {
                asked.is_asked = true;
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
        asked.is_asked = false;
        let Some((kind, rooms)) = meant(reply) else {
            return Some(());
        };
        if asked.last.replace(kind) != Some(kind) {
            say(
                &asked.location,
                kind,
                rooms.as_ref().map_or(0, |rooms| rooms.len()),
            );
        }
        let told = Told {
            comet,
            asked: at,
            rooms: rooms.map(Arc::new),
        };
        self.told.send(told).ok()
    }
}

/// What a Comet means. `None` where it didn't answer: what it told before counts for a while.
fn meant(reply: Result<Vec<u8>, Status>) -> Option<(Kind, Option<RoomList>)> {
    match reply {
        Ok(reply) => Some(match read(&reply) {
            Ok(rooms) if rooms.is_empty() => (Kind::Nothing, None),
            Ok(rooms) => (Kind::Rooms, Some(rooms)),
            Err(why) => (Kind::Useless(why), None),
        }),
        Err(status) if RpcStatusCode::from(status.code) == RpcStatusCode::UNIMPLEMENTED => {
            Some((Kind::Nothing, None))
        }
        Err(_) => None,
    }
}

fn say(location: &Location, kind: Kind, count: usize) {
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: RpcStatusCode) -> Result<Vec<u8>, Status> {
        Err(Status::new(code.into(), "as the test says"))
    }

    #[test]
    fn what_tells_nothing_counts_as_nothing_and_no_answer_changes_nothing() {
        let rooms = [0x0a, 3, 0x0a, 1, b'r'];
        let kind = |reply| meant(reply).map(|(kind, rooms)| (kind, rooms.is_some()));
        assert!(kind(Ok(rooms.to_vec())) == Some((Kind::Rooms, true)));
        assert!(kind(Ok(Vec::new())) == Some((Kind::Nothing, false)));
        assert!(kind(status(RpcStatusCode::UNIMPLEMENTED)) == Some((Kind::Nothing, false)));
        let unreadable = Kind::Useless(Useless::Unreadable);
        assert!(kind(Ok(vec![0xff])) == Some((unreadable, false)));
        for code in [
            RpcStatusCode::UNAVAILABLE,
            RpcStatusCode::DEADLINE_EXCEEDED,
            RpcStatusCode::INTERNAL,
        ] {
            assert!(kind(status(code)).is_none(), "{code:?}");
        }
    }
}
