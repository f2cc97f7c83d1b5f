//! The calls by number: what each carries, and which answer is right. Servers know it by the key, which has the number.

use chatroom_job::message::Answer;
use chatroom_job::message::call::{Call, Frame};

// Codes of gRPC.
const CANCELLED: i32 = 1;
const DEADLINE_EXCEEDED: i32 = 4;
const NOT_FOUND: i32 = 5;
const INTERNAL: i32 = 13;
const UNAVAILABLE: i32 = 14;

/// Lengths of all kinds: nothing, a line of chat, more than a frame, more than a window.
fn length(number: usize) -> usize {
    match number % 100 {
        99 => 150_000,
        rest if rest % 10 == 9 => 20_000,
        rest if rest % 10 == 0 => 0,
        rest if rest % 10 > 6 => 1_000,
        rest => 10 + rest,
    }
}

pub fn body(number: usize) -> Vec<u8> {
    vec![(number % 251) as u8; length(number)]
}

pub fn key(number: usize) -> String {
    format!("k{number}")
}

pub fn call(number: usize) -> Call {
    Call::PushMsg {
        keys: vec![key(number)],
        frame: Frame {
            op: (number % 1_000) as i32,
            body: body(number).into(),
            is_framed: false,
        },
    }
}

/// What a server says of each third key: it is to be coded and decoded.
pub fn said(key: &str) -> String {
    format!("no key {key}: 100% \u{4f60}")
}

pub fn is_known(number: usize) -> bool {
    !number.is_multiple_of(3)
}

/// What an answer is worth.
#[derive(Debug, PartialEq, Eq)]
pub enum Worth {
    Right,
    /// The server is away, or has not taken it: it is called again.
    Away,
    /// The server, or what is in between, left the call off or doesn't answer in time. It is called again.
    Cut,
    Wrong,
}

pub fn judge(number: usize, answer: &Answer) -> Worth {
    match answer {
        Ok(()) if is_known(number) => Worth::Right,
        Err(status) if status.code == UNAVAILABLE => Worth::Away,
        Err(status) if [CANCELLED, DEADLINE_EXCEEDED, INTERNAL].contains(&status.code) => {
            Worth::Cut
        }
        Err(status) if status.code == NOT_FOUND && !is_known(number) => {
            match status.text == said(&key(number)) {
                true => Worth::Right,
                false => Worth::Wrong,
            }
        }
        _ => Worth::Wrong,
    }
}
