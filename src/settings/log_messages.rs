//! Which messages the log shows.

/// Which messages have their block of lines in the log, at INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogMessages {
    /// Each one.
    On,
    Off,
    /// The first of each so many.
    Sample(u64),
}

impl LogMessages {
    /// Whether the log shows the message before which `count` others were read.
    pub fn shows(self, count: u64) -> bool {
        match self {
            LogMessages::On => true,
            LogMessages::Off => false,
            LogMessages::Sample(of) => count.is_multiple_of(of),
        }
    }
}

/// Reads which messages the log shows.
///
/// # Errors
/// The text is none of the three forms, or its number is 0.
pub fn log_messages(text: &str) -> Result<LogMessages, String> {
    match text.trim() {
        "on" => Ok(LogMessages::On),
        "off" => Ok(LogMessages::Off),
        text => {
            let number = text.strip_prefix("sample:").map(|of| of.trim().parse());
            match number {
                Some(Ok(of @ 1..)) => Ok(LogMessages::Sample(of)),
                _ => Err(
                    "write on, off, or sample with a number above zero, as sample:100 for one in a hundred".into(),
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_none_or_some_are_shown() {
        let shown = |text: &str| {
            let setting = log_messages(text).expect(text);
            (0..10)
                .filter(|count| setting.shows(*count))
                .collect::<Vec<u64>>()
        };
        assert_eq!(shown("on").len(), 10);
        assert_eq!(shown(" off ").len(), 0);
        assert_eq!(shown("sample:4"), [0, 4, 8]);
        assert_eq!(shown("sample:1").len(), 10);
        for wrong in [
            "",
            "yes",
            "sample",
            "sample:",
            "sample:0",
            "sample:-1",
            "10",
        ] {
            assert!(log_messages(wrong).is_err(), "{wrong}");
        }
    }
}
