//! Frames (RFC 9113, section 4): their heads, types, flags and error codes.

/// Bytes of a frame's head (4.1).
pub const HEAD: usize = 9;
/// The largest payload that either side may send until the other allows more (6.5.2). This side never allows more.
pub const MAX_FRAME: usize = 16_384;
/// The largest payload that a peer may allow.
pub const MAX_FRAME_ALLOWED: u32 = (1 << 24) - 1;
/// The largest window, and the largest stream id.
pub const MAX_31: u32 = (1 << 31) - 1;
/// What a client says first (3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 0x1;
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
pub const PADDED: u8 = 0x8;
pub const WITH_PRIORITY: u8 = 0x20;

/// What stands in front of each frame's payload (4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub len: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Head {
    /// Reads a head; the reserved bit is ignored.
    pub fn parse(bytes: &[u8; HEAD]) -> Head {
        let [a, b, c, kind, flags, id @ ..] = *bytes;
        Head {
            len: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes(id) & MAX_31,
        }
    }

    /// The head's bytes. A payload is at most 2^24 - 1 bytes long.
    pub fn bytes(&self) -> [u8; HEAD] {
        let [_, a, b, c] = (self.len as u32).to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, d, e, f, g]
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Appends a frame.
pub fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let head = Head {
        len: payload.len(),
        kind,
        flags,
        stream,
    };
    out.extend_from_slice(&head.bytes());
    out.extend_from_slice(payload);
}

/// Takes padding away from the payload of DATA or HEADERS (6.1). Returns `None` where there is more of it than payload.
pub fn unpadded(head: Head, payload: &[u8]) -> Option<&[u8]> {
    if !head.has(PADDED) {
        return Some(payload);
    }
    let (pad, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(*pad))?)
}

/// The number in the first 4 bytes, without the reserved bit.
pub fn number(payload: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*payload.first_chunk()?) & MAX_31)
}

/// The error code in 4 bytes.
pub fn code(payload: &[u8]) -> Option<Code> {
    Some(Code(u32::from_be_bytes(*payload.as_array()?)))
}

/// Why a stream or a connection ends (section 7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Code(pub u32);

impl Code {
    pub const NO_ERROR: Code = Code(0);
    pub const PROTOCOL_ERROR: Code = Code(1);
    pub const INTERNAL_ERROR: Code = Code(2);
    pub const FLOW_CONTROL_ERROR: Code = Code(3);
    pub const SETTINGS_TIMEOUT: Code = Code(4);
    pub const FRAME_SIZE_ERROR: Code = Code(6);
    pub const REFUSED_STREAM: Code = Code(7);
    pub const CANCEL: Code = Code(8);
    pub const COMPRESSION_ERROR: Code = Code(9);
    pub const CONNECT_ERROR: Code = Code(10);
    pub const ENHANCE_YOUR_CALM: Code = Code(11);
    pub const INADEQUATE_SECURITY: Code = Code(12);
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const NAMES: [&str; 14] = [
            "NO_ERROR",
            "PROTOCOL_ERROR",
            "INTERNAL_ERROR",
            "FLOW_CONTROL_ERROR",
            "SETTINGS_TIMEOUT",
            "STREAM_CLOSED",
            "FRAME_SIZE_ERROR",
            "REFUSED_STREAM",
            "CANCEL",
            "COMPRESSION_ERROR",
            "CONNECT_ERROR",
            "ENHANCE_YOUR_CALM",
            "INADEQUATE_SECURITY",
            "HTTP_1_1_REQUIRED",
        ];
        match NAMES.get(self.0 as usize) {
            Some(name) => f.write_str(name),
            None => write!(f, "error {}", self.0),
        }
    }
}

/// What the peer did that ends the connection (5.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: Code,
    pub what: &'static str,
}

impl Fault {
    pub fn protocol(what: &'static str) -> Fault {
        Fault {
            code: Code::PROTOCOL_ERROR,
            what,
        }
    }

    pub fn size(what: &'static str) -> Fault {
        Fault {
            code: Code::FRAME_SIZE_ERROR,
            what,
        }
    }

    pub fn flow(what: &'static str) -> Fault {
        Fault {
            code: Code::FLOW_CONTROL_ERROR,
            what,
        }
    }

    pub fn calm(what: &'static str) -> Fault {
        Fault {
            code: Code::ENHANCE_YOUR_CALM,
            what,
        }
    }

    pub fn compression(what: &'static str) -> Fault {
        Fault {
            code: Code::COMPRESSION_ERROR,
            what,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let head = Head {
            len: 0x01_02_03,
            kind: HEADERS,
            flags: END_HEADERS | END_STREAM,
            stream: MAX_31,
        };
        let mut bytes = head.bytes();
        assert_eq!(bytes, [1, 2, 3, 1, 5, 0x7f, 0xff, 0xff, 0xff]);
        bytes[5] |= 0x80;
        assert_eq!(Head::parse(&bytes), head);
        assert!(head.has(END_STREAM) && !head.has(PADDED));
    }

    #[test]
    fn padding_is_taken_away_and_never_longer_than_the_payload() {
        let padded = |flags, payload| {
            let head = Head {
                len: 0,
                kind: DATA,
                flags,
                stream: 1,
            };
            unpadded(head, payload)
        };
        assert_eq!(padded(0, b"\x02ab"), Some(&b"\x02ab"[..]));
        assert_eq!(padded(PADDED, b"\x02ab\0\0"), Some(&b"ab"[..]));
        assert_eq!(padded(PADDED, b"\x02\0\0"), Some(&b""[..]));
        assert_eq!(padded(PADDED, b"\x03\0\0"), None);
        assert_eq!(padded(PADDED, b""), None);
    }

    #[test]
    fn each_error_code_has_its_name() {
        assert_eq!(Code(0).to_string(), "NO_ERROR");
        assert_eq!(Code::ENHANCE_YOUR_CALM.to_string(), "ENHANCE_YOUR_CALM");
        assert_eq!(Code(13).to_string(), "HTTP_1_1_REQUIRED");
        assert_eq!(Code(99).to_string(), "error 99");
    }
}
