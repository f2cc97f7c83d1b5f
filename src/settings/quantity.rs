//! Times, sizes and counts, as settings are written.

use std::time::Duration;

use super::ascii::foreign;

/// Reads a time above zero, up to a day: `500ms`, `10s`, `2m` or `1h`.
///
/// # Errors
/// The text is not of this form, or out of range. The error shows what to write.
pub fn duration(text: &str) -> Result<Duration, String> {
    match duration_or_none(text)? {
        Duration::ZERO => Err("must be more than nothing".into()),
        time => Ok(time),
    }
}

/// Reads a time as `duration` does; allows 0, which needs no unit.
///
/// # Errors
/// As [`duration`].
pub fn duration_or_none(text: &str) -> Result<Duration, String> {
    const DAY: Duration = Duration::from_secs(86_400);
    let text = text.trim();
    let (number, unit) = split_unit(text);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let number = number.parse::<u64>().ok();
    if unit.is_empty()
        && let Some(number) = number
    {
        // Whether seconds or milliseconds were meant, nobody can tell: others read such a number either way.
        return match number {
            0 => Ok(Duration::ZERO),
            _ => Err(format!(
                "a time needs its unit: write {number}s for seconds, or {number}ms"
            )),
        };
    }
    let time = number.filter(|_| milliseconds > 0);
    let Some(time) = time.and_then(|n| n.checked_mul(milliseconds)) else {
        let not = "not a time: write a whole number with ms, s, m or h, as 500ms or 10s";
        return Err(with_character(not, text));
    };
    match Duration::from_millis(time) {
        time if time > DAY => Err("longer than a day (24h)".into()),
        time => Ok(time),
    }
}

/// Reads a number of bytes: `65536`, `64KiB`, `64MiB`, `1GiB`.
///
/// # Errors
/// The text is not of this form, or out of range. The error shows what to write.
pub fn bytes(text: &str) -> Result<usize, String> {
    let (number, unit) = split_unit(text.trim());
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => 0,
    };
    let count = number
        .parse::<usize>()
        .ok()
        .and_then(|n| n.checked_mul(factor));
    match count {
        Some(1..) => Ok(count.unwrap_or_default()),
        _ => Err(with_character(
            "not a size of one byte or more: write 65536, 64KiB, 64MiB or 1GiB",
            text,
        )),
    }
}

/// Splits the leading digits from the rest.
fn split_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// Returns a reader of whole numbers from `min` to `max`.
pub fn count(min: usize, max: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| match text.trim().parse() {
        Ok(n) if (min..=max).contains(&n) => Ok(n),
        _ => {
            let range = match max {
                usize::MAX => format!("of {min} or more"),
                max => format!("from {min} to {max}"),
            };
            Err(with_character(&format!("not a whole number {range}"), text))
        }
    }
}

/// The error, and which character of the text is to blame, where one is.
fn with_character(error: &str, text: &str) -> String {
    match foreign(text) {
        Some(character) => format!("{error}; {character}"),
        None => error.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let ms = |text| duration(text).map(|d| d.as_millis());
        assert_eq!(ms("10s"), Ok(10_000));
        assert_eq!(ms(" 500 ms "), Ok(500));
        assert_eq!(ms("2m"), Ok(120_000));
        assert_eq!(ms("24h"), Ok(86_400_000));
        for wrong in [
            "",
            "s",
            "10",
            "-1",
            "1.5s",
            "10x",
            "0",
            "0s",
            "25h",
            "99999999999999999999",
            "18446744073709551615h",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(duration_or_none("0"), Ok(Duration::ZERO));
        assert_eq!(
            duration_or_none("5"),
            Err("a time needs its unit: write 5s for seconds, or 5ms".into())
        );
        let wide = duration("５s").unwrap_err();
        assert!(
            wide.ends_with("; '５' (U+FF15): write '5' instead"),
            "{wide}"
        );
    }

    #[test]
    fn sizes() {
        assert_eq!(bytes("65536"), Ok(65_536));
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("1 gib"), Ok(1 << 30));
        for wrong in [
            "",
            "MiB",
            "0",
            "64MB",
            "-1",
            "1.5MiB",
            "99999999999999999999",
            "99999999999GiB",
        ] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn counts() {
        assert_eq!(count(1, 64)("64"), Ok(64));
        assert_eq!(
            count(1, 64)("65"),
            Err("not a whole number from 1 to 64".into())
        );
        assert_eq!(
            count(1, usize::MAX)("0"),
            Err("not a whole number of 1 or more".into())
        );
    }
}
