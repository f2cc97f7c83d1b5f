//! `reload`: reads the settings again, as at the start, and applies what has changed: all of it or nothing.

use super::request::Reply;
use crate::settings::load::{Change, Loaded};
use crate::settings::{Config, Fetch};

/// What a job takes while it runs, by the settings' keys.
const LIVE: [&str; 9] = [
    "comet",
    "comet-refresh",
    "log-messages",
    "max-age",
    "max-age-action",
    "catch-up",
    "hold-messages",
    "hold-bytes",
    "shutdown-timeout",
];

/// Reads the settings again, and checks the files that they name.
pub type ReadAgain = Box<dyn FnMut() -> Result<Loaded, String> + Send>;

/// How settings are read and applied.
pub struct Reload {
    /// Those in use.
    pub current: Loaded,
    pub read: ReadAgain,
    /// Tells the threads.
    pub apply: Box<dyn FnMut(&Config) + Send>,
}

pub fn reload(with: &mut Reload) -> Reply {
    let loaded = match (with.read)() {
        Ok(loaded) => loaded,
        Err(error) => {
            return Reply::failed(format!("nothing is applied: {}", error.trim_end()));
        }
    };
    let changes = with.current.changes(&loaded);
    let fixed: Vec<_> = changes
        .iter()
        .filter(|change| !is_live(change, &with.current.config, &loaded.config))
        .collect();
    if !fixed.is_empty() {
        let fixed: Vec<_> = fixed.iter().map(|change| change.key.as_str()).collect();
        let mut reply = Reply::failed(format!(
            "nothing is applied, as this needs a restart: {}",
            fixed.join(", ")
        ));
        reply.says.extend(changes.iter().map(ToString::to_string));
        return reply;
    }
    if changes.is_empty() {
        return Reply::done(
            "no setting has changed; the files of passwords and certificates can be read",
        );
    }
    (with.apply)(&loaded.config);
    with.current = loaded;
    let keys: Vec<_> = changes.iter().map(|change| change.key.as_str()).collect();
    let mut reply = Reply::done(format!("applied: {}", keys.join(", ")));
    reply.says.extend(changes.iter().map(ToString::to_string));
    reply
}

fn is_live(change: &Change, before: &Config, after: &Config) -> bool {
    // Which fetcher reads is chosen at the start, and one of them doesn't read the records' times.
    let needs_times = before.max_age.is_none() && after.max_age.is_some();
    let may_lack_times = needs_times && before.fetch == Fetch::Auto;
    // How Comets are called is, too.
    let is_called_otherwise = before.needs_lean() != after.needs_lean();
    match &change.key[..] {
        "max-age" if may_lack_times => false,
        "comet" if is_called_otherwise => false,
        key => LIVE.contains(&key),
    }
}
