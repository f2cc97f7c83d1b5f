//! A request's message as it comes in pieces, a reply's as it leaves, and how long a call may take.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use chatroom_job::comet::RpcStatusCode;

use super::Status;

/// Bodies of 16 MiB are promised; a call is a little larger than its body.
const LONGEST: usize = 32 << 20;
/// A byte that says whether the message is compressed, and four that say how long it is.
const PREFIX: usize = 5;
/// The memory that a message gets before its bytes are there.
const AT_FIRST: usize = 1 << 20;

/// A request whose message is on its way.
#[derive(Default)]
pub struct Incoming {
    /// All that came, the prefix too.
    came: Came,
}

#[derive(Default)]
enum Came {
    #[default]
    Nothing,
    /// In one piece, which isn't copied.
    One(Bytes),
    Pieces(BytesMut),
}

impl Incoming {
    /// Takes the next piece.
    ///
    /// # Errors
    /// The message is one that isn't taken, however it goes on.
    pub fn add(&mut self, piece: Bytes) -> Result<(), Status> {
        if piece.is_empty() {
            return Ok(());
        }
        self.came = match std::mem::take(&mut self.came) {
            Came::Nothing => Came::One(piece),
            Came::One(first) => {
                let wanted = length(&first)?.unwrap_or_default();
                let mut pieces = BytesMut::with_capacity(wanted.clamp(first.len(), AT_FIRST));
                pieces.extend_from_slice(&first);
                pieces.extend_from_slice(&piece);
                Came::Pieces(pieces)
            }
            Came::Pieces(mut pieces) => {
                pieces.extend_from_slice(&piece);
                Came::Pieces(pieces)
            }
        };
        let came = self.came.bytes();
        match length(came)? {
            Some(length) if came.len() > PREFIX + length => Err(not_one_message()),
            _ => Ok(()),
        }
    }

    /// All has come: the message.
    ///
    /// # Errors
    /// There isn't exactly one.
    pub fn finish(self) -> Result<Bytes, Status> {
        let came = self.came.bytes();
        if came.is_empty() {
            return Err(not_one_message());
        }
        if length(came)?.is_none_or(|length| came.len() < PREFIX + length) {
            return Err(Status::new(
                RpcStatusCode::INTERNAL,
                format!(
                    "the request ended after {} bytes, within its message",
                    came.len()
                ),
            ));
        }
        Ok(match self.came {
            Came::Nothing => Bytes::new(),
            Came::One(bytes) => bytes.slice(PREFIX..),
            Came::Pieces(bytes) => bytes.freeze().slice(PREFIX..),
        })
    }
}

impl Came {
    fn bytes(&self) -> &[u8] {
        match self {
            Came::Nothing => &[],
            Came::One(bytes) => bytes,
            Came::Pieces(bytes) => bytes,
        }
    }
}

/// How long the message is, if its prefix has come.
fn length(came: &[u8]) -> Result<Option<usize>, Status> {
    let Some((&[compressed, a, b, c, d], _)) = came.split_first_chunk() else {
        return Ok(None);
    };
    match compressed {
        0 => {}
        1 => {
            return Err(Status::new(
                RpcStatusCode::UNIMPLEMENTED,
                "the request's message is compressed, and this Comet takes none that is",
            ));
        }
        other => {
            return Err(Status::new(
                RpcStatusCode::INTERNAL,
                format!("the request's message begins with {other}, where 0 or 1 is due"),
            ));
        }
    }
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length > LONGEST {
        return Err(Status::new(
            RpcStatusCode::RESOURCE_EXHAUSTED,
            format!("the request's message has {length} bytes, and at most {LONGEST} are taken"),
        ));
    }
    Ok(Some(length))
}

fn not_one_message() -> Status {
    Status::new(
        RpcStatusCode::UNIMPLEMENTED,
        "a request of one message is due, neither none nor several",
    )
}

/// A reply as it leaves.
pub fn framed(message: &[u8]) -> Result<Bytes, Status> {
    let length = u32::try_from(message.len()).map_err(|_| {
        let text = format!("the reply has {} bytes, too many for gRPC", message.len());
        Status::new(RpcStatusCode::INTERNAL, text)
    })?;
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(length);
    framed.put_slice(message);
    Ok(framed.freeze())
}

/// What `grpc-timeout` says: at most eight digits and a unit.
pub fn timeout(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&number.len()) || !number.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number = number.parse::<u64>().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(pieces: &[&[u8]]) -> Result<Bytes, i32> {
        let mut incoming = Incoming::default();
        for piece in pieces {
            let added = incoming.add(Bytes::copy_from_slice(piece));
            added.map_err(|status| i32::from(status.code))?;
        }
        incoming.finish().map_err(|status| status.code.into())
    }

    #[test]
    fn a_message_comes_in_pieces_cut_anywhere() {
        let whole = framed(b"hello").expect("it is short");
        assert_eq!(&whole[..], b"\0\0\0\0\x05hello");
        for first in 0..=whole.len() {
            for second in first..=whole.len() {
                let pieces = [&whole[..first], &whole[first..second], &whole[second..]];
                assert_eq!(taken(&pieces).as_deref(), Ok(&b"hello"[..]));
            }
        }
        assert_eq!(taken(&[b"\0\0\0\0\0"]).as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn what_is_not_one_plain_message_is_refused_as_soon_as_it_is_seen() {
        let rows: [(&[&[u8]], i32); 8] = [
            (&[], 12),
            (&[b""], 12),
            (&[b"\0\0\0\0\0", b"\0\0\0\0\0"], 12),
            (&[b"\0\0\0\0\x01ab"], 12),
            (&[b"\x01\0\0\0\x01a"], 12),
            (&[b"\0\0\0"], 13),
            (&[b"\0\0\0\0\x05hell"], 13),
            (&[b"\x02\0\0\0\x01a"], 13),
        ];
        for (pieces, code) in rows {
            assert_eq!(taken(pieces), Err(code), "{pieces:?}");
        }
        let mut prefix = vec![0];
        prefix.extend_from_slice(&(LONGEST as u32 + 1).to_be_bytes());
        let refused = Incoming::default().add(prefix.into());
        assert_eq!(refused.map_err(|status| i32::from(status.code)), Err(8));
    }

    #[test]
    fn timeouts_have_a_number_and_a_unit() {
        for (text, millis) in [
            ("1H", 3_600_000),
            ("2M", 120_000),
            ("3S", 3000),
            ("99999999m", 99_999_999),
            ("5000u", 5),
            ("6000000n", 6),
        ] {
            assert_eq!(timeout(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for wrong in [
            "",
            "S",
            "1",
            "1s",
            "+1S",
            "1.5S",
            "100000000S",
            "1聊",
            "-1S",
        ] {
            assert_eq!(timeout(wrong), None, "{wrong}");
        }
    }
}
