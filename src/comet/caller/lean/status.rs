//! gRPC's status codes, and what HTTP says in their place (the gRPC specifications PROTOCOL-HTTP2 and http-grpc-status-mapping).

use std::time::Duration;

use super::frame::Code;

pub const OK: i32 = 0;
pub const CANCELLED: i32 = 1;
pub const UNKNOWN: i32 = 2;
pub const DEADLINE_EXCEEDED: i32 = 4;
pub const PERMISSION_DENIED: i32 = 7;
pub const RESOURCE_EXHAUSTED: i32 = 8;
pub const UNIMPLEMENTED: i32 = 12;
pub const INTERNAL: i32 = 13;
pub const UNAVAILABLE: i32 = 14;
pub const UNAUTHENTICATED: i32 = 16;

/// Of an HTTP status, where the answer has no `grpc-status`.
pub fn of_http(status: u16) -> i32 {
    match status {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502 | 503 | 504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// Of the code that the peer reset a stream with.
pub fn of_reset(code: Code) -> i32 {
    match code {
        Code::REFUSED_STREAM => UNAVAILABLE,
        Code::CANCEL => CANCELLED,
        Code::ENHANCE_YOUR_CALM => RESOURCE_EXHAUSTED,
        Code::INADEQUATE_SECURITY => PERMISSION_DENIED,
        Code::NO_ERROR
        | Code::PROTOCOL_ERROR
        | Code::INTERNAL_ERROR
        | Code::FLOW_CONTROL_ERROR
        | Code::SETTINGS_TIMEOUT
        | Code::FRAME_SIZE_ERROR
        | Code::COMPRESSION_ERROR
        | Code::CONNECT_ERROR => INTERNAL,
        _ => UNKNOWN,
    }
}

/// Reads `grpc-status`: a number without zeros in front. What is none means UNKNOWN, never OK.
pub fn parse(value: &[u8]) -> i32 {
    match value {
        [b'0'] => OK,
        [b'1'..=b'9', rest @ ..] if rest.len() < 9 && rest.iter().all(u8::is_ascii_digit) => value
            .iter()
            .fold(0, |number, digit| number * 10 + i32::from(digit - b'0')),
        _ => UNKNOWN,
    }
}

/// The most bytes that are kept of a `grpc-message`.
const LONGEST_MESSAGE: usize = 16 << 10;

/// Decodes `grpc-message`. A percent sign that begins no code stands for itself.
pub fn message(value: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(value.len().min(LONGEST_MESSAGE));
    let mut rest = value;
    while let Some((first, behind)) = rest.split_first()
        && bytes.len() < LONGEST_MESSAGE
    {
        let coded = match behind {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match coded {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}

/// The value of `grpc-timeout`: 8 digits at most and a unit. Rounded up, so that the server doesn't give up first.
pub fn timeout(within: Duration, out: &mut Vec<u8>) {
    const MOST: u128 = 99_999_999;
    let units = [(b'u', 1_000_u128), (b'm', 1_000_000), (b'S', 1_000_000_000)];
    let nanos = within.as_nanos();
    // The coarsest unit that says it exactly, or else the finest in which it has room.
    let exact = units
        .iter()
        .rev()
        .find(|unit| nanos.is_multiple_of(unit.1) && nanos / unit.1 <= MOST);
    let room = units.iter().find(|unit| nanos.div_ceil(unit.1) <= MOST);
    let (unit, count) = match exact.or(room) {
        Some((unit, size)) => (*unit, nanos.div_ceil(*size)),
        None => (b'S', MOST),
    };
    let mut digits = [0; 8];
    let mut rest = count;
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
    out.push(unit);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn http_errors_have_the_status_of_the_specification() {
        let rows = [
            (INTERNAL, vec![400]),
            (UNAUTHENTICATED, vec![401]),
            (PERMISSION_DENIED, vec![403]),
            (UNIMPLEMENTED, vec![404]),
            (UNAVAILABLE, vec![429, 502, 503, 504]),
            (UNKNOWN, vec![200, 204, 301, 405, 500, 599]),
        ];
        for (expected, statuses) in rows {
            for status in statuses {
                assert_eq!(of_http(status), expected, "HTTP {status}");
            }
        }
    }

    #[test]
    fn resets_have_the_status_of_the_specification() {
        let expected = [13, 13, 13, 13, 13, 2, 13, 14, 1, 13, 13, 8, 7, 2, 2];
        for (code, expected) in (0..).zip(expected) {
            assert_eq!(of_reset(Code(code)), expected, "{}", Code(code));
        }
    }

    #[test]
    fn what_is_no_status_is_never_ok() {
        let rows: [(&[u8], i32); 9] = [
            (b"0", 0),
            (b"5", 5),
            (b"16", 16),
            (b"99", 99),
            (b"00", 2),
            (b"05", 2),
            (b"", 2),
            (b"-1", 2),
            (b"99999999999", 2),
        ];
        for (value, expected) in rows {
            assert_eq!(parse(value), expected, "{value:?}");
        }
    }

    #[test]
    fn a_message_is_decoded() {
        assert_eq!(message(b"no key: %E4%BD%A0%25"), "no key: \u{4f60}%");
        assert_eq!(message(b"100% of %zz %4"), "100% of %zz %4");
        assert_eq!(message(b"%ff"), "\u{fffd}");
        assert_eq!(message(&[b'a'; 100_000]).len(), LONGEST_MESSAGE);
    }

    fn written(within: Duration) -> String {
        let mut out = Vec::new();
        timeout(within, &mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn a_timeout_has_the_unit_that_says_it() {
        assert_eq!(written(Duration::from_secs(5)), "5S");
        assert_eq!(written(Duration::from_millis(1500)), "1500m");
        assert_eq!(written(Duration::from_micros(7)), "7u");
        assert_eq!(written(Duration::from_nanos(1)), "1u");
        assert_eq!(written(Duration::ZERO), "0S");
        assert_eq!(written(Duration::MAX), "99999999S");
    }

    proptest! {
        #[test]
        fn a_timeout_is_never_shorter_and_at_most_a_millisecond_longer(nanos in 0..100_000_000_000_000_u64) {
            let text = written(Duration::from_nanos(nanos));
            let (digits, unit) = text.split_at(text.len() - 1);
            let nanos_each = match unit { "S" => 1_000_000_000, "m" => 1_000_000, _ => 1_000 };
            let read = digits.parse::<u64>().expect("digits") * nanos_each;
            prop_assert!(digits.len() <= 8 && read >= nanos && read - nanos < 1_000_000, "{text}");
        }
    }
}
