//! Notes which message is tried again where and why, for the log and the status page.

use std::time::Instant;

use crate::base::text::one_line;
use crate::comet;
use crate::figures::{Figures, Trouble};
use crate::message::call::Call;
use crate::message::{CometId, Message, Status};

pub fn note(
    figures: &Figures,
    (comet, address): (CometId, &str),
    status: &Status,
    (message, tries): (&Message, u32),
    now: Instant,
) {
    let record = message.record;
    let partition = record.assignment.partition;
    log::debug!(
        topic = partition.topic_name(), partition = partition.index, offset = record.offset, comet = address,
        status = status.code, attempt = tries;
        "partition {partition}, offset {}, {}: try {tries} at Comet {address} failed, it is tried again: {}",
        record.offset,
        to(&message.delivery.call),
        comet::said(status)
    );
    figures.troubles.note(record, now, || Trouble {
        comet,
        to: to(&message.delivery.call),
        status: comet::said(status),
        tries,
    });
}

/// Whom a call is for, in words.
fn to(call: &Call) -> String {
    match call {
        Call::BroadcastRoom { room, .. } => format!("to room '{}'", one_line(room)),
        Call::PushMsg { keys, .. } => match &keys[..] {
            [only] => format!("to user '{}'", one_line(only)),
            [first, more @ ..] => format!("to user '{}' and {} more", one_line(first), more.len()),
            [] => "to nobody".into(),
        },
        Call::Broadcast { .. } => "to everybody".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::call::Frame;

    #[test]
    fn whom_a_call_is_for() {
        let frame = Frame::default();
        let users = |keys: &[&str]| Call::PushMsg {
            keys: keys.iter().map(|&key| key.to_owned()).collect(),
            frame: frame.clone(),
        };
        assert_eq!(to(&users(&["u1"])), "to user 'u1'");
        assert_eq!(to(&users(&["u1", "u2", "u3"])), "to user 'u1' and 2 more");
        let room = Call::BroadcastRoom {
            room: format!("r\n{}", "x".repeat(5_000)),
            frame,
        };
        let to = to(&room);
        assert!(to.starts_with("to room 'r\\nxxx") && to.len() < 600, "{to}");
    }
}
