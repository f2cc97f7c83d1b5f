//! How the figures develop: looked at now and then, so that their writers need not know of it. The time comes from outside.

mod calls;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::document::{Delivery, Point};
use crate::figures::{Figures, Snapshot, Totals};
use crate::message::ByComet;
pub use calls::Calls;

/// Between two points.
pub const EVERY: Duration = Duration::from_secs(5);
/// Points of ten minutes.
const POINTS: usize = 120;
/// Samples that span a minute.
const RECENT: usize = 13;

/// What was seen so far.
#[derive(Debug)]
pub struct History {
    pub started: Instant,
    points: VecDeque<Point>,
    recent: VecDeque<Sample>,
    pub since: Since,
}

/// Since when something is so, if it is.
#[derive(Debug, Default)]
pub struct Since {
    reading: Failing,
    commits: Failing,
    pub no_member: Option<Instant>,
    pub at_limit: Option<Instant>,
    pub paused: Option<Instant>,
    pub letters_wait: Option<Instant>,
}

impl Since {
    pub fn reading_fails(&self) -> Option<Instant> {
        self.reading.since
    }

    pub fn commits_fail(&self) -> Option<Instant> {
        self.commits.since
    }
}

/// Something that fails again and again until it works.
#[derive(Debug, Default)]
struct Failing {
    /// How often it failed, and how often it worked again, when last looked.
    counts: [u64; 2],
    since: Option<Instant>,
}

impl Failing {
    fn look(&mut self, counts: [u64; 2], now: Instant) {
        let [failures, recoveries] = std::mem::replace(&mut self.counts, counts);
        if counts[1] > recoveries {
            self.since = None;
        } else if counts[0] > failures {
            self.since.get_or_insert(now);
        }
    }
}

/// The counters at one moment.
#[derive(Clone, Debug)]
pub struct Sample {
    at: Instant,
    /// Messages delivered, and when the group's thread said so: it does that once a second.
    delivered: (Instant, u64),
    read: u64,
    latency: Snapshot,
    since_read: Snapshot,
    pub comets: ByComet<Calls>,
    /// Those to Comets that are gone.
    gone: Calls,
    /// Calls of each worker that ended.
    pub workers: Vec<u64>,
}

impl Sample {
    pub fn of(figures: &Figures, now: Instant) -> Self {
        let account = figures.group.account();
        let totals = Totals(&figures.workers);
        let comets = figures.comets.all();
        let worker = |worker| {
            let totals = Totals(std::slice::from_ref(worker));
            let here = comets.iter().map(|(comet, _)| Calls::of(&totals, *comet));
            // What ended never gets less.
            here.map(|calls| calls.ended).sum::<u64>() + Calls::of_gone(&totals).ended
        };
        Self {
            at: now,
            delivered: (account.at.unwrap_or(now), account.delivered),
            read: figures.consumer.records.get(),
            latency: totals.latency(),
            since_read: totals.since_read(),
            comets: comets
                .iter()
                .map(|(comet, _)| (*comet, Calls::of(&totals, *comet)))
                .collect(),
            gone: Calls::of_gone(&totals),
            workers: figures.workers.iter().map(worker).collect(),
        }
    }

    /// Calls that ended, of all Comets that ever were.
    pub fn calls(&self) -> u64 {
        let here = self.comets.values().map(|calls| calls.ended);
        here.sum::<u64>() + self.gone.ended
    }

    pub fn seconds_since(&self, before: &Sample) -> f64 {
        self.at.saturating_duration_since(before.at).as_secs_f64()
    }

    /// What was delivered since an earlier one.
    pub fn delivery_since(&self, before: &Sample) -> Delivery {
        let ((now, count), (then, earlier)) = (self.delivered, before.delivered);
        let lasted = now.saturating_duration_since(then).as_secs_f64();
        let latency = self.latency.since(&before.latency);
        let since_read = self.since_read.since(&before.since_read);
        let is_since_read = since_read.count() > latency.count();
        let latency = if is_since_read { since_read } else { latency };
        Delivery {
            messages_per_second: per_second(count.saturating_sub(earlier), lasted),
            read_per_second: per_second(
                self.read.saturating_sub(before.read),
                self.seconds_since(before),
            ),
            p50_ms: latency.quantile(0.5).map(tenths),
            p99_ms: latency.quantile(0.99).map(tenths),
            since_read: is_since_read,
        }
    }
}

/// How many there were a second. None in no time.
pub fn per_second(count: u64, seconds: f64) -> f64 {
    match seconds > 0.0 {
        true => tenths(count as f64 / seconds),
        false => 0.0,
    }
}

/// More digits would say nothing.
pub fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

impl History {
    pub fn new(now: Instant) -> Self {
        Self {
            started: now,
            points: VecDeque::new(),
            recent: VecDeque::new(),
            since: Since::default(),
        }
    }

    /// Looks at what is so or isn't. Whoever looks more often knows better since when.
    pub fn look(&mut self, figures: &Figures, now: Instant) {
        let (consumer, group) = (&figures.consumer, &figures.group);
        let account = group.account();
        let since = &mut self.since;
        let reading = [consumer.failures.get(), consumer.reconnects.get()];
        since.reading.look(reading, now);
        let is_paused = consumer.paused.get() > 0;
        if is_paused || account.is_member && account.partitions.is_empty() {
            // Nothing is read, so nothing fails.
            since.reading.since = None;
        }
        let commits = [group.failed_commits.get(), group.reconnects.get()];
        since.commits.look(commits, now);
        let [held, limit] = consumer.held();
        let is_at_limit = held.iter().zip(limit).any(|(held, limit)| *held >= limit);
        for (since, is_so) in [
            (&mut since.no_member, !account.is_member),
            (&mut since.at_limit, is_at_limit),
            (&mut since.paused, is_paused),
            (&mut since.letters_wait, figures.letters.waiting.get() > 0),
        ] {
            *since = is_so.then(|| since.unwrap_or(now));
        }
    }

    /// Adds a point to the series; `at_ms` is its time for others.
    pub fn sample(&mut self, figures: &Figures, now: Instant, at_ms: u64) {
        let sample = Sample::of(figures, now);
        if let Some(last) = self.recent.back() {
            let account = figures.group.account();
            let lags = account.partitions.iter().filter_map(|ours| ours.lag());
            let ours = account.partitions.iter();
            let seconds = ours.filter_map(|ours| ours.lag_seconds(now));
            self.points.push_back(Point {
                at_ms,
                delivery: sample.delivery_since(last),
                lag: lags.sum(),
                lag_seconds: seconds.reduce(f64::max).map(tenths),
            });
        }
        self.recent.push_back(sample);
        if self.points.len() > POINTS {
            self.points.pop_front();
        }
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    pub fn points(&self) -> Vec<Point> {
        self.points.iter().cloned().collect()
    }

    /// How it was a minute ago, or at the start.
    pub fn minute_ago(&self) -> Option<&Sample> {
        self.recent.front()
    }

    /// How it was one or two points ago, 5 to 10 s.
    pub fn just_before(&self) -> Option<&Sample> {
        let at = self.recent.len().saturating_sub(2);
        self.recent.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::tests::figures;
    use crate::figures::{Account, Behind, GroupAccount, Method};
    use crate::message::{CometId, Held, PartitionId};

    #[test]
    fn a_point_says_what_was_since_the_one_before() {
        let (figures, start) = (figures(), Instant::now());
        let mut history = History::new(start);
        history.sample(&figures, start, 0);
        assert_eq!(history.points(), [], "there is nothing before it");

        let publish = |seconds, delivered, watermark| {
            figures.group.publish(GroupAccount {
                at: Some(start + Duration::from_secs(seconds)),
                delivered,
                partitions: vec![Account {
                    partition: PartitionId::FIRST,
                    watermark,
                    end: Some(100),
                    behind: Behind::Since(start),
                    committed: None,
                    finished_above: 0,
                    held_up_since: None,
                }],
                ..GroupAccount::default()
            });
        };
        publish(1, 0, 0);
        history.sample(&figures, start + EVERY, 5_000);
        // The group's thread said it 4 s after the last time; that counts, not the samples' times.
        publish(5, 40, 60);
        figures.consumer.read(PartitionId::FIRST, 100, 1_000);
        for _ in 0..99 {
            figures.workers[0].delivered(8);
        }
        figures.workers[1].delivered(900);
        history.sample(&figures, start + 2 * EVERY, 10_000);
        let points = history.points();
        assert_eq!((points[0].lag, points[0].lag_seconds), (100, Some(5.0)));
        assert_eq!(points[0].delivery, Delivery::default());
        let Delivery {
            messages_per_second,
            read_per_second,
            p50_ms,
            p99_ms,
            since_read,
        } = points[1].delivery;
        assert!(!since_read);
        assert_eq!((messages_per_second, read_per_second), (10.0, 20.0));
        assert!((5.0..10.0).contains(&p50_ms.expect("values")));
        assert!(p99_ms <= Some(10.0), "{p99_ms:?}");
        assert_eq!((points[1].at_ms, points[1].lag), (10_000, 40));
        // When the first sample was taken the thread had said nothing.
        let now = Sample::of(&figures, start + 2 * EVERY);
        let minute = now.delivery_since(history.minute_ago().expect("a sample"));
        assert_eq!(
            (minute.messages_per_second, minute.read_per_second),
            (8.0, 10.0)
        );
    }

    #[test]
    fn ten_minutes_are_kept_and_one_for_the_calls() {
        let (figures, start) = (figures(), Instant::now());
        let mut history = History::new(start);
        for n in 0..300 {
            history.sample(&figures, start + n * EVERY, 0);
        }
        assert_eq!(history.points().len(), 120);
        let now = Sample::of(&figures, start + 299 * EVERY);
        let minute = history.minute_ago().expect("there are samples");
        assert_eq!(now.seconds_since(minute), 60.0);
    }

    #[test]
    fn calls_are_counted_by_comet_and_by_worker() {
        let (figures, start) = (figures(), Instant::now());
        let answers = [Ok(()), Ok(())];
        for answer in &answers {
            let took = Duration::from_millis(3);
            figures.workers[1]
                .of(CometId(1))
                .ends(Method::Broadcast, took, answer);
        }
        let sample = Sample::of(&figures, start);
        assert_eq!(sample.workers, [0, 2]);
        assert_eq!(sample.comets.get(CometId(1)).unwrap().ended, 2);
        assert_eq!(sample.comets.get(CometId(1)).unwrap().failed, 0);
        assert_eq!(sample.comets.get(CometId(1)).unwrap().took.count(), 2);
        assert_eq!(sample.comets.get(CometId(0)).unwrap().ended, 0);
    }

    #[test]
    fn a_moment_ago_is_the_point_before_the_last() {
        let (figures, start) = (figures(), Instant::now());
        let mut history = History::new(start);
        assert!(history.just_before().is_none());
        for n in 0..20 {
            let at = start + n * EVERY;
            history.sample(&figures, at, 0);
            let before = history.just_before().expect("a sample");
            assert_eq!(at - before.at, EVERY.min(n * EVERY));
        }
    }

    #[test]
    fn what_fails_does_so_since_its_first_failure_until_it_works() {
        let (figures, start) = (figures(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut history = History::new(start);
        let mut look = |seconds| {
            history.look(&figures, at(seconds));
            let since = &history.since;
            (since.reading_fails(), since.commits_fail())
        };
        assert_eq!(look(0), (None, None));
        figures.consumer.failures.add(1);
        assert_eq!(look(1), (Some(at(1)), None));
        // It waits before it tries again.
        assert_eq!(look(2), (Some(at(1)), None));
        figures.consumer.failures.add(1);
        figures.group.failed_commits.add(1);
        assert_eq!(look(3), (Some(at(1)), Some(at(3))));
        figures.consumer.reconnects.add(1);
        assert_eq!(look(4), (None, Some(at(3))));
        figures.consumer.failures.add(1);
        figures.group.reconnects.add(1);
        assert_eq!(look(5), (Some(at(5)), None));
        // Its partitions went to another member.
        figures.group.publish(GroupAccount {
            is_member: true,
            ..GroupAccount::default()
        });
        assert_eq!(look(6), (None, None));
    }

    #[test]
    fn it_is_known_since_when_something_is_so() {
        let (figures, start) = (figures(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut history = History::new(start);
        let holds = |messages, bytes| figures.consumer.holds(Held { messages, bytes });
        holds(9, 999);
        history.look(&figures, at(0));
        assert_eq!(history.since.at_limit, None);
        assert_eq!(history.since.no_member, Some(at(0)));
        holds(10, 0);
        figures.letters.waiting.set(3);
        history.look(&figures, at(1));
        holds(0, 1_000);
        history.look(&figures, at(2));
        assert_eq!(history.since.at_limit, Some(at(1)));
        assert_eq!(history.since.letters_wait, Some(at(1)));
        holds(0, 0);
        figures.letters.waiting.set(0);
        figures.group.publish(GroupAccount {
            is_member: true,
            ..GroupAccount::default()
        });
        history.look(&figures, at(3));
        let since = &history.since;
        let all = [since.at_limit, since.letters_wait, since.no_member];
        assert_eq!(all, [None; 3]);
    }
}
