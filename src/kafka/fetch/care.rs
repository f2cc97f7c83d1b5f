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
use crate::base::backoff::{Outage, grows};
use crate::base::trial::limit;
use crate::message::PartitionId;
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

/// A position that isn't asked for is remembered for this long. Turns of many Comets and partitions take some seconds.
const REMEMBER: Duration = Duration::from_secs(30);

/// Compares a partition with the end of its log when it has brought nothing for this long.
const QUIET: Duration = Duration::from_secs(3);
/// How often the log says that Kafka doesn't answer for quiet partitions.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// A partition that was not fetched for this long (reading paused at a cap) doesn't count as quiet.
const ASKED_AGAIN: Duration = Duration::from_secs(1);
const _: () = assert!(
    MAX_WAIT.as_millis() < ASKED_AGAIN.as_millis() && ASKED_AGAIN.as_millis() < QUIET.as_millis(),
    "while it waits at the broker a fetch would count as none, and no partition ever as quiet"
);

pub struct Care {
    reader: Box<dyn Fetcher>,
    inspector: Inspector,
    troubles: Troubles,
    quiet: Quiet,
    /// Of the questions what is in quiet partitions.
    unanswered: Outage,
    /// Advice for what this client can't read and another could.
    other_way: Option<&'static str>,
    try_for: Duration,
}

/// By partition and position. Where a Comet catches up, each fetch asks for another partition, and for another position for each
/// Comet: it ends no trouble that it doesn't ask for.
#[derive(Debug, Default)]
struct Troubles(BTreeMap<(PartitionId, i64), Trouble>);

impl Troubles {
    /// Notes what is asked for. Forgets what nobody asked for in a while: another owner has the partition, say.
    fn asked(&mut self, positions: &Positions, now: Instant) {
        for (&partition, &position) in positions {
            if let Some(trouble) = self.0.get_mut(&(partition, position)) {
                trouble.asked = now;
            }
        }
        self.0
            .retain(|_, trouble| now.duration_since(trouble.asked) < REMEMBER);
    }
}

/// A partition that can't be read at a position.
#[derive(Debug)]
struct Trouble {
    since: Instant,
    /// When a fetch asked for it last.
    asked: Instant,
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
            troubles: Troubles::default(),
            quiet: Quiet::default(),
            unanswered: Outage::new(SAY_EVERY, SAY_EVERY),
            other_way: (config.fetch == Fetch::Classic).then_some("use --fetch auto or modern"),
            try_for: limit("unreadable-after", TRY_FOR),
        }
    }

    /// Fetches all partitions except those that wait for their next try.
    fn read(&mut self, positions: &Positions, wait: Duration) -> Result<Vec<Batch>, FetchError> {
        if self.troubles.0.is_empty() {
            return self.reader.fetch(positions, wait);
        }
        let now = Instant::now();
        self.troubles.asked(positions, now);
        let mut asked = positions.clone();
        asked.retain(|partition, position| {
            let trouble = self.troubles.0.get(&(*partition, *position));
            trouble.is_none_or(|trouble| trouble.is_silent || trouble.next <= now)
        });
        if asked.is_empty() {
            std::thread::sleep(wait);
            return Ok(Vec::new());
        }
        let batches = self.reader.fetch(&asked, wait)?;
        for Batch { partition, outcome } in &batches {
            if let (Outcome::Records { .. }, Some(&position)) = (outcome, asked.get(partition)) {
                self.solved(*partition, position);
            }
        }
        Ok(batches)
    }

    fn solved(&mut self, partition: PartitionId, position: i64) {
        if let Some(trouble) = self.troubles.0.remove(&(partition, position)) {
            let seconds = trouble.since.elapsed().as_secs_f64();
            log::info!(
                topic = partition.topic_name(), partition = partition.index, offset = position;
                "partition {partition} is read on from offset {position}, after {seconds:.1} s"
            );
        }
    }

    /// Handles a partition that can't be read at `position`. Returns an outcome when reading can go on.
    fn unreadable(
        &mut self,
        partition: PartitionId,
        position: i64,
        why: &str,
        is_silent: bool,
    ) -> Option<Outcome> {
        let look = self.inspector.look(partition, position);
        let place = (partition, position);
        if let Ok(Look::Nothing { next }) = look {
            self.troubles.0.remove(&place);
            return Some(Outcome::Records {
                records: Vec::new(),
                next,
            });
        }
        let now = Instant::now();
        let trouble = self.troubles.0.entry(place).or_insert_with(|| {
            log::warn!(
                topic = partition.topic_name(), partition = partition.index, offset = position, cause = why;
                "partition {partition} can't be read at offset {position}: {why}; trying again for some seconds"
            );
            Trouble {
                since: now,
                asked: now,
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
                self.troubles.0.remove(&place);
                Some(Outcome::Unreadable {
                    last: Some(last),
                    why: why.to_owned(),
                })
            }
            Ok(None) => {
                self.tell_stuck(place, why);
                None
            }
            Err(other) => {
                log::debug!(topic = partition.topic_name(), partition = partition.index, offset = position, cause = other; "partition {partition} at offset {position}: {other}");
                None
            }
        }
    }

    fn tell_stuck(&mut self, place: (PartitionId, i64), why: &str) {
        let (partition, position) = place;
        let Some(trouble) = self.troubles.0.get_mut(&place) else {
            return;
        };
        if !std::mem::replace(&mut trouble.is_stuck, true) {
            let advice = self.other_way.unwrap_or(
                "look into the broker's log and at its disk. Where nothing can be mended, stop job and move its group \
                 behind what is damaged: kafka-consumer-groups.sh --reset-offsets --to-offset",
            );
            log::error!(
                topic = partition.topic_name(), partition = partition.index, offset = position, cause = why;
                "partition {partition} is stuck at offset {position}: {why}; {advice}. The other partitions go on, and this \
                 one is tried again, at least every {} s",
                STUCK_WAIT.as_secs()
            );
        }
    }

    /// Inspects partitions that bring nothing although their logs go on.
    fn inspect_quiet(&mut self, positions: &Positions) -> Vec<Batch> {
        let now = Instant::now();
        let mut suspects: Vec<PartitionId> = Vec::new();
        let mut failed = None;
        let quiet = self.quiet.look(positions, now);
        let asks = quiet.is_some();
        if let Some(quiet) = quiet {
            let troubles = &self.troubles.0;
            let in_trouble = |partition: &PartitionId| {
                troubles.contains_key(&(*partition, positions[partition]))
            };
            let quiet: Vec<PartitionId> = quiet.into_iter().filter(|p| !in_trouble(p)).collect();
            let ends = self.inspector.ends(&quiet).unwrap_or_else(|why| {
                failed = Some(why);
                BTreeMap::new()
            });
            let goes_on = |partition: &PartitionId| ends.get(partition) > positions.get(partition);
            suspects.extend(quiet.into_iter().filter(goes_on));
        }
        suspects.extend(positions.iter().filter_map(|(&partition, &position)| {
            let trouble = self.troubles.0.get(&(partition, position))?;
            (trouble.is_silent && trouble.next <= now).then_some(partition)
        }));
        let mut batches = Vec::new();
        for partition in suspects {
            let position = positions[&partition];
            let outcome = match self.inspector.look(partition, position) {
                Ok(Look::Broken(why)) => self.unreadable(partition, position, &why, true),
                Ok(_) => {
                    self.troubles.0.remove(&(partition, position));
                    None
                }
                Err(why) => {
                    failed = Some(why);
                    None
                }
            };
            batches.extend(outcome.map(|outcome| Batch { partition, outcome }));
        }
        match failed {
            Some(why) => self.tell_unanswered(&why, now),
            None if asks => self.tell_answered(now),
            None => {}
        }
        batches
    }

    /// krafka reports nothing where it may not read a partition.
    fn tell_unanswered(&mut self, why: &str, now: Instant) {
        if self.unanswered.failed(now) {
            log::warn!(
                cause = why;
                "partitions bring nothing, and asking Kafka whether there is something in them failed: {why}. They are asked again \
                 every {} s",
                QUIET.as_secs()
            );
        }
    }

    fn tell_answered(&mut self, now: Instant) {
        if let Some(lasted) = self.unanswered.worked(now) {
            log::info!(
                "Kafka answers again what is in partitions that bring nothing, after {:.0} s",
                lasted.as_secs_f64()
            );
        }
    }
}

impl Fetcher for Care {
    fn longest(&self) -> Option<Duration> {
        self.reader.longest()
    }

    fn fetch(&mut self, positions: &Positions, wait: Duration) -> Result<Vec<Batch>, FetchError> {
        let mut batches = Vec::new();
        for Batch { partition, outcome } in self.read(positions, wait)? {
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

    fn ends(&mut self) -> Positions {
        self.reader.ends()
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
    fn look(&mut self, positions: &Positions, now: Instant) -> Option<Vec<PartitionId>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_lasts_through_the_turns_of_others_until_nobody_asks_for_it() {
        let start = Instant::now();
        let mut troubles = Troubles::default();
        let trouble = Trouble {
            since: start,
            asked: start,
            tries: 1,
            next: start,
            is_silent: false,
            is_stuck: false,
        };
        troubles.0.insert((PartitionId::of_first(0), 7), trouble);
        let place = |index, offset| (PartitionId::of_first(index), offset);
        let asks = [place(0, 7), place(1, 7), place(0, 3), place(2, 9)];
        for n in 1..100 {
            let turn = Positions::from([asks[n % asks.len()]]);
            troubles.asked(&turn, start + Duration::from_secs(n as u64));
            assert_eq!(troubles.0[&place(0, 7)].since, start, "after {n} s");
        }
        // Turn 96 was its last one.
        let later = start + Duration::from_secs(96) + REMEMBER;
        troubles.asked(&Positions::from([place(1, 7)]), later);
        assert!(troubles.0.is_empty());
    }
}
