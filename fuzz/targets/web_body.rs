//! Bodies, and what stands around them, wherever job makes, reads, shows or passes them on.
//!
//! The input is text in parts, each ended by the byte 0x1e: a body, a name, and headers as `name:value`. Each of the
//! checks below is given the parts, and takes from them what it needs: another place that handles bodies becomes
//! another check.

#![no_main]

#[path = "web_body/letters.rs"]
mod letters;
#[path = "web_body/made.rs"]
mod made;
#[path = "web_body/merged.rs"]
mod merged;
#[path = "web_body/passed_on.rs"]
mod passed_on;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

/// The input's parts.
struct Parts {
    body: Bytes,
    /// Of a room or a user.
    name: String,
    headers: Vec<(String, Option<Bytes>)>,
}

fuzz_target!(|input: &[u8]| {
    let mut parts = input.split(|byte| *byte == 0x1e);
    let parts = Parts {
        body: Bytes::copy_from_slice(parts.next().unwrap_or_default()),
        name: String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned(),
        headers: parts.map(header).collect(),
    };
    made::check(&parts);
    letters::check(&parts);
    merged::check(&parts);
    passed_on::check(&parts);
});

/// A header without a colon has no value (null).
fn header(part: &[u8]) -> (String, Option<Bytes>) {
    let mut halves = part.splitn(2, |byte| *byte == b':');
    let name = halves.next().unwrap_or_default();
    (
        String::from_utf8_lossy(name).into_owned(),
        halves.next().map(Bytes::copy_from_slice),
    )
}

/// Nothing that could end a line, steer a terminal or pass for more than there is. A tab may stand there.
fn is_one_line(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && c != '\t')
}
