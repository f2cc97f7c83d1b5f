//! How Comets of each kind are called, and what their words mean. Whoever calls has a [`Manner`], and asks that.

use std::time::Duration;

use super::methods;
use crate::message::call::Method;
use crate::message::{Answer, Dialect, Sense};

/// How Comets are called.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub dialect: Dialect,
    /// Deadline of each call.
    pub deadline: Duration,
}

/// gRPC's code for what a server doesn't say more about: all errors of goim's Comet.
const UNKNOWN: i32 = 2;

/// The service that Comets of this kind have.
pub fn service(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Chatroom => methods::SERVICE,
        Dialect::Goim => methods::goim::SERVICE,
    }
}

/// Where a method is called.
pub const fn path(dialect: Dialect, method: Method) -> &'static str {
    match (dialect, method) {
        (Dialect::Chatroom, Method::PushMsg) => methods::PUSH_MSG.name,
        (Dialect::Chatroom, Method::BroadcastRoom) => methods::BROADCAST_ROOM.name,
        (Dialect::Chatroom, Method::Broadcast) => methods::BROADCAST.name,
        (Dialect::Goim, Method::PushMsg) => methods::goim::PUSH_MSG.name,
        (Dialect::Goim, Method::BroadcastRoom) => methods::goim::BROADCAST_ROOM.name,
        (Dialect::Goim, Method::Broadcast) => methods::goim::BROADCAST.name,
    }
}

/// Where it is asked whether a Comet is there.
pub const fn path_of_rooms(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Chatroom => methods::ROOMS.name,
        Dialect::Goim => methods::goim::ROOMS.name,
    }
}

/// The answer, with what a Comet of this kind means by its words.
pub fn understood(dialect: Dialect, mut answer: Answer) -> Answer {
    if let (Dialect::Goim, Err(status)) = (dialect, &mut answer)
        && status.code == UNKNOWN
    {
        status.sense = sense(&status.text);
    }
    answer
}

/// What goim's Comet means: the source is its `internal/comet/errors/errors.go`.
fn sense(text: &str) -> Sense {
    if text == "signal channel full, msg dropped" {
        Sense::Dropped
    } else if text.starts_with("rpc ") && text.ends_with(" arg error") {
        Sense::Refused
    } else {
        Sense::Code
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Status;

    #[test]
    fn goims_errors_have_a_sense_that_their_code_has_not() {
        let sense = |dialect, code, text| {
            let answer = understood(dialect, Err(Status::new(code, text)));
            answer.expect_err("a status").sense
        };
        for (text, expected) in [
            ("rpc pushmsg arg error", Sense::Refused),
            ("rpc broadcast arg error", Sense::Refused),
            ("rpc broadcast  room arg error", Sense::Refused),
            ("signal channel full, msg dropped", Sense::Dropped),
            ("room droped", Sense::Code),
            ("", Sense::Code),
        ] {
            assert_eq!(sense(Dialect::Goim, UNKNOWN, text), expected, "{text}");
            assert_eq!(sense(Dialect::Goim, 14, text), Sense::Code, "{text}");
            assert_eq!(sense(Dialect::Chatroom, UNKNOWN, text), Sense::Code);
        }
        assert_eq!(understood(Dialect::Goim, Ok(())), Ok(()));
    }
}
