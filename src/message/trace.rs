//! A record's trace (W3C Trace Context), as its producer wrote it into Kafka's headers.

/// The headers that it stands in. A call has them as metadata of the same names.
pub const PARENT: &str = "traceparent";
pub const STATE: &str = "tracestate";

/// `version-trace-parent-flags`, of version 00.
const PARENT_LENGTH: usize = 55;
/// What a later version may add.
const LONGEST_PARENT: usize = 128;
/// What has to be passed on. Of a longer one, the newest entries are, which stand in front.
const LONGEST_STATE: usize = 512;

/// A trace that calls pass on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    pub parent: String,
    pub state: Option<String>,
}

impl Trace {
    /// Of the headers' values. `None` where there is none that anybody could read.
    pub fn of(parent: &[u8], state: Option<&[u8]>) -> Option<Trace> {
        let parent = str::from_utf8(parent).ok().filter(|it| is_parent(it))?;
        Some(Trace {
            parent: parent.to_owned(),
            state: state.and_then(cut),
        })
    }
}

fn is_parent(text: &str) -> bool {
    let mut parts = text.split('-');
    let Some(version) = hex(parts.next(), 2).filter(|version| *version != "ff") else {
        return false;
    };
    let is_something = |part: &&str| part.bytes().any(|byte| byte != b'0');
    let is_whole = hex(parts.next(), 32).filter(is_something).is_some()
        && hex(parts.next(), 16).filter(is_something).is_some()
        && hex(parts.next(), 2).is_some();
    let is_long_enough = match version {
        "00" => text.len() == PARENT_LENGTH,
        _ => text.len() <= LONGEST_PARENT,
    };
    is_whole && is_long_enough && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// This part, if it is a number of so many digits.
fn hex(part: Option<&str>, length: usize) -> Option<&str> {
    part.filter(|part| part.len() == length && part.bytes().all(is_lower_hex))
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// Its entries, as many as have room; `None` for none.
fn cut(state: &[u8]) -> Option<String> {
    let state = str::from_utf8(state).ok()?;
    if !state.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return None;
    }
    let mut kept = String::new();
    for entry in state.split(',').map(str::trim) {
        if entry.is_empty() {
            continue;
        }
        if !entry.contains('=') {
            return None;
        }
        if kept.len() + 1 + entry.len() > LONGEST_STATE {
            break;
        }
        if !kept.is_empty() {
            kept.push(',');
        }
        kept += entry;
    }
    (!kept.is_empty()).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RIGHT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn state(text: &str) -> Option<String> {
        let trace = Trace::of(RIGHT.as_bytes(), Some(text.as_bytes()));
        trace.expect("a trace").state
    }

    #[test]
    fn a_parent_is_passed_on_only_if_it_is_one() {
        let later = format!("01{}-more", &RIGHT[2..]);
        for right in [RIGHT, &later] {
            let trace = Trace::of(right.as_bytes(), None).expect(right);
            assert_eq!((&trace.parent[..], trace.state), (right, None));
        }
        for wrong in [
            "",
            "00",
            &RIGHT[..54],
            &format!("{RIGHT}-more"),
            &format!("{later}{}", "e".repeat(99)),
            &RIGHT.to_uppercase(),
            &RIGHT.replacen("00", "ff", 1),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            &format!("01{}-\u{e4}", &RIGHT[2..]),
            &format!("{RIGHT}\n"),
        ] {
            assert_eq!(Trace::of(wrong.as_bytes(), None), None, "{wrong}");
        }
        assert_eq!(Trace::of(b"\xff", None), None);
    }

    #[test]
    fn a_state_is_cut_between_its_entries() {
        assert_eq!(state("a=1, b=2 ,,c=3").as_deref(), Some("a=1,b=2,c=3"));
        for nothing in ["", " ", ",", "a", "a=1,b", "a=\u{e4}", "a=1\r\n"] {
            assert_eq!(state(nothing), None, "{nothing:?}");
        }
        let entry = |n: usize| format!("k{n}={}", "v".repeat(96));
        let many: Vec<_> = (10..20).map(entry).collect();
        assert_eq!(state(&many.join(",")), Some(many[..5].join(",")));
        assert_eq!(state(&format!("k={}", "v".repeat(600))), None);
    }

    proptest! {
        /// Whatever a producer wrote, what is passed on may stand in a call's metadata.
        #[test]
        fn what_is_passed_on_is_metadata(state in "[ -~]{0,700}|.{0,60}") {
            let trace = Trace::of(RIGHT.as_bytes(), Some(state.as_bytes())).expect("a trace");
            if let Some(state) = trace.state {
                prop_assert!(state.len() <= LONGEST_STATE);
                prop_assert_eq!(crate::base::metadata::check_value(STATE, &state), Ok(state.clone()));
            }
        }
    }
}
