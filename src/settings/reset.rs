//! Where a group begins that has committed nothing.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// Where to begin in a partition of which the group has committed nothing. Kafka's names (KIP-1106).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoOffsetReset {
    /// At the first record that Kafka has.
    Earliest,
    /// At the first record that is written after the start of this process.
    Latest,
    /// At the first record that is at most this old at the start of this process.
    ByDuration(Duration),
}

const FORMS: &str =
    "write earliest, latest, or by_duration with a time, as by_duration:1h or by_duration:P7D";

/// Reads where to begin.
///
/// # Errors
/// The text is none of the three forms, or its time is not above zero.
pub fn auto_offset_reset(text: &str) -> Result<AutoOffsetReset, String> {
    match text.trim() {
        "earliest" => Ok(AutoOffsetReset::Earliest),
        "latest" => Ok(AutoOffsetReset::Latest),
        text => {
            let time = text.strip_prefix("by_duration:").ok_or(FORMS)?;
            by_duration(time).ok_or_else(|| format!("not a time above zero: {FORMS}"))
        }
    }
}

/// Reads a time as Kafka has it (ISO 8601, `PT1H`) or as job's other settings do (`1h`).
fn by_duration(text: &str) -> Option<AutoOffsetReset> {
    let span: Span = text.trim().parse().ok()?;
    let time = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    let time = Duration::try_from(time).ok().filter(|time| !time.is_zero());
    time.map(AutoOffsetReset::ByDuration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_group_begins_early_late_or_so_long_ago() {
        assert_eq!(auto_offset_reset("earliest"), Ok(AutoOffsetReset::Earliest));
        assert_eq!(auto_offset_reset(" latest "), Ok(AutoOffsetReset::Latest));
        let hours = |hours: u64| AutoOffsetReset::ByDuration(Duration::from_secs(hours * 3_600));
        for (text, time) in [
            ("1h", 1),
            ("PT1H", 1),
            ("P7D", 168),
            ("36h", 36),
            ("60m", 1),
        ] {
            let read = auto_offset_reset(&format!("by_duration:{text}"));
            assert_eq!(read, Ok(hours(time)), "{text}");
        }
        for wrong in ["", "newest", "none", "by_duration", "1h"] {
            assert_eq!(auto_offset_reset(wrong), Err(FORMS.into()), "{wrong}");
        }
        for wrong in ["", "0s", "-PT1H", "1", "P1M", "99999999999999999999h"] {
            let error = auto_offset_reset(&format!("by_duration:{wrong}")).expect_err(wrong);
            assert!(error.ends_with(FORMS), "{error}");
        }
    }
}
