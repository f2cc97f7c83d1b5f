//! What speaks at an address where Kafka should, told by the first bytes that came back.

use crate::base::text::escape_first;

/// How much of an answer is looked at, and shown, in bytes.
pub const LOOKED_AT: usize = 80;

/// Most answers are a few bytes a partition; a longer one is not from Kafka.
pub const LONGEST_ANSWER: usize = 1 << 20;

/// Whether the answer to a request with this number can begin so: its length (`longest` at most), and the number again. Of fewer bytes than
/// that, those that came are judged.
pub fn may_be_kafka(came: &[u8], correlation: i32, longest: usize) -> bool {
    let length_fits = came.first_chunk().is_none_or(|length| {
        let length = u32::from_be_bytes(*length) as usize;
        (4..=longest).contains(&length)
    });
    let number = came.get(4..).and_then(<[u8]>::first_chunk);
    length_fits && number.is_none_or(|number| i32::from_be_bytes(*number) == correlation)
}

/// Says who answers so: the end of a sentence, on one line, whatever came.
pub fn describe(answer: &[u8]) -> String {
    let line = answer.split(|byte| b"\r\n".contains(byte)).next();
    let shown = escape_first(line.unwrap_or_default(), LOOKED_AT);
    match answer {
        [b'H', b'T', b'T', b'P', b'/', ..] => format!("an HTTP server answers there: \"{shown}\""),
        // An alert record of any version.
        [0x15, 0x03, ..] => {
            "a TLS listener answers there: set security-protocol to SSL or SASL_SSL".into()
        }
        // The SETTINGS frame of stream 0.
        [0, 0, _, 4, _, 0, 0, 0, 0, ..] | [0, 0, _, 4, _] => {
            "an HTTP/2 server answers there, as a Comet's gRPC is".into()
        }
        [b'S', b'S', b'H', b'-', ..] => format!("an SSH server answers there: \"{shown}\""),
        _ => format!("what answers there is not Kafka: it sent \"{shown}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_is_said_on_one_line() {
        for (answer, says) in [
            (
                &b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n"[..],
                "an HTTP server answers there: \"HTTP/1.1 400 Bad Request\"",
            ),
            (b"\x15\x03\x03\0\x02\x02\x46", "a TLS listener"),
            (b"\0\0\x12\x04\0\0\0\0\0\0\x03", "an HTTP/2 server"),
            (
                b"SSH-2.0-x\r\n",
                "an SSH server answers there: \"SSH-2.0-x\"",
            ),
            (
                b"-ERR \x1b[31m\n",
                "not Kafka: it sent \"-ERR \\u{1b}[31m\"",
            ),
            (&[0xff; 500], "not Kafka: it sent \"\\xff"),
            (b"", "not Kafka: it sent \"\""),
        ] {
            let said = describe(answer);
            assert!(said.contains(says), "{said}");
            assert!(
                !said.contains(char::is_control) && said.len() < 600,
                "{said}"
            );
        }
    }

    #[test]
    fn kafka_is_known_by_length_and_number() {
        let answer = [0, 0, 0, 60, 0, 0, 0, 7];
        for come in 0..=answer.len() {
            assert!(may_be_kafka(&answer[..come], 7, LONGEST_ANSWER), "{come}");
        }
        assert!(!may_be_kafka(&answer, 8, LONGEST_ANSWER));
        assert!(!may_be_kafka(&[0, 0, 0, 3], 7, LONGEST_ANSWER));
        assert!(!may_be_kafka(b"HTTP", 7, LONGEST_ANSWER));
        assert!(!may_be_kafka(
            &[0, 0, 0x12, 4, 0, 0, 0, 0],
            1,
            LONGEST_ANSWER
        ));
    }
}
