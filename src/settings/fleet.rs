//! Comets, as settings list them: one by one, or where to find out which there are.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use super::UNIX;
use super::address::{address, comet_address, separators};
use super::ascii::named;
use crate::base::text::one_line;
use crate::message::fleet::Node;

/// What a name may be long: an offset map has no room for more.
const LONGEST_NAME: usize = 200;

/// What `--comet` lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Comets(pub Vec<Source>);

/// Where Comets come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Node(Node),
    /// A file that lists them.
    File(PathBuf),
    /// Each address of a name.
    Dns {
        host: String,
        port: u16,
    },
    /// Those that are registered.
    Discovery(Registry),
}

/// A service that knows which Comets there are, with bilibili's discovery API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// `host:port`.
    pub address: String,
    /// The appid under which Comets register.
    pub app: String,
    pub env: String,
    /// `None`: all zones.
    pub zone: Option<String>,
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address, app, env, ..
        } = self;
        write!(f, "{DISCOVERY}{address}/{app}?env={env}")?;
        match &self.zone {
            Some(zone) => write!(f, "&zone={zone}"),
            None => Ok(()),
        }
    }
}

impl Source {
    /// So many Comets are expected of it.
    pub fn expected(&self) -> usize {
        const OF_A_LIST: usize = 32;
        match self {
            Self::Node(_) => 1,
            Self::File(_) | Self::Dns { .. } | Self::Discovery(_) => OF_A_LIST,
        }
    }
}

impl From<&str> for Source {
    fn from(address: &str) -> Self {
        Self::Node(address.into())
    }
}

/// As it stands in the settings.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) if node.name == node.address => f.write_str(&node.address),
            Self::Node(node) => write!(f, "{}={}", node.name, node.address),
            Self::File(path) => write!(f, "{FILE}{}", path.display()),
            Self::Dns { host, port } => write!(f, "{DNS}/{host}:{port}"),
            Self::Discovery(registry) => registry.fmt(f),
        }
    }
}

const FILE: &str = "file://";
const DNS: &str = "dns://";
const DISCOVERY: &str = "discovery://";

/// Reads a comma-separated list of `host:port`, `name=host:port`, `file:///path`, `dns:///name:port` and
/// `discovery://host:port/appid?env=…`; refuses duplicates, because a Comet listed twice would get each message twice.
///
/// # Errors
/// A Comet is missing, invalid, or listed twice. The error names it or its wrong character, and what to write.
pub fn comets(text: &str) -> Result<Comets, String> {
    separators(text)?;
    let list: Vec<Source> = text.split(',').map(source).collect::<Result<_, _>>()?;
    let nodes = list.iter().filter_map(|source| match source {
        Source::Node(node) => Some(node.clone()),
        _ => None,
    });
    distinct(&nodes.collect::<Vec<_>>())?;
    for (i, one) in list.iter().enumerate() {
        if list[..i].contains(one) {
            return Err(format!("'{one}' is listed twice"));
        }
    }
    Ok(Comets(list))
}

/// # Errors
/// Two Comets have the same address or name.
pub fn distinct(list: &[Node]) -> Result<(), String> {
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

fn source(text: &str) -> Result<Source, String> {
    let text = text.trim();
    let shown = one_line(text);
    if let Some(path) = text.strip_prefix(FILE) {
        return match path.starts_with('/') && !path.ends_with('/') {
            true => Ok(Source::File(path.into())),
            false => Err(format!(
                "'{shown}' names no file: write its whole path, as {FILE}/etc/chatroom-job/comets.json"
            )),
        };
    }
    if let Some(rest) = text.strip_prefix(DNS) {
        let Some(name) = rest.strip_prefix('/') else {
            return Err(format!(
                "'{shown}' has no third '/': write {DNS}/name:port. The system's name servers are asked"
            ));
        };
        return dns(name).map_err(|error| format!("'{shown}': {error}"));
    }
    if let Some(rest) = text.strip_prefix(DISCOVERY) {
        return registry(rest)
            .map(Source::Discovery)
            .map_err(|error| format!("'{shown}': {error}"));
    }
    node(text).map(Source::Node)
}

fn dns(name: &str) -> Result<Source, String> {
    let at = address(name)?;
    let (host, port) = at.rsplit_once(':').unwrap_or((&at, ""));
    let inner = host.trim_start_matches('[').trim_end_matches(']');
    if inner.parse::<IpAddr>().is_ok() {
        return Err(format!("'{host}' is an address already: write {at} alone"));
    }
    Ok(Source::Dns {
        host: host.to_owned(),
        // It was read as one.
        port: port.parse().unwrap_or_default(),
    })
}

fn registry(text: &str) -> Result<Registry, String> {
    const WRITE: &str = "write discovery://host:7171/appid?env=…, and &zone=… for one zone alone";
    let (at, rest) = text
        .split_once('/')
        .ok_or(format!("it has no appid: {WRITE}"))?;
    let (app, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (mut env, mut zone) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let of = match key {
            "env" => &mut env,
            "zone" => &mut zone,
            _ => return Err(format!("'{}' is unknown: {WRITE}", one_line(key))),
        };
        *of = Some(word(key, value)?);
    }
    Ok(Registry {
        address: address(at)?,
        app: word("appid", app)?,
        env: env.ok_or(format!("it has no env: {WRITE}"))?,
        zone,
    })
}

/// A word of a registry: nothing that would have to be escaped.
fn word(what: &str, text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    match text.chars().find(|&c| !legal(c)) {
        None if text.is_empty() => Err(format!("its {what} is empty")),
        None => Ok(text.to_owned()),
        Some(c) => Err(format!("{} can't stand in its {what}", named(c))),
    }
}

/// Reads `host:port` or `name=host:port`.
///
/// # Errors
/// It is neither: what is wrong.
pub fn node(text: &str) -> Result<Node, String> {
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

    fn named(name: &str, address: &str) -> Source {
        Source::Node(Node {
            name: name.into(),
            ..address.into()
        })
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
    fn sources_may_be_mixed_and_are_shown_as_they_were_written() {
        for text in [
            "comet1=10.0.0.1:50051",
            "a:1",
            "file:///etc/chatroom-job/comets.json",
            "dns:///comet.chat.svc:50051",
            "discovery://10.0.0.1:7171/goim.comet?env=dev",
            "discovery://d:7171/goim.comet?env=dev&zone=sh001",
        ] {
            let listed = comets(&format!("z:9, {text}")).unwrap().0;
            assert_eq!(listed[1].to_string(), text);
        }
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
            ("file://comets.json", "names no file: write its whole path"),
            ("file:///etc/", "names no file"),
            ("file:///a,file:///a", "'file:///a' is listed twice"),
            (
                "dns://comet:50051",
                "has no third '/': write dns:///name:port",
            ),
            ("dns:///comet", "'comet' has no port"),
            (
                "dns:///10.0.0.1:1",
                "'10.0.0.1' is an address already: write 10.0.0.1:1 alone",
            ),
            ("dns:///[::1]:1", "is an address already"),
            (
                "discovery://d:1",
                "it has no appid: write discovery://host:7171/appid?env=…",
            ),
            ("discovery://d/a?env=x", "'d' has no port"),
            ("discovery://d:1/a", "it has no env: write"),
            ("discovery://d:1/?env=x", "its appid is empty"),
            ("discovery://d:1/a?env=", "its env is empty"),
            ("discovery://d:1/a?env=x y", "U+0020 can't stand in its env"),
            (
                "discovery://d:1/a?env=x&region=y",
                "'region' is unknown: write",
            ),
            ("http://d:1", "has a scheme (http://)"),
            ("x=dns:///a:1", "'dns:///a:1' has a scheme"),
        ] {
            let error = comets(wrong).unwrap_err();
            assert!(error.contains(says), "{wrong}: {error}");
        }
    }
}
