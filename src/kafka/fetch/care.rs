//! Isolates partitions that can't be read: retries them beside the others, and then skips the unreadable batch.
//!
//! A fetcher reports a partition that it can't read at its position. This one is retried for some seconds, because a disk
//! or a network may be at fault. If it still fails, the bytes that the broker serves there tell where the batch ends. A
//! partition that brings nothing although its log goes on, without an error from the client, is detected here too.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::inspect::Inspector;
use super::raw::Look;
use super::{Batch, FetchError, Fetcher, MAX_WAIT, Outcome, Positions};
use crate::base::backoff::grows;
use crate::base::trial::limit;
use crate::settings::{Config, Fetch};

/// Retries a position for this long before it is skipped.
const TRY_FOR: Duration = Duration::from_secs(5);
const FIRST_WAIT: Duration = Duration::from_millis(500);
const MOST_WAIT: Duration = Duration::from_secs(2);
const _: () = grows(FIRST_WAIT, MOST_WAIT);
const _: () = assert!(
    2 * MOST_WAIT.as_millis() <= TRY_FOR.as_millis(),
    "a position would be skipped after a try or two"
);
/// Wait between tries of a batch that can't be skipped. An intact batch is retried more often during its first
/// `STUCK_WAIT`: the obstacle may end.
const STUCK_WAIT: Duration = Duration::from_secs(30);

/// Compares a partition with the end of its log when it has brought nothing for this long.
const QUIET: Duration = Duration::from_secs(3);
/// A partition that was not fetched for this long (reading paused at a cap) doesn't count as quiet.
const ASKED_AGAIN: Duration = Duration::from_secs(1);
const _: () = assert!(
    MAX_WAIT.as_millis() < ASKED_AGAIN.as_millis() && ASKED_AGAIN.as_millis() < QUIET.as_millis(),
    "while it waits at the broker a fetch would count as none, and no partition ever as quiet"
);

pub struct Care {
    reader: Box<dyn Fetcher>,
    inspector: Inspector,
    troubles: BTreeMap<i32, Trouble>,
    quiet: Quiet,
    /// Advice for what this client can't read and another could.
    other_way: Option<&'static str>,
    try_for: Duration,
}

/// A partition that can't be read at its position.
#[derive(Debug)]
struct Trouble {
    position: i64,
    since: Instant,
    tries: u32,
    next: Instant,
    /// The partition brings nothing, and the client reports no error.
    is_silent: bool,
    is_stuck: bool,
}

impl Trouble {
    fn wait(&mut self, now: Instant, is_sound: bool) {
        let may_end = is_sound && now.duration_since(self.since) < STUCK_WAIT;
        let wait = match self.is_stuck && !may_end {
            true => STUCK_WAIT,
            false => (FIRST_WAIT * 2_u32.pow(self.tries.min(8))).min(MOST_WAIT),
        };
        self.tries += 1;
        self.next = now + wait;
    }
}

impl Care {
    pub fn new(config: &Config, reader: Box<dyn Fetcher>) -> Self {
        Self {
            reader,
            inspector: Inspector::new(config),
            troubles: BTreeMap::new(),
            quiet: Quiet::default(),
            other_way: (config.fetch == Fetch::Classic).then_some("use --fetch auto or modern"),
            try_for: limit("unreadable-after", TRY_FOR),
        }
    }

    /// Fetches all partitions except those that wait for their next try.
    fn read(&mut self, positions: &Positions) -> Result<Vec<Batch>, FetchError> {
        if self.troubles.is_empty() {
            return self.reader.fetch(positions);
        }
        let now = Instant::now();
        let waits = |partition: &i32| {
            let trouble = self.troubles.get(partition);
            trouble.is_some_and(|trouble| !trouble.is_silent && trouble.next > now)
        };
        let mut asked = positions.clone();
        asked.retain(|partition, _| !waits(partition));
        if asked.is_empty() {
            std::thread::sleep(MAX_WAIT);
            return Ok(Vec::new());
        }
        self.reader.fetch(&asked)
    }

    /// Ends the troubles of partitions whose position has moved, or that went to another owner.
    fn forget_solved(&mut self, positions: &Positions) {
        self.troubles.retain(|partition, trouble| {
            let position = positions.get(partition);
            if position.is_some_and(|at| *at > trouble.position) && trouble.tries > 0 {
                let seconds = trouble.since.elapsed().as_secs_f64();
                log::info!(
                    "partition {partition} is read on from offset {}, after {seconds:.1} s",
                    trouble.position
                );
            }
            position == Some(&trouble.position)
        });
    }

    /// Handles a partition that can't be read at `position`. Returns an outcome when reading can go on.
    fn unreadable(
        &mut self,
        partition: i32,
        position: i64,
        why: &str,
        is_silent: bool,
    ) -> Option<Outcome> {
        let look = self.inspector.look(partition, position);
        if let Ok(Look::Nothing { next }) = look {
            self.troubles.remove(&partition);
            return Some(Outcome::Records {
                records: Vec::new(),
                next,
            });
        }
        let now = Instant::now();
        let trouble = self.troubles.entry(partition).or_insert_with(|| {
            log::warn!(
                "partition {partition} can't be read at offset {position}: {why}; trying again for some seconds"
            );
            Trouble {
                position,
                since: now,
                tries: 0,
                next: now,
                is_silent,
                is_stuck: false,
            }
        });
        let is_sound = matches!(look, Ok(Look::Batch { intact: true, .. }));
        trouble.wait(now, is_sound);
        if now.duration_since(trouble.since) < self.try_for {
            return None;
        }
        let last = match look {
            Ok(Look::Batch { .. }) if is_sound && self.other_way.is_some() => Ok(None),
            Ok(Look::Batch { last, .. }) => Ok(Some(last)),
            Ok(Look::Broken(_)) => self.inspector.last_before_next(partition, position),
            // The batch is no longer there.
            Ok(Look::End | Look::Nothing { .. }) => return None,
            Err(why) => Err(why),
        };
        match last {
            Ok(Some(last)) => {
                self.troubles.remove(&partition);
                Some(Outcome::Unreadable {
                    last: Some(last),
                    why: why.to_owned(),
                })
            }
            Ok(None) => {
                self.tell_stuck(partition, why);
                None
            }
            Err(other) => {
                log::debug!("partition {partition} at offset {position}: {other}");
                None
            }
        }
    }

    fn tell_stuck(&mut self, partition: i32, why: &str) {
        let Some(trouble) = self.troubles.get_mut(&partition) else {
            return;
        };
        if !std::mem::replace(&mut trouble.is_stuck, true) {
            let advice = self.other_way.unwrap_or(
                "look into the broker's log and at its disk. Where nothing can be mended, stop job and move its group \
                 behind what is damaged: kafka-consumer-groups.sh --reset-offsets --to-offset",
            );
            log::error!(
                "partition {partition} is stuck at offset {}: {why}; {advice}. The other partitions go on, and this \
                 one is tried again, at least every {} s",
                trouble.position,
                STUCK_WAIT.as_secs()
            );
        }
    }

    /// Inspects partitions that bring nothing although their logs go on.
    fn inspect_quiet(&mut self, positions: &Positions) -> Vec<Batch> {
        let now = Instant::now();
        let mut suspects: Vec<i32> = Vec::new();
        if let Some(quiet) = self.quiet.look(positions, now) {
            let in_trouble = |partition: &i32| self.troubles.contains_key(partition);
            let quiet: Vec<i32> = quiet.into_iter().filter(|p| !in_trouble(p)).collect();
            // If Kafka doesn't answer, the client fails too, and reports it.
            let ends = self.inspector.ends(&quiet).unwrap_or_default();
            let goes_on = |partition: &i32| ends.get(partition) > positions.get(partition);
            suspects.extend(quiet.into_iter().filter(goes_on));
        }
        let due = |trouble: &Trouble| trouble.is_silent && trouble.next <= now;
        suspects.extend(self.troubles.iter().filter(|(_, t)| due(t)).map(|(p, _)| p));
        let mut batches = Vec::new();
        for partition in suspects {
            let position = positions[&partition];
            let outcome = match self.inspector.look(partition, position) {
                Ok(Look::Broken(why)) => self.unreadable(partition, position, &why, true),
                Ok(_) => {
                    self.troubles.remove(&partition);
                    None
                }
                Err(_) => None,
            };
            batches.extend(outcome.map(|outcome| Batch { partition, outcome }));
        }
        batches
    }
}

impl Fetcher for Care {
    fn fetch(&mut self, positions: &Positions) -> Result<Vec<Batch>, FetchError> {
        self.forget_solved(positions);
        let mut batches = Vec::new();
        for Batch { partition, outcome } in self.read(positions)? {
            let outcome = match (outcome, positions.get(&partition)) {
                (Outcome::Unreadable { why, .. }, Some(&position)) => {
                    self.unreadable(partition, position, &why, false)
                }
                (outcome, _) => Some(outcome),
            };
            batches.extend(outcome.map(|outcome| Batch { partition, outcome }));
        }
        batches.extend(self.inspect_quiet(positions));
        Ok(batches)
    }
}

/// Finds partitions whose position hasn't moved for a while although they were fetched all the time.
#[derive(Debug, Default)]
struct Quiet {
    stood: Positions,
    since: Option<Instant>,
    asked: Option<Instant>,
}

impl Quiet {
    /// Returns the quiet partitions, once every [`QUIET`].
    fn look(&mut self, positions: &Positions, now: Instant) -> Option<Vec<i32>> {
        let asked = self.asked.replace(now);
        let is_gap = asked.is_none_or(|asked| now.duration_since(asked) > ASKED_AGAIN);
        let since = *self.since.get_or_insert(now);
        if is_gap {
            self.since = Some(now);
            self.stood.clone_from(positions);
            return None;
        }
        if now.duration_since(since) < QUIET {
            return None;
        }
        self.since = Some(now);
        let stood = std::mem::replace(&mut self.stood, positions.clone());
        let quiet = positions.iter().filter(|(p, at)| stood.get(p) == Some(at));
        Some(quiet.map(|(p, _)| *p).collect())
    }
}
