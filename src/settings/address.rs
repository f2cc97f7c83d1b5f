//! Addresses, as settings list them.

use std::net::Ipv6Addr;

use super::UNIX;
use super::ascii::{instead, meant, named};
use crate::base::text::one_line;

/// A list of one or more `host:port`.
#[derive(Clone, Debug, PartialEq)]
pub struct Addresses(pub Vec<String>);

/// Reads a comma-separated list of `host:port`.
///
/// # Errors
/// An address is missing or invalid. The error names it or its wrong character, and what to write.
pub fn addresses(text: &str) -> Result<Addresses, String> {
    separators(text)?;
    text.split(',')
        .map(address)
        .collect::<Result<_, _>>()
        .map(Addresses)
}

/// Where a Comet is: `host:port`, or `unix:/path`.
pub(super) fn comet_address(text: &str) -> Result<String, String> {
    /// What the system has room for in the address of a socket, with a byte behind it.
    const LONGEST: usize = 107;
    let text = text.trim();
    let shown = one_line(text);
    if text.starts_with('/') {
        return Err(format!(
            "'{shown}' is a path: write unix:{shown} for a Unix socket"
        ));
    }
    let Some(path) = text.strip_prefix(UNIX) else {
        return address(text);
    };
    // As gRPC writes it too: unix:///path.
    let path = match path.strip_prefix("//") {
        Some(absolute) if absolute.starts_with('/') => absolute,
        _ => path,
    };
    if !path.starts_with('/') || path.starts_with("//") || path.ends_with('/') {
        return Err(format!(
            "'{shown}': the socket's whole path is wanted, as unix:/run/comet.sock"
        ));
    }
    if let Some(c) = path.chars().find(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!(
            "'{shown}': {} can't stand in the path here",
            named(c)
        ));
    }
    if path.len() > LONGEST {
        return Err(format!(
            "'{shown}': the path has {} bytes, and a socket's has {LONGEST} at most",
            path.len()
        ));
    }
    Ok(format!("{UNIX}{path}"))
}

/// Other separators join two addresses to one, whose error would be about its port and misleading.
pub(super) fn separators(text: &str) -> Result<(), String> {
    for c in text.chars() {
        let wrong = match meant(c).unwrap_or(c) {
            ';' | '|' => instead(c, "a comma (',')"),
            ',' if c != ',' => instead(c, "a comma (',')"),
            // Around an address it does no harm.
            c if c.is_whitespace() => continue,
            ascii if ascii != c => instead(c, &format!("'{ascii}'")),
            _ => continue,
        };
        return Err(format!("'{}' has {wrong}", one_line(text)));
    }
    Ok(())
}

pub(super) fn address(text: &str) -> Result<String, String> {
    let text = text.trim();
    let shown = one_line(text);
    if text.is_empty() {
        return Err("an address is missing: write host:port, separated by commas".into());
    }
    if text.starts_with("unix:") || text.starts_with("unix-abstract:") || text.starts_with('/') {
        return Err(format!(
            "'{shown}': Unix sockets are not supported here: write host:port"
        ));
    }
    if let Some((scheme, _)) = text.split_once("://") {
        let scheme = one_line(scheme);
        return Err(format!(
            "'{shown}' has a scheme ({scheme}://): write host:port only"
        ));
    }
    if let Some(c) = text.chars().find(|c| c.is_whitespace()) {
        let c = if c == ' ' { "a space".into() } else { named(c) };
        return Err(format!(
            "'{shown}' has {c}: write a comma (',') between two addresses"
        ));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(format!("'{shown}' has no port: write host:port"));
    };
    match host
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
    {
        Some(inner) if inner.parse::<Ipv6Addr>().is_ok() => {}
        None if text.starts_with('[') && text.ends_with(']') => {
            return Err(format!("'{shown}' has no port: write [address]:port"));
        }
        None if host.contains(':') && text.parse::<Ipv6Addr>().is_ok() => {
            return Err(format!(
                "'{shown}': an IPv6 address stands in brackets, with its port behind them, as [::1]:9092"
            ));
        }
        None if host.contains(':') => {
            return Err(format!(
                "'{shown}' has more than one ':': write host:port, and a comma (',') between two addresses"
            ));
        }
        None if !host.is_empty() => {
            let legal = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            if let Some(c) = host.chars().find(|&c| !legal(c)) {
                return Err(format!(
                    "'{shown}': '{}' is not a host name or address: {} can't stand in one",
                    one_line(host),
                    named(c)
                ));
            }
        }
        _ => {
            return Err(format!(
                "'{shown}': '{}' is not a host name or address",
                one_line(host)
            ));
        }
    }
    match port.parse::<u16>() {
        Ok(1..) if port.bytes().all(|b| b.is_ascii_digit()) => Ok(text.to_owned()),
        _ => Err(format!(
            "'{shown}': port '{}' is not a number from 1 to 65535",
            one_line(port)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_lists() {
        let ok = |text| addresses(text).map(|list| list.0);
        assert_eq!(ok("localhost:9092"), Ok(vec!["localhost:9092".to_owned()]));
        assert_eq!(
            ok("a:1, [::1]:2 ,\u{3000}c_d-e.f:3\n"),
            Ok(vec!["a:1".into(), "[::1]:2".into(), "c_d-e.f:3".into()])
        );
    }

    #[test]
    fn a_comet_may_be_at_a_unix_socket() {
        for (text, read) in [
            ("unix:/run/a.sock", "unix:/run/a.sock"),
            (" c:1 ", "c:1"),
            ("unix:///run/b.sock", "unix:/run/b.sock"),
        ] {
            assert_eq!(comet_address(text).as_deref(), Ok(read));
        }
        let long = format!("unix:/{}", "p".repeat(107));
        for (wrong, says) in [
            ("unix:", "whole path"),
            ("unix:comet.sock", "whole path"),
            ("unix:/run/", "whole path"),
            ("unix://host/path", "whole path"),
            ("/run/comet.sock", "write unix:/run/comet.sock"),
            ("unix-abstract:comet", "not supported"),
            ("unix:/run/a b", "U+0020 can't stand in the path"),
            (&long, "107 at most"),
        ] {
            let error = comet_address(wrong).expect_err(wrong);
            assert!(error.contains(says), "{wrong}: {error}");
        }
    }

    #[test]
    fn the_error_says_what_to_write() {
        for (wrong, says) in [
            ("", "an address is missing"),
            ("a:1,", "an address is missing"),
            ("a", "'a' has no port: write host:port"),
            ("[::1]", "no port: write [address]:port"),
            ("::1", "an IPv6 address stands in brackets"),
            ("::1:9092", "an IPv6 address stands in brackets"),
            ("[::x]:1", "not a host"),
            (":1", "'' is not a host"),
            ("a:", "port ''"),
            ("a:0", "port '0' is not a number from 1 to 65535"),
            ("a:65536", "65535"),
            ("a:+1", "port '+1'"),
            ("a:1:2", "more than one ':'"),
            ("a/b:1", "'/' can't stand in one"),
            ("\"a:1", "'\"' can't stand in one"),
            ("http://a:1", "has a scheme (http://): write host:port only"),
            ("dns:///a:1", "has a scheme (dns://): write host:port only"),
            (
                "unix:/run/comet",
                "Unix sockets are not supported here: write host:port",
            ),
            ("unix:///run/comet", "Unix sockets are not supported"),
            ("/run/comet", "Unix sockets are not supported"),
            // Of a Chinese keyboard.
            (
                "a:1，b:1",
                "'a:1，b:1' has '，' (U+FF0C): write a comma (',') instead",
            ),
            ("a:1、b:1", "'、' (U+3001): write a comma (',') instead"),
            ("a:1；b:1", "'；' (U+FF1B): write a comma (',') instead"),
            ("a：1", "'：' (U+FF1A): write ':' instead"),
            ("10。0.0.1:1", "'。' (U+3002): write '.' instead"),
            ("a:９092", "'９' (U+FF19): write '9' instead"),
            ("ａ:1", "'ａ' (U+FF41): write 'a' instead"),
            ("聊天:1", "'聊' (U+804A) can't stand in one"),
            // Of other habits.
            ("a:1;b:1", "';': write a comma (',') instead"),
            (
                "a:1 b:1",
                "'a:1 b:1' has a space: write a comma (',') between two addresses",
            ),
            ("a:1\tb:1", "the invisible character U+0009: write a comma"),
            (
                "a:1\u{3000}b:1",
                "the invisible character U+3000: write a comma",
            ),
            (
                "a\u{200b}:1",
                "the invisible character U+200B can't stand in one",
            ),
            ("a\x1b[31m:1", "U+001B"),
        ] {
            let error = addresses(wrong).unwrap_err();
            assert!(error.contains(says), "{wrong}: {error}");
            assert!(!error.contains('\x1b'), "{error}");
        }
    }
}
