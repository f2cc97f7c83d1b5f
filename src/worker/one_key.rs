//! A message to several users where each has a call of its own, one after the other.
//!
//! So what a Comet says is about that one: a user who takes messages too slowly costs no other one theirs, and nobody gets one
//! twice because of that.

use super::effects::{Effects, Figure, Said};
use super::key_queue::Carries;
use crate::base::text::one_line;
use crate::message::call::Call;
use crate::message::{Answer, CometId, Dialect, Sense};

/// The call for the next one of several users, when so many are done. `None` for any other call: it is made as it is.
pub fn next_of_several(call: &Call, done: usize) -> Option<(Call, Carries)> {
    let Call::PushMsg { keys, frame } = call else {
        return None;
    };
    if keys.len() < 2 {
        return None;
    }
    let key = keys.get(done)?;
    let carries = match done + 1 < keys.len() {
        true => Carries::OneOfItsKeys,
        false => Carries::Messages(1),
    };
    let call = Call::PushMsg {
        keys: vec![key.clone()],
        frame: frame.clone(),
    };
    Some((call, carries))
}

/// Whom a call is for, among so many.
#[derive(Debug, PartialEq, Eq)]
pub struct User {
    key: String,
    place: usize,
    of: usize,
}

/// Whom the call was for that failed, when so many of the message's users were done.
pub fn user_of(call: &Call, answer: &Answer, done: impl FnOnce() -> usize) -> Option<User> {
    let (Err(_), Call::PushMsg { keys, .. }) = (answer, call) else {
        return None;
    };
    let done = done();
    Some(User {
        key: keys.get(done)?.clone(),
        place: done + 1,
        of: keys.len(),
    })
}

/// For a dead letter: whom it was tried for, where that isn't all. Those before that one have it.
pub fn for_user(user: &Option<User>, dialect: Dialect) -> String {
    match user {
        Some(User { key, place, of }) if *of > 1 && dialect.has_one_key_a_call() => {
            format!(" for user {} ({place} of {of})", one_line(key))
        }
        _ => String::new(),
    }
}

/// Counts and names a message that a Comet drops for this user.
pub fn note_drop(comet: CometId, answer: &Answer, user: &Option<User>, effects: &mut impl Effects) {
    if let (Err(status), Some(User { key, .. })) = (answer, user)
        && status.sense == Sense::Dropped
    {
        effects.count(Figure::Dropped { comet });
        effects.say(comet, Said::Dropped { status, key });
    }
}
