//! Keeps one partition's trouble its own: what can't be read is tried again beside the others, and then passed by.
//!
//! A fetcher says which partition it can't read at its position. That one is taken out, and tried again for some
//! seconds: a disk or a network may be at fault. Where it still fails, the bytes that the broker serves there tell how
//! far it goes. A partition that brings nothing though its log goes on, without a word from the fetcher's client, is
//! found here too.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::inspect::Inspector;
use super::raw::Look;
use super::{Batch, FetchError, Fetcher, MAX_WAIT, Outcome, Positions};
use crate::base::backoff::grows;
use crate::base::trial::limit;
use crate::settings::{Config, Fetch};

/// For so long a position is tried before it is passed by.
const TRY_FOR: Duration = Duration::from_secs(5);
const FIRST_WAIT: Duration = Duration::from_millis(500);
const MOST_WAIT: Duration = Duration::from_secs(2);
const _: () = grows(FIRST_WAIT, MOST_WAIT);
const _: () = assert!(
    2 * MOST_WAIT.as_millis() <= TRY_FOR.as_millis(),
    "a position would be passed by after a try or two"
);
/// Between two tries of what can't be passed by. A batch that is sound is tried more often for so long: what keeps it from
/// coming may end.
const STUCK_WAIT: Duration = Duration::from_secs(30);

/// A partition that brings nothing for so long is compared with the end of its log.
const QUIET: Duration = Duration::from_secs(3);
/// What was not asked for during so long (what is held was at its cap) is not quiet.
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
    /// What else could read what this reader can't.
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
    /// The broker brings nothing, and the reader doesn't notice.
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

    /// Reads all partitions but those that are to wait.
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

    /// Ends the troubles of partitions that stand elsewhere by now, or went to another owner.
    fn forget_the_past(&mut self, positions: &Positions) {
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

    /// What comes of a partition that can't be read at `position`.
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
            // It is no longer there.
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
                self.is_stuck(partition, why);
                None
            }
            Err(other) => {
                log::debug!("partition {partition} at offset {position}: {other}");
                None
            }
        }
    }

    fn is_stuck(&mut self, partition: i32, why: &str) {
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

    /// Looks at partitions that bring nothing, though their logs go on.
    fn look_at_quiet_ones(&mut self, positions: &Positions) -> Vec<Batch> {
        let now = Instant::now();
        let mut suspects: Vec<i32> = Vec::new();
        if let Some(quiet) = self.quiet.look(positions, now) {
            let in_trouble = |partition: &i32| self.troubles.contains_key(partition);
            let quiet: Vec<i32> = quiet.into_iter().filter(|p| !in_trouble(p)).collect();
            // Where Kafka doesn't say, the reader has the same trouble, and says so.
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
        self.forget_the_past(positions);
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
        batches.extend(self.look_at_quiet_ones(positions));
        Ok(batches)
    }
}

/// Which partitions stand where they stood a while ago, though they were asked for all the time.
#[derive(Debug, Default)]
struct Quiet {
    stood: Positions,
    since: Option<Instant>,
    asked: Option<Instant>,
}

impl Quiet {
    /// The quiet ones, each time that [`QUIET`] is over.
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
