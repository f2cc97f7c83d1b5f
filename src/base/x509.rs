//! What people are told of a certificate: until when it is valid, and for whom.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rustls::pki_types::UnixTime;

use super::text::escape_first;

/// How much of a name is shown, in bytes.
const SHOWN: usize = 200;

/// Until when a certificate (DER) is valid; `None` where it is none.
pub fn expires(certificate: &[u8]) -> Option<Timestamp> {
    /// The tags of what stands before the time: version, serial number, algorithm, issuer.
    const VERSION: u8 = 0xA0;
    const BEFORE: [u8; 3] = [0x02, SEQUENCE, SEQUENCE];
    let (certificate, _) = inside(certificate, SEQUENCE)?;
    let (mut rest, _) = inside(certificate, SEQUENCE)?;
    if let Some((_, after)) = inside(rest, VERSION) {
        rest = after;
    }
    for tag in BEFORE {
        rest = inside(rest, tag)?.1;
    }
    let (validity, _) = inside(rest, SEQUENCE)?;
    let (_, _, after) = element(validity)?;
    let (tag, text, _) = element(after)?;
    time_of(tag, std::str::from_utf8(text).ok()?)
}

const SEQUENCE: u8 = 0x30;

/// The content of the first element, which has this tag, and what is behind it.
fn inside(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(der)?;
    (found == tag).then_some((content, rest))
}

/// The first element: tag, content, and what is behind it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits
                .iter()
                .fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDhhmmssZ`, where a year from 50 on is of the 20th century; or with all four digits of the year (RFC 5280, 4.1.2.5).
fn time_of(tag: u8, text: &str) -> Option<Timestamp> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let digits = text.strip_suffix('Z')?;
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    if rest.len() != 10 {
        return None;
    }
    let pair = |at: usize| rest[at..at + 2].parse::<i8>().ok();
    let time = DateTime::new(year, pair(0)?, pair(2)?, pair(4)?, pair(6)?, pair(8)?, 0).ok()?;
    let zoned = time.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp())
}

/// The names of a certificate, as rustls shows them: `DnsName("a")`.
pub fn names(presented: &[String]) -> String {
    let plain = presented.iter().map(|name| {
        let inner = name
            .split_once('(')
            .and_then(|(_, rest)| rest.strip_suffix(')'));
        let inner = inner.unwrap_or(name).trim_matches('"');
        escape_first(inner.as_bytes(), SHOWN)
    });
    match plain.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "no name (subjectAltName is missing)".into(),
        names => names,
    }
}

/// A time, as a certificate has it.
pub fn time(at: UnixTime) -> String {
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds)
        .map_or_else(|_| format!("second {seconds}"), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    /// A certificate that openssl makes, and the time that openssl shows of it.
    fn made(days: &str) -> (Vec<u8>, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name).display().to_string();
        let run = |words: &str| {
            let done = Command::new("openssl").args(words.split(' ')).output();
            let done = done.expect("openssl starts");
            assert!(done.status.success(), "{done:?}");
            String::from_utf8(done.stdout).expect("text")
        };
        let (key, certificate) = (file("key"), file("certificate"));
        run(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=comet -days {days} -keyout {key} -out {certificate}"
        ));
        let shown = run(&format!(
            "x509 -in {certificate} -noout -enddate -dateopt iso_8601"
        ));
        let shown = shown
            .trim()
            .trim_start_matches("notAfter=")
            .replace(' ', "T");
        let pem = std::fs::read(certificate).expect("it is there");
        let der = CertificateDer::from_pem_slice(&pem).expect("a certificate");
        (der.to_vec(), shown)
    }

    #[test]
    fn the_end_is_the_one_that_openssl_shows() {
        // From 2050 on the year has four digits.
        for days in ["1", "400", "36500"] {
            let (certificate, shown) = made(days);
            let expires = expires(&certificate).expect("it has an end");
            assert_eq!(expires.to_string(), shown);
        }
    }

    #[test]
    fn what_is_cut_or_changed_has_no_end_and_does_no_harm() {
        let (certificate, _) = made("1");
        for length in 0..200 {
            assert_eq!(expires(&certificate[..length]), None);
        }
        for place in 0..certificate.len() {
            let mut changed = certificate.clone();
            changed[place] ^= 0xff;
            let _ = expires(&changed);
        }
        assert_eq!(
            time_of(0x17, "991231235959Z")
                .map(|at| at.to_string())
                .as_deref(),
            Some("1999-12-31T23:59:59Z")
        );
        assert_eq!(time_of(0x17, "+91231235959Z"), None);
    }
}
