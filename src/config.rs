//! What job runs with, and how its values are written. `layers` fills it from flags, environment, file
//! and defaults.

use std::net::Ipv6Addr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::sharing::Sharing;

/// Everything `job run` needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Kafka's bootstrap brokers, `host:port` each.
    pub brokers: Vec<String>,
    /// The topic that Logic writes `PushMsg` records to.
    pub topic: String,
    /// The consumer group, as `kafka-consumer-groups.sh` names it.
    pub group: String,
    /// Static membership: a restart under the same id causes no rebalance.
    pub group_instance_id: Option<String>,
    /// How long Kafka waits for a member's heartbeat before it gives its partitions to others.
    pub session_timeout: Duration,
    /// The Comet nodes, `host:port` each.
    pub comet: Vec<String>,
    /// Workers.
    pub threads: usize,
    /// Calls in flight at once, for each worker and Comet.
    pub window: usize,
    /// How records are read.
    pub fetch: Fetch,
    /// Whether messages that wait for a room go together in one call, and in which form.
    pub coalesce: Coalesce,
    /// Messages in such a call at most.
    pub coalesce_max: usize,
    /// Bytes of its body at most.
    pub coalesce_bytes: usize,
    /// Deadline of one call to a Comet.
    pub call_timeout: Duration,
    /// How long a stop, or a partition's hand-over, waits for what is in flight.
    pub shutdown_timeout: Duration,
    /// Messages held at most between Kafka and the Comets; reading pauses there.
    pub hold_messages: usize,
    /// Bytes of them held at most.
    pub hold_bytes: usize,
}

/// What the dead-letter topic's name adds to its source topic's.
const DEAD_LETTER_SUFFIX: &str = ".dead-letter";

impl Config {
    /// How the work is shared among the workers.
    pub fn sharing(&self) -> Sharing {
        Sharing::new(self.threads, self.comet.len())
    }

    /// Where messages go that can never be delivered.
    pub fn dead_letter_topic(&self) -> String {
        format!("{}{DEAD_LETTER_SUFFIX}", self.topic)
    }
}

/// Which client reads the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// `Classic` where the broker serves it, and `Modern` from where it doesn't.
    Auto,
    /// The kafka crate, protocol v0: Kafka up to 3.9.
    Classic,
    /// krafka: Kafka 3.7 and later.
    Modern,
}

/// Reads the name of a client.
pub fn fetch() -> impl TypedValueParser<Value = Fetch> {
    PossibleValuesParser::new(["auto", "classic", "modern"]).map(|name| match name.as_str() {
        "classic" => Fetch::Classic,
        "modern" => Fetch::Modern,
        _ => Fetch::Auto,
    })
}

/// How the messages that wait for a room become one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coalesce {
    /// They don't: each is a call.
    Off,
    /// Web bodies are joined to one web body with all their messages.
    Json,
    /// Each becomes a frame of goim's, for a Comet that knows the operation 9 (raw).
    Goim,
}

/// Reads the name of a form.
pub fn coalesce() -> impl TypedValueParser<Value = Coalesce> {
    PossibleValuesParser::new(["off", "json", "goim"]).map(|name| match name.as_str() {
        "json" => Coalesce::Json,
        "goim" => Coalesce::Goim,
        _ => Coalesce::Off,
    })
}

/// Reads how large a merged body may be. What a gRPC server takes is 4 MiB, where nothing else is set.
pub fn coalesce_bytes(text: &str) -> Result<usize, String> {
    match bytes(text)? {
        count if count > 3 << 20 => {
            Err("more than 3MiB: a Comet takes requests of 4 MiB, as gRPC's default is".into())
        }
        count => Ok(count),
    }
}

/// A comma-separated list of `host:port`, of one address at least.
#[derive(Clone, Debug, PartialEq)]
pub struct Addresses(pub Vec<String>);

/// Reads a comma-separated list of `host:port`. The error says which address is wrong, and how to write it.
pub fn addresses(text: &str) -> Result<Addresses, String> {
    text.split(',')
        .map(address)
        .collect::<Result<_, _>>()
        .map(Addresses)
}

/// As `addresses`, and none may stand twice: a Comet listed twice would show each message twice.
pub fn distinct_addresses(text: &str) -> Result<Addresses, String> {
    let list = addresses(text)?;
    for (i, one) in list.0.iter().enumerate() {
        if list.0[..i]
            .iter()
            .any(|other| other.eq_ignore_ascii_case(one))
        {
            return Err(format!("'{one}' is listed twice"));
        }
    }
    Ok(list)
}

fn address(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("an address is missing: write host:port, separated by commas".into());
    }
    if text.contains("://") {
        return Err(format!("'{text}' has a scheme: write host:port only"));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(format!("'{text}' has no port: write host:port"));
    };
    match host
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
    {
        Some(inner) if inner.parse::<Ipv6Addr>().is_ok() => {}
        None if text.starts_with('[') && text.ends_with(']') => {
            return Err(format!("'{text}' has no port: write [address]:port"));
        }
        None if host.contains(':') => {
            return Err(format!(
                "'{text}': an IPv6 address stands in brackets, as [::1]:9092"
            ));
        }
        None if !host.is_empty()
            && !host.contains(|c: char| c.is_whitespace() || "[]/@".contains(c)) => {}
        _ => return Err(format!("'{text}': '{host}' is not a host name or address")),
    }
    match port.parse::<u16>() {
        Ok(1..) if port.bytes().all(|b| b.is_ascii_digit()) => Ok(text.to_owned()),
        _ => Err(format!(
            "'{text}': port '{port}' is not a number from 1 to 65535"
        )),
    }
}

/// Reads a time: `10` and `10s` are seconds; `500ms`, `2m` and `1h` work too. A day at most, and not nothing.
pub fn duration(text: &str) -> Result<Duration, String> {
    match duration_or_none(text)? {
        Duration::ZERO => Err("must be more than nothing".into()),
        time => Ok(time),
    }
}

/// As `duration`, and 0 is allowed.
pub fn duration_or_none(text: &str) -> Result<Duration, String> {
    const DAY: Duration = Duration::from_secs(86_400);
    let text = text.trim();
    let (number, unit) = split_unit(text);
    let milliseconds = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let time = number.parse::<u64>().ok().filter(|_| milliseconds > 0);
    let Some(time) = time.and_then(|n| n.checked_mul(milliseconds)) else {
        return Err("not a time: write a whole number with ms, s, m or h, as 500ms or 10s".into());
    };
    match Duration::from_millis(time) {
        time if time > DAY => Err("longer than a day (24h)".into()),
        time => Ok(time),
    }
}

/// Reads a number of bytes: `65536`, `64KiB`, `64MiB`, `1GiB`.
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
        _ => Err("not a size of one byte or more: write 65536, 64KiB, 64MiB or 1GiB".into()),
    }
}

/// The digits in front, and what follows them.
fn split_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// A reader of whole numbers from `min` to `max`.
pub fn count(min: usize, max: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| match text.trim().parse() {
        Ok(n) if (min..=max).contains(&n) => Ok(n),
        _ if max == usize::MAX => Err(format!("not a whole number of {min} or more")),
        _ => Err(format!("not a whole number from {min} to {max}")),
    }
}

/// Calls in flight at once for each worker and Comet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// As many as are fastest for so many Comets of a worker.
    Auto,
    Calls(usize),
}

impl Window {
    /// Measured (docs/PERFORMANCE.md): a worker is fastest with 64 calls in flight. With more, what they take of memory
    /// doesn't fit into the processor's caches, whichever Comets they are for.
    pub fn calls(self, comets: usize) -> usize {
        const TOGETHER: usize = 64;
        const LEAST: usize = 8;
        match self {
            Window::Auto => (TOGETHER / comets.max(1)).max(LEAST),
            Window::Calls(calls) => calls,
        }
    }
}

/// Reads a window.
pub fn window(text: &str) -> Result<Window, String> {
    match text.trim() {
        "auto" => Ok(Window::Auto),
        number => count(1, 4096)(number)
            .map(Window::Calls)
            .map_err(|error| format!("{error}, or auto")),
    }
}

/// Reads a topic's name, by Kafka's rules, and short enough that its dead-letter topic has a legal name too.
pub fn topic(text: &str) -> Result<String, String> {
    const LONGEST: usize = 249 - DEAD_LETTER_SUFFIX.len();
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match text {
        "" => Err("the name of a topic is missing".into()),
        "." | ".." => Err("Kafka allows no topic of that name".into()),
        _ if !text.chars().all(legal) => {
            Err("a topic's name has letters (a-z, A-Z), digits, '.', '_' and '-' only".into())
        }
        _ if text.len() > LONGEST => Err(format!("longer than {LONGEST} characters")),
        _ => Ok(text.to_owned()),
    }
}

/// Reads a name that must not be empty.
pub fn name(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("must not be empty".into()),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_shared_among_the_comets() {
        let calls = [1, 2, 4, 8, 64].map(|comets| Window::Auto.calls(comets));
        assert_eq!(calls, [64, 32, 16, 8, 8]);
        assert_eq!(window("auto"), Ok(Window::Auto));
        assert_eq!(window(" 128 ").map(|window| window.calls(4)), Ok(128));
        assert!(window("0").is_err() && window("some").is_err());
    }

    #[test]
    fn durations() {
        let ms = |text| duration(text).map(|d| d.as_millis());
        assert_eq!(ms("10"), Ok(10_000));
        assert_eq!(ms("10s"), Ok(10_000));
        assert_eq!(ms(" 500 ms "), Ok(500));
        assert_eq!(ms("2m"), Ok(120_000));
        assert_eq!(ms("24h"), Ok(86_400_000));
        for wrong in [
            "",
            "s",
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
    fn merged_bodies_have_room_in_a_request() {
        assert_eq!(coalesce_bytes("3MiB"), Ok(3 << 20));
        for wrong in ["0", "4MiB", "64KB"] {
            assert!(coalesce_bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn address_lists() {
        let ok = |text| addresses(text).map(|list| list.0);
        assert_eq!(ok("localhost:9092"), Ok(vec!["localhost:9092".to_owned()]));
        assert_eq!(
            ok("a:1, [::1]:2"),
            Ok(vec!["a:1".to_owned(), "[::1]:2".to_owned()])
        );
        let error = |text| addresses(text).unwrap_err();
        for (wrong, says) in [
            ("", "missing"),
            ("a:1,", "missing"),
            ("a", "no port"),
            ("[::1]", "no port"),
            ("::1:9092", "brackets"),
            ("[::x]:1", "not a host"),
            (":1", "not a host"),
            ("a b:1", "not a host"),
            ("http://a:1", "scheme"),
            ("a:", "port ''"),
            ("a:0", "port '0'"),
            ("a:65536", "65535"),
            ("a:+1", "port '+1'"),
        ] {
            assert!(error(wrong).contains(says), "{wrong}: {}", error(wrong));
        }
        assert!(distinct_addresses("a:1,b:1,a:2").is_ok());
        assert_eq!(
            distinct_addresses("a:1,b:1,A:1"),
            Err("'A:1' is listed twice".into())
        );
    }

    #[test]
    fn topics() {
        assert_eq!(topic("my-topic"), Ok("my-topic".into()));
        assert!(topic(&"a".repeat(237)).is_ok());
        for wrong in ["", ".", "..", "a b", "聊天", &"a".repeat(238)] {
            assert!(topic(wrong).is_err(), "{wrong}");
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
