//! What is too old to be sent, and what becomes of it.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::duration;

/// What becomes of a message that is older than `max_age`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooOld {
    Skip,
    DeadLetter,
}

/// Reads what becomes of what is too old.
pub fn too_old() -> impl TypedValueParser<Value = TooOld> {
    PossibleValuesParser::new(["skip", "dead-letter"]).map(|name| match name.as_str() {
        "dead-letter" => TooOld::DeadLetter,
        _ => TooOld::Skip,
    })
}

/// A limit that is a time, or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxAge(pub Option<Duration>);

/// Reads such a limit.
pub fn max_age(text: &str) -> Result<MaxAge, String> {
    match text.trim() {
        "off" => Ok(MaxAge(None)),
        time => duration(time)
            .map(|time| MaxAge(Some(time)))
            .map_err(|error| format!("{error}, or off")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_time_or_off() {
        assert_eq!(max_age(" off"), Ok(MaxAge(None)));
        assert_eq!(max_age("2h"), Ok(MaxAge(Some(Duration::from_secs(7_200)))));
        for wrong in ["", "0", "5", "on"] {
            let error = max_age(wrong).expect_err(wrong);
            assert!(error.ends_with(", or off"), "{error}");
        }
    }
}
