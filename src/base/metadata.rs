//! gRPC's rules for a call's metadata: what names and values may be (gRPC over HTTP/2, "Custom-Metadata").

use std::fmt;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};

/// The most bytes of one value. Servers take 8 KiB of metadata in all, unless they are set otherwise.
pub const LONGEST_VALUE: usize = 4 << 10;
/// The most bytes of all names and values together, with the 32 that HTTP/2 counts for each.
const MOST: usize = 6 << 10;
/// What HTTP/2 counts for each field beside its bytes.
pub const EACH: usize = 32;

/// What HTTP/2 and gRPC have for themselves.
const RESERVED: [&str; 14] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// What job sends of each record, where it is told to.
const OF_RECORDS: [&str; 4] = ["job-record", "job-attempt", "traceparent", "tracestate"];

/// Where a value is.
#[derive(Clone, PartialEq)]
pub enum Source {
    /// Here, as it travels.
    Given(String),
    File(PathBuf),
}

impl Source {
    pub fn is_file(&self) -> bool {
        matches!(self, Source::File(_))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Given(_) => f.write_str("(hidden)"),
            Source::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// base64, with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whether a name's values are bytes, which travel as base64.
pub fn is_binary(name: &str) -> bool {
    name.ends_with("-bin")
}

/// The bytes of a value in base64, with padding or without.
pub fn decoded(value: &str) -> Option<Vec<u8>> {
    BASE64.decode(value).ok()
}

/// Bytes as they travel.
pub fn encoded(value: &[u8]) -> String {
    BASE64.encode(value)
}

/// Checks how many bytes all names and values have, with [`EACH`] for each.
///
/// # Errors
/// They are too many.
pub fn check_size(size: usize) -> Result<(), String> {
    match size <= MOST {
        true => Ok(()),
        false => Err(format!(
            "names and values have {size} bytes, with {EACH} for each, and {MOST} are the most"
        )),
    }
}

/// Checks a name.
///
/// # Errors
/// No call may have it: why. The text doesn't repeat the name.
pub fn check_name(name: &str) -> Result<(), String> {
    let may_be = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.')
    };
    if name.is_empty() {
        Err("a name is missing: write name=value".into())
    } else if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Err(format!(
            "names are in lower case: write {}",
            name.to_ascii_lowercase().escape_debug()
        ))
    } else if !name.bytes().all(may_be) {
        Err("a name has a to z, 0 to 9, '-', '_' and '.' only".into())
    } else if name.starts_with("grpc-") {
        Err("names that begin with grpc- are gRPC's own".into())
    } else if RESERVED.contains(&name) {
        Err("this name is HTTP/2's own".into())
    } else if OF_RECORDS.contains(&name) {
        Err("this name is for what record-metadata sends of each record".into())
    } else {
        Ok(())
    }
}

/// Checks a name's value, and returns it as it travels.
///
/// # Errors
/// No call may have it: why. The text doesn't show the value.
pub fn check_value(name: &str, value: &str) -> Result<String, String> {
    if value.is_empty() {
        return Err("its value is empty".into());
    }
    if value.len() > LONGEST_VALUE {
        return Err(format!(
            "its value has {} bytes, and {LONGEST_VALUE} are the most",
            value.len()
        ));
    }
    if is_binary(name) {
        let bytes = decoded(value)
            .ok_or("its value is not base64, which the value of a name with -bin has to be")?;
        return Ok(encoded(&bytes));
    }
    if !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(
            "its value has more than printable ASCII: give it a name that ends with -bin, and write it in base64"
                .into(),
        );
    }
    if value.starts_with(' ') || value.ends_with(' ') {
        return Err("its value begins or ends with a space, which gRPC takes off".into());
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_by_grpcs_rules() {
        for right in [
            "authorization",
            "x-env",
            "a_b.c-1",
            "trace-bin",
            "grpcx",
            "cookie",
        ] {
            assert_eq!(check_name(right), Ok(()), "{right}");
        }
        for (wrong, says) in [
            ("", "missing"),
            ("X-Env", "write x-env"),
            ("x env", "a to z"),
            (":path", "a to z"),
            ("x-\u{e4}", "a to z"),
            ("grpc-timeout", "grpc-"),
            ("te", "HTTP/2"),
            ("user-agent", "HTTP/2"),
            ("traceparent", "record-metadata"),
        ] {
            let error = check_name(wrong).expect_err(wrong);
            assert!(error.contains(says), "{wrong}: {error}");
        }
    }

    #[test]
    fn values_are_checked_by_grpcs_rules_and_shown_nowhere() {
        for (name, value, travels) in [
            ("x", "Bearer a b~", "Bearer a b~"),
            ("x-bin", "AAEC/w==", "AAEC/w"),
            ("x-bin", "AAEC/w", "AAEC/w"),
        ] {
            assert_eq!(check_value(name, value).as_deref(), Ok(travels));
        }
        let long = "secret".repeat(LONGEST_VALUE / 6 + 1);
        for (name, value, says) in [
            ("x", "", "empty"),
            ("x", "secret\n", "printable"),
            ("x", "secret\u{e4}", "printable"),
            ("x", " secret", "space"),
            ("x", "secret ", "space"),
            ("x", &long, "the most"),
            ("x-bin", "secret?", "base64"),
        ] {
            let error = check_value(name, value).expect_err(value);
            assert!(
                error.contains(says) && !error.contains("secret"),
                "{value}: {error}"
            );
        }
    }
}
