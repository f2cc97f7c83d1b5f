//! How a call ended, as it stands in an answer's trailers.

use std::fmt::Write;

use chatroom_job::comet::RpcStatusCode;
use http::{HeaderMap, HeaderValue};

/// Why a call has no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub code: RpcStatusCode,
    pub message: String,
}

impl Status {
    pub fn new(code: RpcStatusCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message }
    }

    /// The end of a call that went well.
    pub fn ok() -> Self {
        Self::new(RpcStatusCode::OK, "")
    }

    /// Puts it among an answer's headers.
    pub fn write(&self, headers: &mut HeaderMap) {
        headers.insert("grpc-status", HeaderValue::from(i32::from(self.code)));
        if !self.message.is_empty()
            && let Ok(message) = HeaderValue::from_str(&percent_encoded(&self.message))
        {
            headers.insert("grpc-message", message);
        }
    }
}

/// What a header can't carry, and the percent sign itself, becomes %XX.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => {
                // Writing to a string doesn't fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_only_what_a_header_can_carry() {
        for (text, encoded) in [
            ("all is well ~", "all is well ~"),
            ("100%", "100%25"),
            ("a\r\n\tb\u{7f}", "a%0D%0A%09b%7F"),
            ("聊", "%E8%81%8A"),
        ] {
            assert_eq!(percent_encoded(text), encoded);
            let mut headers = HeaderMap::new();
            Status::new(RpcStatusCode::INTERNAL, text).write(&mut headers);
            assert_eq!(headers["grpc-status"], "13");
            assert_eq!(headers["grpc-message"], encoded);
        }
        let mut headers = HeaderMap::new();
        Status::ok().write(&mut headers);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["grpc-status"], "0");
    }
}
