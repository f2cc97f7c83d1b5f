//! How much is logged: `MUDUO_LOG_LEVEL` for all, or `RUST_LOG` by module.

use std::env::var_os;
use std::sync::{PoisonError, RwLock};

use env_logger::{Builder, Logger};
use log::{LevelFilter, Log, Metadata, Record};

use super::OWN;
use crate::base::text::escape_body;

const LEVEL: &str = "MUDUO_LOG_LEVEL";
const BY_MODULE: &str = "RUST_LOG";
/// What krafka warns about, and job says itself, or knows and doesn't mind. Errors from there are shown.
const REPEATED: [&str; 3] = [
    // At each start: that the classic group protocol is deprecated from Kafka 4.3 on.
    "krafka::consumer::group::classic",
    // At each retry: that no broker is reachable, or the topic isn't there.
    "krafka::metadata",
    "krafka::network::pool",
];

/// Says what is logged. It may change while the log is written.
static FILTER: RwLock<Option<Logger>> = RwLock::new(None);

/// Whether a record is logged.
pub fn matches(record: &Record<'_>) -> bool {
    let filter = FILTER.read().unwrap_or_else(PoisonError::into_inner);
    filter.as_ref().is_some_and(|filter| filter.matches(record))
}

/// Whether such records are logged.
pub fn enabled(metadata: &Metadata<'_>) -> bool {
    let filter = FILTER.read().unwrap_or_else(PoisonError::into_inner);
    filter
        .as_ref()
        .is_some_and(|filter| filter.enabled(metadata))
}

/// Has this level hold from now on: for job, and for the others no more than what matters.
pub fn put(level: LevelFilter) {
    let mut builder = Builder::new();
    overall(&mut builder, level);
    put_filter(builder);
}

/// Returns the highest level that is logged.
fn put_filter(mut builder: Builder) -> LevelFilter {
    let filter = builder.build();
    let level = filter.filter();
    *FILTER.write().unwrap_or_else(PoisonError::into_inner) = Some(filter);
    level
}

/// What the environment asks for. An empty variable counts as not set.
pub struct Levels {
    level: Option<String>,
    by_module: Option<String>,
}

impl Levels {
    pub fn of_environment() -> Self {
        let set = |name| {
            let value = var_os(name)?.to_string_lossy().into_owned();
            (!value.trim().is_empty()).then_some(value)
        };
        Self {
            level: set(LEVEL),
            by_module: set(BY_MODULE),
        }
    }

    /// Has this hold from now on. Returns the highest level that is logged.
    pub fn put(&self, unless_asked: LevelFilter) -> LevelFilter {
        let mut builder = Builder::new();
        self.filter(&mut builder, unless_asked);
        put_filter(builder)
    }

    /// Sets the filters. `MUDUO_LOG_LEVEL` wins where both are set.
    fn filter(&self, builder: &mut Builder, unless_asked: LevelFilter) {
        match (&self.level, &self.by_module) {
            (Some(level), _) => overall(builder, parse(level).unwrap_or(LevelFilter::Info)),
            (None, Some(by_module)) => drop(builder.parse_filters(by_module)),
            (None, None) => overall(builder, unless_asked),
        }
    }

    /// Says what isn't used.
    pub fn complain(&self) {
        let Some(level) = &self.level else {
            return;
        };
        let level_shown = escape_body(level.as_bytes());
        if parse(level).is_none() {
            log::warn!(
                "{LEVEL}={level_shown} is not a level: write TRACE, DEBUG, INFO, WARN or ERROR. INFO is used"
            );
        }
        if self.by_module.is_some() {
            log::debug!("{LEVEL}={level_shown} is set, so {BY_MODULE} is not used");
        }
    }
}

/// One level for job, and for the others no more than what matters.
fn overall(builder: &mut Builder, level: LevelFilter) {
    if level >= LevelFilter::Debug {
        builder.filter_level(level);
        return;
    }
    builder.filter_level(level.min(LevelFilter::Warn));
    for name in OWN {
        builder.filter_module(name, level);
    }
    for name in REPEATED {
        builder.filter_module(name, level.min(LevelFilter::Error));
    }
}

/// The level of that name, in any case.
fn parse(level: &str) -> Option<LevelFilter> {
    match level.trim().to_ascii_uppercase().as_str() {
        "TRACE" => Some(LevelFilter::Trace),
        "DEBUG" => Some(LevelFilter::Debug),
        "INFO" => Some(LevelFilter::Info),
        "WARN" => Some(LevelFilter::Warn),
        "ERROR" => Some(LevelFilter::Error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::Level;

    fn shows(
        [level, by_module]: [Option<&str>; 2],
        unless_asked: LevelFilter,
    ) -> impl Fn(Level, &str) -> bool {
        let own = |text: Option<&str>| text.map(ToOwned::to_owned);
        let levels = Levels {
            level: own(level),
            by_module: own(by_module),
        };
        let mut builder = Builder::new();
        levels.filter(&mut builder, unless_asked);
        let logger = builder.build();
        move |level, target| {
            let metadata = Metadata::builder().level(level).target(target).build();
            logger.enabled(&metadata)
        }
    }

    #[test]
    fn levels_in_any_case() {
        assert_eq!(parse("debug"), Some(LevelFilter::Debug));
        assert_eq!(parse(" Error "), Some(LevelFilter::Error));
        assert_eq!(parse("verbose"), None);
    }

    #[test]
    fn others_say_less_than_job() {
        let shows = shows([None, None], LevelFilter::Info);
        assert!(shows(Level::Info, "chatroom_job::group") && shows(Level::Info, "job"));
        assert!(!shows(Level::Debug, "chatroom_job::group"));
        assert!(!shows(Level::Info, "krafka::consumer") && shows(Level::Warn, "krafka::consumer"));
        assert!(!shows(Level::Warn, "krafka::metadata") && shows(Level::Error, "krafka::metadata"));
    }

    #[test]
    fn modules_have_levels_of_their_own_unless_there_is_one_for_all() {
        let modules = Some("warn,chatroom_job::worker=trace");
        let by_module = shows([None, modules], LevelFilter::Info);
        assert!(by_module(Level::Trace, "chatroom_job::worker::core"));
        assert!(!by_module(Level::Info, "chatroom_job::group"));
        let for_all = shows([Some("ERROR"), modules], LevelFilter::Info);
        assert!(!for_all(Level::Warn, "chatroom_job::worker::core"));
        let command = shows([None, None], LevelFilter::Off);
        assert!(!command(Level::Error, "chatroom_job"));
        let command = shows([None, modules], LevelFilter::Off);
        assert!(command(Level::Warn, "chatroom_job"));
    }
}
