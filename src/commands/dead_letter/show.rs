//! Letters as text: one line, or everything.

use std::fmt::Write;

use bytes::Bytes;
use jiff::Timestamp;

use crate::base::text::{escape_body, escape_first};
use crate::consumer::decode;
use crate::dead_letter::letter::StoredLetter;
use crate::dead_letter::whom::Whom;
use crate::kafka::client::ConsumerRecord;
use crate::message::proto::push::PushMsg;
use crate::message::proto::push::push_msg::Type;

/// Limits the bytes of a body that a line shows.
const SHOWN: usize = 80;

/// What became of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Waiting,
    Replayed,
    /// Marked as unwanted by `job dead-letter discard`.
    Discarded,
    /// The letter has no message, because Kafka no longer had it or couldn't read it. It can't be replayed.
    Gone,
}

impl State {
    /// Whether it waits for a decision.
    pub fn waits(self) -> bool {
        matches!(self, State::Waiting | State::Gone)
    }

    fn word(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Replayed => "replayed",
            State::Discarded => "discarded",
            State::Gone => "gone",
        }
    }
}

/// A letter in one line.
pub fn line(letter: &StoredLetter, state: State) -> String {
    let StoredLetter {
        source_topic,
        source,
        replays,
        ..
    } = letter;
    let only = match &letter.whom {
        Whom::All => String::new(),
        only => format!(
            "only for {}  ",
            escape_first(only.to_string().as_bytes(), SHOWN)
        ),
    };
    format!(
        "{}  {}  {}[{}]@{}  rounds {replays}  {}  {}  {only}{}",
        letter.place(),
        time(letter.time),
        escape_body(source_topic.as_bytes()),
        source.partition,
        letter.offsets(),
        state.word(),
        match is_range(letter) {
            true => UNREADABLE.into(),
            false => message(letter.record.value.as_ref()),
        },
        escape_body(letter.reason.as_bytes())
    )
}

/// In place of the message of a letter of what could not be read.
const UNREADABLE: &str = "no message (can't be read)";

fn is_range(letter: &StoredLetter) -> bool {
    letter.last.is_some() && letter.record.value.is_none()
}

/// The message, for a line.
fn message(value: Option<&Bytes>) -> String {
    let push = match (value, decode::decode(value)) {
        (_, Ok(push)) => push,
        (None, _) => return "not a PushMsg (null)".into(),
        (Some(value), Err(_)) => {
            return format!("not a PushMsg \"{}\"", escape_first(value, SHOWN));
        }
    };
    let body = escape_first(&push.msg, SHOWN);
    let to = escape_first(whom(&push).as_bytes(), SHOWN);
    format!(
        "{} {to}{}\"{body}\"",
        kind(&push),
        if to.is_empty() { "" } else { " " }
    )
}

fn kind(push: &PushMsg) -> String {
    match push.type_.enum_value() {
        Ok(Type::PUSH) => "PUSH".into(),
        Ok(Type::ROOM) => "ROOM".into(),
        Ok(Type::BROADCAST) => "BROADCAST".into(),
        Err(unknown) => format!("type {unknown}"),
    }
}

/// The room, or the users.
fn whom(push: &PushMsg) -> String {
    if push.keys.is_empty() {
        push.room.clone()
    } else {
        push.keys.join(",")
    }
}

/// Everything of a letter, one field a line.
pub fn whole(letter: &StoredLetter, state: State) -> String {
    let mut text = String::new();
    let mut say = |name: &str, value: &str| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{name:<10} {value}");
    };
    say("place", &letter.place().to_string());
    say("time", &time(letter.time));
    say("reason", &all(letter.reason.as_bytes()));
    say("for", &all(letter.whom.to_string().as_bytes()));
    say(
        "source",
        &format!(
            "{}[{}]@{}",
            all(letter.source_topic.as_bytes()),
            letter.source.partition,
            letter.offsets()
        ),
    );
    say(
        "written",
        &letter.source.timestamp.map_or("not known".into(), time),
    );
    say("rounds", &letter.replays.to_string());
    say("state", state.word());
    say("key", &bytes(letter.record.key.as_ref()));
    for (name, value) in &letter.record.headers {
        say(
            "header",
            &format!("{}: {}", all(name.as_bytes()), bytes(value.as_ref())),
        );
    }
    let value = letter.record.value.as_ref();
    match decode::decode(value) {
        Err(_) if is_range(letter) => say("message", UNREADABLE),
        Ok(push) => {
            say("type", &kind(&push));
            say("operation", &push.operation.to_string());
            say("speed", &push.speed.to_string());
            say("server", &all(push.server.as_bytes()));
            say("room", &all(push.room.as_bytes()));
            for key in &push.keys {
                say("user", &all(key.as_bytes()));
            }
            if !push.only.is_empty() {
                say("only", &all(push.only.as_bytes()));
            }
            say("body", &bytes(Some(&push.msg)));
        }
        Err(why) => {
            say(
                "message",
                &format!("not a PushMsg: {}", all(why.as_bytes())),
            );
            say("value", &bytes(value));
        }
    }
    text
}

/// A record of the topic that is no letter, in one line.
pub fn other(record: &ConsumerRecord) -> String {
    let headers: Vec<_> = record
        .headers
        .iter()
        .map(|(name, value)| format!("{}: {}", all(name.as_bytes()), bytes(value.as_ref())))
        .collect();
    format!(
        "key {}, value {}, headers {{{}}}",
        bytes(record.key.as_ref()),
        bytes(record.value.as_ref()),
        headers.join(", ")
    )
}

fn all(text: &[u8]) -> String {
    escape_first(text, usize::MAX)
}

/// Bytes with their number, whole.
fn bytes(bytes: Option<&Bytes>) -> String {
    bytes.map_or("null".into(), |bytes| {
        format!("\"{}\" ({} bytes)", all(bytes), bytes.len())
    })
}

/// UTC, to the millisecond.
fn time(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds).map_or_else(
        |_| format!("{milliseconds} ms"),
        |time| format!("{time:.3}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter::letter;
    use protobuf::Message;

    fn letter(value: Option<Vec<u8>>) -> StoredLetter {
        let mut record = letter::letter(17, (2, 1234), &[("trace", "a\nb"), ("job.rounds", "3")]);
        record.key = Some("r1".into());
        record.value = value.map(Bytes::from);
        StoredLetter::read(record).expect("a letter")
    }

    fn room(body: &str) -> Option<Vec<u8>> {
        let push = PushMsg {
            type_: Type::ROOM.into(),
            operation: 4,
            room: "r1".into(),
            msg: body.to_owned().into(),
            ..Default::default()
        };
        Some(push.write_to_bytes().expect("it can be written"))
    }

    #[test]
    fn a_line_tells_place_time_source_replays_state_message_and_reason() {
        assert_eq!(
            line(&letter(room("你好\n")), State::Waiting),
            "0@17  2023-11-14T22:13:21.000Z  t[2]@1234  rounds 3  waiting  ROOM r1 \"你好\\n\"  refused"
        );
        let long = line(&letter(room(&"x".repeat(1000))), State::Replayed);
        assert!(long.contains("xxx… (1000 bytes, first 80 shown)"), "{long}");
        assert!(long.len() < 300, "{long}");
        for (value, says) in [
            (None, "gone  not a PushMsg (null)  refused"),
            (
                Some(b"\xff\xff".to_vec()),
                "gone  not a PushMsg \"\\xff\\xff\"  refused",
            ),
        ] {
            let line = line(&letter(value), State::Gone);
            assert!(line.ends_with(says), "{line}");
        }
    }

    #[test]
    fn the_comets_that_did_not_take_it_are_shown() {
        let mut record = letter(room("hi")).record;
        record
            .headers
            .push(("job.comet".into(), Some("a:1,b:1".into())));
        let letter = StoredLetter::read(record).expect("a letter");
        let line = line(&letter, State::Waiting);
        assert!(
            line.ends_with("ROOM r1 \"hi\"  only for a:1,b:1  refused"),
            "{line}"
        );
        assert!(whole(&letter, State::Waiting).contains("for        a:1,b:1\n"));
    }

    #[test]
    fn what_could_not_be_read_is_shown_with_its_offsets() {
        let mut record = letter::letter(3, (0, 100), &[]);
        record.value = None;
        record
            .headers
            .retain(|(name, _)| name != crate::dead_letter::header::TIMESTAMP);
        let last = (crate::dead_letter::header::LAST.into(), Some("109".into()));
        record.headers.push(last);
        let letter = StoredLetter::read(record).expect("a letter");
        assert!(letter.is_gone());
        let line = line(&letter, State::Gone);
        assert!(
            line.ends_with("t[0]@100-109  rounds 0  gone  no message (can't be read)  refused"),
            "{line}"
        );
        let text = whole(&letter, State::Gone);
        for says in [
            "source     t[0]@100-109\n",
            "message    no message (can't be read)\n",
        ] {
            assert!(text.contains(says), "{says}: {text}");
        }
        let selects = |sources: &str| {
            let selection = crate::commands::dead_letter::Selection {
                sources: crate::commands::dead_letter::Sources::parse(sources).ok(),
                ..Default::default()
            };
            selection.takes(&letter)
        };
        assert!(selects("0:105") && selects("0:90-100") && selects("0:109-"));
        assert!(!selects("0:110") && !selects("0:90-99") && !selects("1"));
    }

    #[test]
    fn whom_a_message_is_for() {
        let shown = |push: PushMsg| {
            message(Some(
                &push.write_to_bytes().expect("it can be written").into(),
            ))
        };
        let users = PushMsg {
            keys: vec!["u1".into(), "u2".into()],
            msg: "hi".into(),
            ..Default::default()
        };
        assert_eq!(shown(users), "PUSH u1,u2 \"hi\"");
        let everybody = PushMsg {
            type_: Type::BROADCAST.into(),
            msg: "hi".into(),
            ..Default::default()
        };
        assert_eq!(shown(everybody), "BROADCAST \"hi\"");
        let unknown = PushMsg {
            type_: protobuf::EnumOrUnknown::from_i32(9),
            ..Default::default()
        };
        assert_eq!(shown(unknown), "type 9 \"\"");
    }

    #[test]
    fn everything_of_a_letter_is_shown_whole_and_escaped() {
        let body = "x".repeat(5000) + "\x1b[31m";
        let text = whole(&letter(room(&body)), State::Waiting);
        for says in [
            "place      0@17\n",
            "source     t[2]@1234\n",
            "written    2023-11-14T22:13:20.000Z\n",
            "key        \"r1\" (2 bytes)\n",
            "header     trace: \"a\\nb\" (3 bytes)\n",
            "header     job.error: \"refused\" (7 bytes)\n",
            "type       ROOM\n",
            "room       r1\n",
        ] {
            assert!(text.contains(says), "{says}: {text}");
        }
        assert!(text.contains(&format!(
            "\"{}\\u{{1b}}[31m\" (5005 bytes)\n",
            "x".repeat(5000)
        )));
        let text = whole(&letter(Some(b"\xff".to_vec())), State::Waiting);
        assert!(text.contains("message    not a PushMsg: 1 bytes"), "{text}");
        assert!(text.contains("value      \"\\xff\" (1 bytes)\n"), "{text}");
    }
}
