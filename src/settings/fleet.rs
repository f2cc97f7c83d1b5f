//! Comets, as settings list them.

use super::UNIX;
use super::address::{comet_address, separators};
use super::ascii::named;
use crate::base::text::one_line;
use crate::message::fleet::Node;

/// What a name may be long: an offset map has no room for more.
const LONGEST_NAME: usize = 200;

/// A list of one or more Comets.
#[derive(Clone, Debug, PartialEq)]
pub struct Comets(pub Vec<Node>);

/// Reads a comma-separated list of `host:port` or `name=host:port`; refuses duplicates, because a Comet listed twice would get each
/// message twice.
///
/// # Errors
/// A Comet is missing, invalid, or listed twice. The error names it or its wrong character, and what to write.
pub fn comets(text: &str) -> Result<Comets, String> {
    separators(text)?;
    let list: Vec<Node> = text.split(',').map(node).collect::<Result<_, _>>()?;
    distinct(&list)?;
    Ok(Comets(list))
}

/// # Errors
/// Two Comets have the same address or name.
fn distinct(list: &[Node]) -> Result<(), String> {
    for (i, one) in list.iter().enumerate() {
        for other in &list[..i] {
            if other.address.eq_ignore_ascii_case(&one.address) {
                return Err(format!("'{}' is listed twice", one.address));
            }
            if other.is_called(&one.name) || one.is_called(&other.name) {
                return Err(format!(
                    "{other} and {one} have the same name: each Comet needs its own"
                ));
            }
        }
    }
    Ok(())
}

/// Reads `host:port` or `name=host:port`.
///
/// # Errors
/// It is neither: what is wrong.
fn node(text: &str) -> Result<Node, String> {
    let named = text.split_once('=');
    match named.filter(|(before, _)| !before.trim_start().starts_with(UNIX)) {
        Some((name, at)) => Ok(Node {
            name: comet_name(name)?,
            ..comet_address(at)?.into()
        }),
        None => comet_address(text).map(Node::from),
    }
}

/// Reads the name of a Comet.
///
/// # Errors
/// It can't be one.
pub fn comet_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    let shown = one_line(name);
    if name.is_empty() {
        return Err("a Comet's name is missing: write name=host:port, or host:port".into());
    }
    if name.len() > LONGEST_NAME {
        return Err(format!(
            "the name '{shown}' is longer than {LONGEST_NAME} bytes"
        ));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    match name.chars().find(|&c| !legal(c)) {
        None => Ok(name.to_owned()),
        Some(c) => Err(format!(
            "'{shown}' is no name for a Comet: {} can't stand in one; letters, digits, '-', '.', '_' and ':' can",
            named(c)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, address: &str) -> Node {
        Node {
            name: name.into(),
            ..address.into()
        }
    }

    #[test]
    fn a_comet_has_a_name_or_is_called_by_its_address() {
        let read = |text| comets(text).map(|list| list.0);
        assert_eq!(
            read("comet1=10.0.0.1:50051, b:1 ,c_2.x=[::1]:2\n"),
            Ok(vec![
                named("comet1", "10.0.0.1:50051"),
                named("b:1", "b:1"),
                named("c_2.x", "[::1]:2"),
            ])
        );
        assert!(comets("a:1,b:1,a:2").is_ok());
        assert_eq!(
            read("s=unix:/run/a.sock, unix:///run/b=c"),
            Ok(vec![
                named("s", "unix:/run/a.sock"),
                named("unix:/run/b=c", "unix:/run/b=c"),
            ])
        );
        // Two that swapped their places.
        assert!(comets("a=b:1,b=a:1").is_ok());
    }

    #[test]
    fn the_error_says_what_to_write() {
        let long = format!("{}=a:1", "x".repeat(201));
        for (wrong, says) in [
            ("a:1,b:1,A:1", "'A:1' is listed twice"),
            ("unix:/a,unix:///a", "is listed twice"),
            ("x=a:1,y=A:1", "'A:1' is listed twice"),
            ("x=a:1,X=b:1", "x (a:1) and X (b:1) have the same name"),
            ("a:1,a:1=b:1", "a:1 and a:1 (b:1) have the same name"),
            ("=a:1", "a Comet's name is missing: write name=host:port"),
            ("x=", "an address is missing"),
            ("x=a", "'a' has no port: write host:port"),
            ("x=y=a:1", "'='"),
            ("x y=a:1", "'x y' is no name for a Comet"),
            ("聊天=a:1", "'聊' (U+804A) can't stand in one"),
            ("x＝a:1", "'＝' (U+FF1D): write '=' instead"),
            ("x=a:1;y=b:1", "';': write a comma (',') instead"),
            ("x=a:1 y=b:1", "'a:1 y=b:1' has a space"),
            (long.as_str(), "longer than 200 bytes"),
        ] {
            let error = comets(wrong).unwrap_err();
            assert!(error.contains(says), "{wrong}: {error}");
        }
    }
}
