//! SETTINGS (RFC 9113, section 6.5): what the peer asks for, and what this side says.

use super::flow::FIRST_WINDOW;
use super::frame::{self, Fault, MAX_31, MAX_FRAME, MAX_FRAME_ALLOWED, PREFACE};
use super::hpack::LIMIT;

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;

/// What the peer asks for. It begins with what holds until it says something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub header_table: u32,
    /// The least that the last SETTINGS said of it.
    pub header_table_least: u32,
    pub max_streams: u32,
    pub window: u32,
    pub max_frame: u32,
    pub max_header_list: u32,
}

impl Peer {
    pub fn new() -> Self {
        Self {
            header_table: LIMIT as u32,
            header_table_least: u32::MAX,
            max_streams: u32::MAX,
            window: FIRST_WINDOW,
            max_frame: MAX_FRAME as u32,
            max_header_list: u32::MAX,
        }
    }

    /// Takes the payload of a SETTINGS frame. Settings that nobody knows are ignored (6.5.2).
    pub fn apply(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(Fault::size("SETTINGS of a length that it can't have"));
        }
        self.header_table_least = u32::MAX;
        for [a, b, value @ ..] in settings {
            let value = u32::from_be_bytes(*value);
            match u16::from_be_bytes([*a, *b]) {
                HEADER_TABLE_SIZE => {
                    self.header_table = value;
                    self.header_table_least = self.header_table_least.min(value);
                }
                ENABLE_PUSH if value != 0 => {
                    return Err(Fault::protocol("a server that says ENABLE_PUSH"));
                }
                MAX_CONCURRENT_STREAMS => self.max_streams = value,
                INITIAL_WINDOW_SIZE if value > MAX_31 => {
                    return Err(Fault::flow("an INITIAL_WINDOW_SIZE that is too large"));
                }
                INITIAL_WINDOW_SIZE => self.window = value,
                MAX_FRAME_SIZE if !(MAX_FRAME as u32..=MAX_FRAME_ALLOWED).contains(&value) => {
                    return Err(Fault::protocol("a MAX_FRAME_SIZE that none may be"));
                }
                MAX_FRAME_SIZE => self.max_frame = value,
                MAX_HEADER_LIST_SIZE => self.max_header_list = value,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Writes what a client says first (3.4): the preface, and SETTINGS without push, with the window of each stream and the
/// longest list of fields.
pub fn greet(out: &mut Vec<u8>, window: u32, max_header_list: u32) {
    let mut payload = [0; 18];
    let values = [
        (ENABLE_PUSH, 0),
        (INITIAL_WINDOW_SIZE, window),
        (MAX_HEADER_LIST_SIZE, max_header_list),
    ];
    for (at, (setting, value)) in payload.as_chunks_mut::<6>().0.iter_mut().zip(values) {
        let ([a, b], [c, d, e, f]) = (setting.to_be_bytes(), u32::to_be_bytes(value));
        *at = [a, b, c, d, e, f];
    }
    out.extend_from_slice(PREFACE);
    frame::write(out, frame::SETTINGS, 0, 0, &payload);
}

#[cfg(test)]
mod tests {
    use super::super::frame::Code;
    use super::*;

    fn applied(settings: &[(u16, u32)]) -> Result<Peer, Fault> {
        let mut payload = Vec::new();
        for (setting, value) in settings {
            payload.extend(setting.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let mut peer = Peer::new();
        peer.apply(&payload).map(|()| peer)
    }

    #[test]
    fn each_setting_is_taken_and_what_nobody_knows_is_ignored() {
        assert_eq!(applied(&[]), Ok(Peer::new()));
        let all = [
            (1, 0),
            (2, 0),
            (3, 7),
            (4, MAX_31),
            (5, 20_000),
            (6, 9),
            (99, 1),
            (3, 8),
        ];
        let expected = Peer {
            header_table: 0,
            header_table_least: 0,
            max_streams: 8,
            window: MAX_31,
            max_frame: 20_000,
            max_header_list: 9,
        };
        assert_eq!(applied(&all), Ok(expected));
    }

    #[test]
    fn what_a_setting_may_not_be_is_refused_with_the_right_code() {
        for (setting, value, code) in [
            (2, 1, Code::PROTOCOL_ERROR),
            (4, MAX_31 + 1, Code::FLOW_CONTROL_ERROR),
            (5, 16_383, Code::PROTOCOL_ERROR),
            (5, 1 << 24, Code::PROTOCOL_ERROR),
        ] {
            let refused = applied(&[(setting, value)]).expect_err("it may not be");
            assert_eq!(refused.code, code, "setting {setting} is {value}");
        }
        let cut = Peer::new().apply(&[0; 5]).expect_err("it is cut");
        assert_eq!(cut.code, Code::FRAME_SIZE_ERROR);
    }

    #[test]
    fn a_client_greets_with_its_preface_and_settings() {
        let mut out = Vec::new();
        greet(&mut out, 0x0102_0304, 0x0506);
        let settings =
            b"\0\0\x12\x04\0\0\0\0\0\0\x02\0\0\0\0\0\x04\x01\x02\x03\x04\0\x06\0\0\x05\x06";
        assert_eq!(out, [PREFACE, settings].concat());
    }
}
