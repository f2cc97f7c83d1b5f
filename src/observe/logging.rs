//! The log: muduo's line on standard output, or another form, at the level that `MUDUO_LOG_LEVEL` asks for.

mod entry;
mod form;
mod journal;
mod levels;
mod recent;
mod repeats;
mod sink;
mod trouble;
mod writer;

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use env_logger::{Builder, Target};
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::base::text::{escape_body, one_line};
use crate::message::proto::push::PushMsg;
use crate::message::proto::push::push_msg::Type;
use entry::Entry;
use form::Form;
use journal::Journal;
use levels::Levels;
pub use recent::last_errors;
use repeats::Repeats;
pub use trouble::{Trouble, dropped, trouble};
use writer::Flusher;

/// The crates whose records are job's own.
const OWN: [&str; 2] = ["chatroom_job", "job"];
/// Sends a library's own log here, by the level that holds then.
static REDIRECT: OnceLock<fn()> = OnceLock::new();
/// How many users of one message are shown.
const KEYS_SHOWN: usize = 20;
/// How krafka's advice begins to whoever writes a program with it. It means nothing to an operator.
const ADVICE: [&str; 2] = ["Switch with `", "Call `"];

/// The form that somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A line of text.
    Muduo,
    /// A JSON object a line.
    Json,
    /// The systemd journal with fields; where there is none, muduo's lines with syslog's priorities.
    Journal,
    /// The journal where standard output leads there, else muduo's lines.
    Auto,
}

/// Starts the service's log. Nothing happens where another log was started before. A wrong level is said in the log, and
/// INFO is used. `redirect` sends a library's own log here, by the level that holds then.
pub fn init(format: Format, redirect: fn()) {
    let levels = Levels::of_environment();
    let repeats = Arc::new(Repeats::default());
    let (form, journal) = form_for(format);
    let started = match journal {
        Some(journal) => writer::start(journal, form, repeats.clone()),
        None => writer::start(sink::Stdout, form, repeats.clone()),
    };
    let (target, service) = match started {
        Ok((queue, flusher)) => (
            Target::Pipe(Box::new(queue)),
            Some(Service { flusher, repeats }),
        ),
        // What needs a thread next will say so.
        Err(_) => (Target::Stdout, None),
    };
    start(target, form, service, &levels, LevelFilter::Info, redirect);
    levels.complain();
    if format == Format::Journal && form != Form::Journal {
        log::info!(
            "nobody listens at {}: the log goes to standard output, with priorities that systemd understands",
            journal::SOCKET
        );
    }
}

/// Starts the log of a command that people run and read: on standard error, and only what
/// `MUDUO_LOG_LEVEL` or `RUST_LOG` asks for, if one is set. `redirect` as for [`init`].
pub fn init_for_command(redirect: fn()) {
    let levels = Levels::of_environment();
    let none = LevelFilter::Off;
    start(Target::Stderr, Form::Muduo, None, &levels, none, redirect);
}

/// The form to write, and the journal where that is it.
fn form_for(format: Format) -> (Form, Option<Journal>) {
    let journal = match format {
        Format::Muduo => return (Form::Muduo, None),
        Format::Json => return (Form::Json, None),
        Format::Journal => Journal::at(journal::SOCKET).ok(),
        Format::Auto => match std::env::var(journal::STREAM) {
            Ok(stream) if journal::has_stdout(&stream) => Journal::at(journal::SOCKET).ok(),
            _ => return (Form::Muduo, None),
        },
    };
    match journal {
        Some(journal) => (Form::Journal, Some(journal)),
        None => (Form::Prefixed, None),
    }
}

fn start(
    target: Target,
    form: Form,
    service: Option<Service>,
    levels: &Levels,
    unless_asked: LevelFilter,
    redirect: fn(),
) {
    let mut builder = Builder::new();
    // What is logged is for `levels` to say: it may change.
    builder
        .target(target)
        .filter_level(LevelFilter::Trace)
        .format(move |out, record| form.write(out, &Entry::now(record)));
    let logger = builder.build();
    let level = levels.put(unless_asked);
    if log::set_boxed_logger(Box::new(Logger { logger, service })).is_ok() {
        let _ = REDIRECT.set(redirect);
        show(level);
    }
}

/// Changes how much is logged, whatever the environment asked for.
pub fn set_level(level: LevelFilter) {
    levels::put(level);
    show(level);
}

/// Nothing above this level is logged anywhere.
fn show(level: LevelFilter) {
    // gRPC's core takes "off" for "to standard error, as it is the default": it is filtered here instead.
    log::set_max_level(level.max(LevelFilter::Error));
    if let Some(redirect) = REDIRECT.get() {
        redirect();
    }
    log::set_max_level(level);
}

/// env_logger's logger, and what the service's log has beside it.
struct Logger {
    logger: env_logger::Logger,
    service: Option<Service>,
}

struct Service {
    flusher: Flusher,
    repeats: Arc<Repeats>,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        levels::enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !levels::matches(record) {
            return;
        }
        if record.level() > Level::Warn {
            return self.logger.log(record);
        }
        if is_advice(record) {
            return;
        }
        let Some(service) = &self.service else {
            return self.logger.log(record);
        };
        let entry = Entry::now(record);
        if service.repeats.admits(&entry, Instant::now()) {
            recent::keep(&entry);
            self.logger.log(record);
        }
        // Others may end the process after it, as gRPC's assertions do.
        if record.level() == Level::Error && !is_own(record.target()) {
            self.flush();
        }
    }

    fn flush(&self) {
        if let Some(service) = &self.service {
            service.flusher.flush();
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
fn own_line(form: Form, level: Level, text: std::fmt::Arguments<'_>) -> Vec<u8> {
    let mut record = Record::builder();
    record
        .target(OWN[0])
        .level(level)
        .file(Some(file!()))
        .line(Some(line!()));
    let record = record.args(text).build();
    form.bytes(&Entry::now(&record))
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
            operation = push.operation,
            room = push.room.as_str();
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
}
