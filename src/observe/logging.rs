//! The log: muduo's line on standard output, at the level that `MUDUO_LOG_LEVEL` asks for.
//!
//! `20261123 06:49:37.468688Z 23680 INFO  text - file.rs:88`: UTC with microseconds, the kernel's thread id,
//! the level, the text, and where in the source it was written.

mod recent;
mod sink;
mod writer;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use env_logger::{Builder, Target};
use jiff::Timestamp;
use jiff::tz::Offset;
use log::{Level, LevelFilter, Log, Metadata, Record};
pub use recent::last_errors;
use writer::Flusher;

use crate::base::text::{escape_body, one_line};
use crate::message::proto::push::PushMsg;
use crate::message::proto::push::push_msg::Type;

const VARIABLE: &str = "MUDUO_LOG_LEVEL";
/// The crates whose records are job's own.
const OWN: [&str; 2] = ["chatroom_job", "job"];
/// What krafka warns about, and job says itself, or knows and doesn't mind. Errors from there are shown.
const REPEATED: [&str; 3] = [
    // At each start: that the classic group protocol is deprecated from Kafka 4.3 on.
    "krafka::consumer::group::classic",
    // At each retry: that no broker is reachable, or the topic isn't there.
    "krafka::metadata",
    "krafka::network::pool",
];
/// Lines that were lost because nobody took them.
static DROPPED: AtomicU64 = AtomicU64::new(0);
/// Sends a library's own log here, by the level that holds then.
static REDIRECT: OnceLock<fn()> = OnceLock::new();
/// How many users of one message are shown.
const KEYS_SHOWN: usize = 20;
/// How krafka's advice begins to whoever writes a program with it. It means nothing to an operator.
const ADVICE: [&str; 2] = ["Switch with `", "Call `"];

/// Starts the service's log, on standard output. Nothing happens where another log was started before. A
/// wrong level is said in the log, and INFO is used. `redirect` sends a library's own log here, by the level that holds then.
pub fn init(redirect: fn()) {
    let asked = std::env::var_os(VARIABLE).unwrap_or_default();
    let asked = asked.to_string_lossy();
    let level = parse(&asked);
    let (target, flusher) = match writer::start(sink::Stdout) {
        Ok((queue, flusher)) => (Target::Pipe(Box::new(queue)), Some(flusher)),
        // What needs a thread next will say so.
        Err(_) => (Target::Stdout, None),
    };
    start(
        target,
        flusher,
        level.unwrap_or(LevelFilter::Info),
        redirect,
    );
    if level.is_none() {
        log::warn!(
            "{VARIABLE}={} is not a level: write TRACE, DEBUG, INFO, WARN or ERROR. INFO is used",
            escape_body(asked.as_bytes())
        );
    }
}

/// Starts the log of a command that people run and read: on standard error, and only what
/// `MUDUO_LOG_LEVEL` asks for, if it is set. `redirect` as for [`init`].
pub fn init_for_command(redirect: fn()) {
    let asked = std::env::var(VARIABLE)
        .ok()
        .filter(|level| !level.trim().is_empty());
    start(
        Target::Stderr,
        None,
        asked
            .and_then(|level| parse(&level))
            .unwrap_or(LevelFilter::Off),
        redirect,
    );
}

/// How many lines were lost because nobody took them.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Notes that these lines are lost. Returns how many they are.
fn lost(lines: &[u8]) -> u64 {
    let count = sink::count_lines(lines);
    DROPPED.fetch_add(count, Ordering::Relaxed);
    count
}

/// The level of that name, in any case; INFO for an empty one.
fn parse(level: &str) -> Option<LevelFilter> {
    match level.trim().to_ascii_uppercase().as_str() {
        "TRACE" => Some(LevelFilter::Trace),
        "DEBUG" => Some(LevelFilter::Debug),
        "INFO" | "" => Some(LevelFilter::Info),
        "WARN" => Some(LevelFilter::Warn),
        "ERROR" => Some(LevelFilter::Error),
        _ => None,
    }
}

fn start(target: Target, flusher: Option<Flusher>, level: LevelFilter, redirect: fn()) {
    let mut builder = Builder::new();
    // The level may change later: what is below it is left out before it comes here.
    builder
        .target(target)
        .filter_level(LevelFilter::Trace)
        .format(|out, record| line(out, Timestamp::now(), thread_id(), record));
    let logger = builder.build();
    if log::set_boxed_logger(Box::new(Flushed { logger, flusher })).is_ok() {
        let _ = REDIRECT.set(redirect);
        set_level(level);
    }
}

/// Changes how much is logged.
pub fn set_level(level: LevelFilter) {
    // gRPC's core takes "off" for "to standard error, as it is the default": it is filtered here instead.
    log::set_max_level(level.max(LevelFilter::Error));
    if let Some(redirect) = REDIRECT.get() {
        redirect();
    }
    log::set_max_level(level);
}

/// Whether a record from there is logged at this level. Others' are shown as far as they matter to who runs job.
fn is_shown(level: LevelFilter, target: &str, of: Level) -> bool {
    let limit = if level >= LevelFilter::Debug || is_own(target) {
        level
    } else if REPEATED.iter().any(|name| target.starts_with(name)) {
        level.min(LevelFilter::Error)
    } else {
        level.min(LevelFilter::Warn)
    };
    of <= limit
}

/// env_logger's logger, with a flush that waits until all is written.
struct Flushed {
    logger: env_logger::Logger,
    flusher: Option<Flusher>,
}

impl Log for Flushed {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_shown(log::max_level(), metadata.target(), metadata.level())
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) || is_advice(record) {
            return;
        }
        self.logger.log(record);
        // Others may end the process after it, as gRPC's assertions do.
        if record.level() == Level::Error && !is_own(record.target()) {
            self.flush();
        }
    }

    fn flush(&self) {
        if let Some(flusher) = &self.flusher {
            flusher.flush();
        }
    }
}

/// Whether krafka tells a programmer which function to call.
fn is_advice(record: &Record<'_>) -> bool {
    // Nobody but it warns so often that reading the text would count.
    record.level() == Level::Warn && record.target().starts_with("krafka::") && {
        let text = record.args().to_string();
        ADVICE.iter().any(|words| text.contains(words))
    }
}

/// A record of the log's own, as it is written.
fn own_line(level: Level, text: std::fmt::Arguments<'_>) -> Vec<u8> {
    let mut record = Record::builder();
    record
        .target(OWN[0])
        .level(level)
        .file(Some(file!()))
        .line(Some(line!()));
    let mut out = Vec::new();
    let record = record.args(text).build();
    // Memory takes everything.
    let _ = line(&mut out, Timestamp::now(), thread_id(), &record);
    out
}

/// Writes one record. env_logger collects it in a buffer and hands it on in one piece, so that the lines of
/// one record stay together.
fn line(out: &mut impl Write, now: Timestamp, thread: i32, record: &Record<'_>) -> io::Result<()> {
    let time = Offset::UTC.to_datetime(now);
    write!(
        out,
        "{:04}{:02}{:02} {:02}:{:02}:{:02}.{:06}Z {thread} {:<5} ",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.subsec_nanosecond() / 1_000,
        record.level(),
    )?;
    if is_own(record.target()) {
        write!(out, "{}", record.args())?;
    } else {
        // Others put into their text what came over the network.
        write!(out, "{}", escape_body(record.args().to_string().as_bytes()))?;
    }
    let file = record.file().unwrap_or("?");
    let name = file.rsplit('/').next().unwrap_or(file);
    writeln!(out, " - {name}:{}", record.line().unwrap_or(0))
}

fn is_own(target: &str) -> bool {
    OWN.contains(&target.split("::").next().unwrap_or(target))
}

/// The kernel's id of this thread, as `ps -T` and `top -H` show it.
fn thread_id() -> i32 {
    thread_local!(static ID: i32 = nix::unistd::gettid().as_raw());
    ID.with(|id| *id)
}

/// Logs a message that was read, in the form that operators know: five lines, in one record. One to users has a line
/// more for its server and one for its users.
pub fn received(push: &PushMsg) {
    if log::log_enabled!(Level::Info) {
        log::info!(
            "Received PushMsg:\n  Type: {}\n  Operation: {}\n  roomId: {}{}\n  msg: {}",
            push.type_.value(),
            push.operation,
            escape_body(push.room.as_bytes()),
            addressed(push),
            escape_body(&push.msg)
        );
    }
}

/// Whom a PUSH is for: lines that messages of other types don't have.
fn addressed(push: &PushMsg) -> String {
    let mut lines = String::new();
    if push.type_.enum_value() != Ok(Type::PUSH) {
        return lines;
    }
    if !push.server.is_empty() {
        lines += "\n  server: ";
        lines += &one_line(&push.server);
    }
    if let [first, others @ ..] = &push.keys[..] {
        lines += "\n  keys: ";
        lines += &one_line(first);
        for key in others.iter().take(KEYS_SHOWN - 1) {
            lines += ", ";
            lines += &one_line(key);
        }
        if push.keys.len() > KEYS_SHOWN {
            let _ = write!(
                lines,
                "… ({} keys, first {KEYS_SHOWN} shown)",
                push.keys.len()
            );
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(target: &str, text: std::fmt::Arguments<'_>) -> String {
        let now: Timestamp = "2026-11-23T06:49:37.468688999Z".parse().expect("a time");
        let mut record = Record::builder();
        record
            .target(target)
            .level(log::Level::Info)
            .file(Some("src/group/file.rs"))
            .line(Some(88));
        let mut out = Vec::new();
        line(&mut out, now, 23680, &record.args(text).build()).expect("memory takes it");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_line_is_muduos() {
        assert_eq!(
            written("chatroom_job::group", format_args!("text")),
            "20261123 06:49:37.468688Z 23680 INFO  text - file.rs:88\n"
        );
    }

    #[test]
    fn records_of_others_stay_on_one_line() {
        assert!(written("chatroom_job", format_args!("a\nb")).contains("INFO  a\nb - "));
        assert!(written("krafka::client", format_args!("a\nb")).contains("INFO  a\\nb - "));
        assert!(written("jobber", format_args!("a\nb")).contains("INFO  a\\nb - "));
    }

    #[test]
    fn a_push_names_its_users_and_server_and_others_have_no_such_lines() {
        let keys = |count: usize| (0..count).map(|n| format!("user-{n}")).collect();
        let push = |server: &str, keys: Vec<String>| PushMsg {
            server: server.into(),
            keys,
            ..Default::default()
        };
        let room = PushMsg {
            type_: Type::ROOM.into(),
            ..push("comet-1", keys(2))
        };
        assert_eq!(addressed(&room), "");
        assert_eq!(addressed(&push("", Vec::new())), "");
        assert_eq!(
            addressed(&push("comet-1", keys(2))),
            "\n  server: comet-1\n  keys: user-0, user-1"
        );
        let text = addressed(&push("a\nb\x1b", vec!["c\nd".into()]));
        assert_eq!(text, "\n  server: a\\nb\\u{1b}\n  keys: c\\nd");
        let text = addressed(&push("", keys(1000)));
        assert!(
            text.starts_with("\n  keys: user-0, ")
                && text.ends_with(", user-19… (1000 keys, first 20 shown)"),
            "{text}"
        );
        let long = addressed(&push(&"x".repeat(5_000), vec!["y".repeat(5_000)]));
        assert!(long.len() < 600, "{long}");
    }

    #[test]
    fn advice_to_programmers_is_left_out() {
        let advice = |target: &str, level: Level, text: &str| {
            let mut record = Record::builder();
            record.target(target).level(level);
            is_advice(&record.args(format_args!("{text}")).build())
        };
        let text = "Consumer dropped without close(). Call `Consumer::close()` before drop.";
        assert!(advice("krafka::consumer", Level::Warn, text));
        assert!(!advice("chatroom_job::group", Level::Warn, text));
        assert!(!advice("krafka::consumer", Level::Error, text));
        assert!(!advice(
            "krafka::consumer",
            Level::Warn,
            "Application has not called poll()"
        ));
    }

    #[test]
    fn others_are_shown_as_far_as_they_matter() {
        let shown = |level, target| {
            let levels = [Level::Error, Level::Warn, Level::Info, Level::Debug];
            let shown = levels.iter().filter(|of| is_shown(level, target, **of));
            shown.count()
        };
        for (level, own, others, repeated) in [
            (LevelFilter::Off, 0, 0, 0),
            (LevelFilter::Error, 1, 1, 1),
            (LevelFilter::Warn, 2, 2, 1),
            (LevelFilter::Info, 3, 2, 1),
            (LevelFilter::Debug, 4, 4, 4),
        ] {
            assert_eq!(shown(level, "chatroom_job::group"), own, "{level}");
            assert_eq!(shown(level, "krafka::client"), others, "{level}");
            assert_eq!(shown(level, "krafka::network::pool"), repeated, "{level}");
        }
    }

    #[test]
    fn levels_in_any_case() {
        assert_eq!(parse("debug"), Some(LevelFilter::Debug));
        assert_eq!(parse(" Error "), Some(LevelFilter::Error));
        assert_eq!(parse(""), Some(LevelFilter::Info));
        assert_eq!(parse("verbose"), None);
    }
}
