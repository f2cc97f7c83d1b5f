//! The thread that asks Kafka what reading doesn't tell of a lag: where the log ends while nothing is read, as at the cap, and
//! since when a record waits that was there before job looked. It asks seldom, and mostly nothing.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::base::{trial, wall};
use crate::figures::Figures;
use crate::kafka::fetch::Inspector;
use crate::settings::Config;

/// How often it looks whether something is to be asked, and for how long reading has to have told nothing.
const EVERY: Duration = Duration::from_secs(5);

/// Partitions that it asks for their first record, in one look: each is a fetch. The others have their turn later.
const FIRST_RECORDS: usize = 16;

/// Starts the thread. It never ends.
///
/// # Errors
/// The system refuses a thread.
pub fn spawn(config: &Config, figures: Arc<Figures>) -> std::io::Result<()> {
    let config = config.clone();
    let every = trial::limit("lag-every", EVERY);
    let mut turn = 0;
    thread::Builder::new()
        .name("log-ends".into())
        .spawn(move || {
            loop {
                thread::sleep(every);
                ask(&config, &figures, every, &mut turn);
            }
        })
        .map(drop)
}

/// Asks what is to be asked. Where Kafka doesn't answer, reading fails too, and tells so.
fn ask(config: &Config, figures: &Figures, every: Duration, turn: &mut usize) {
    let consumer = &figures.consumer;
    let ours = figures.group.account().partitions;
    let now = Instant::now();
    let partitions = ours.iter().map(|ours| ours.partition);
    let unheard: Vec<_> = partitions
        .filter(|partition| consumer.is_unheard(*partition, every, now))
        .collect();
    let mut old: Vec<_> = ours
        .iter()
        .map(|ours| (ours.partition, ours.watermark))
        .filter(|(partition, offset)| consumer.is_older_than_looks(*partition, *offset))
        .collect();
    if unheard.is_empty() && old.is_empty() {
        return;
    }
    // It lasts for one look: the next one may be hours away.
    let mut inspector = Inspector::new(config);
    if !unheard.is_empty()
        && let Ok(ends) = inspector.ends(&unheard)
    {
        consumer.ends(ends, Instant::now());
    }
    if !old.is_empty() {
        let first = *turn % old.len();
        old.rotate_left(first);
        *turn = turn.wrapping_add(FIRST_RECORDS);
    }
    for (partition, offset) in old.into_iter().take(FIRST_RECORDS) {
        let Ok(written) = inspector.written(partition, offset) else {
            return;
        };
        // A clock that goes ahead gives a record no future.
        let age = written.map(|written| (wall::millis() - written).max(0).unsigned_abs());
        let age = age.map(Duration::from_millis);
        if let Some(at) = age.and_then(|age| Instant::now().checked_sub(age)) {
            consumer.written(partition, offset, at);
        }
    }
}
