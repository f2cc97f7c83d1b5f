//! A line of the log that says what was done lately, while something is done.

use std::time::{Duration, Instant};

use super::status::history::{Sample, tenths};
use crate::base::text::counted;
use crate::figures::{Figures, Totals};

/// Between two lines.
pub const EVERY: Duration = Duration::from_secs(10);

/// What was so when the last line was due.
#[derive(Debug)]
pub struct Summary {
    last: Counts,
}

#[derive(Debug)]
struct Counts {
    sample: Sample,
    retries: u64,
    letters: u64,
}

impl Counts {
    fn of(figures: &Figures, now: Instant) -> Self {
        let totals = Totals(&figures.workers);
        let comets = figures.comets.all().into_iter();
        let retries = comets.flat_map(|(comet, _)| totals.retries(comet));
        let retries = retries.map(|(_, count)| count).sum::<u64>();
        Self {
            sample: Sample::of(figures, now),
            retries: retries + totals.retries_at_gone(),
            letters: figures.letters.by_cause().map(|(_, count)| count).sum(),
        }
    }

    fn calls(&self) -> u64 {
        self.sample.calls()
    }
}

/// What a line says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    pub seconds: f64,
    pub messages_per_second: f64,
    /// From a record's timestamp to the last Comet's answer.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// Whether these are from when the records were read.
    pub since_read: bool,
    pub lag_records: Option<u64>,
    /// Of the partition that is behind most.
    pub lag_seconds: Option<f64>,
    pub in_flight: u64,
    pub held: u64,
    pub retries: u64,
    pub dead_letters: u64,
}

impl Summary {
    pub fn new(figures: &Figures, now: Instant) -> Self {
        Self {
            last: Counts::of(figures, now),
        }
    }

    /// What was done since it was called last; `None` where that is nothing, and nothing waits.
    pub fn look(&mut self, figures: &Figures, at: Instant) -> Option<Said> {
        let counts = Counts::of(figures, at);
        let last = std::mem::replace(&mut self.last, counts);
        let now = &self.last;
        let delivery = now.sample.delivery_since(&last.sample);
        let [[held, _], _] = figures.consumer.held();
        let is_idle = held == 0
            && now.calls() == last.calls()
            && now.letters == last.letters
            && delivery.messages_per_second == 0.0
            && delivery.read_per_second == 0.0;
        let account = figures.group.account();
        let lags = account.partitions.iter().filter_map(|ours| ours.lag());
        let seconds = account.partitions.iter();
        let seconds = seconds.filter_map(|ours| ours.lag_seconds(at));
        let totals = Totals(&figures.workers);
        let comets = figures.comets.all().into_iter();
        (!is_idle).then(|| Said {
            seconds: now.sample.seconds_since(&last.sample),
            messages_per_second: delivery.messages_per_second,
            p50_ms: delivery.p50_ms,
            p99_ms: delivery.p99_ms,
            since_read: delivery.since_read,
            lag_records: lags.fold(None, |sum, lag| Some(sum.unwrap_or(0) + lag)),
            lag_seconds: seconds.max_by(f64::total_cmp).map(tenths),
            in_flight: comets.map(|(comet, _)| totals.in_flight(comet)).sum(),
            held,
            retries: now.retries.saturating_sub(last.retries),
            dead_letters: now.letters - last.letters,
        })
    }
}

impl Said {
    /// Writes the line.
    pub fn log(&self) {
        log::info!(
            messages_per_second = self.messages_per_second,
            p50_ms = self.p50_ms,
            p99_ms = self.p99_ms,
            lag_records = self.lag_records,
            lag_seconds = self.lag_seconds,
            in_flight = self.in_flight,
            held = self.held,
            retries = self.retries,
            dead_letters = self.dead_letters;
            "{}",
            self.text()
        );
    }

    fn text(&self) -> String {
        let millis = |time: Option<f64>| time.map_or("-".into(), |time| format!("{time:.1} ms"));
        let retries = match self.retries {
            1 => "1 retry".into(),
            count => format!("{count} retries"),
        };
        let lag = match (self.lag_records, self.lag_seconds) {
            (None, _) => "-".into(),
            (Some(records), None) => records.to_string(),
            (Some(records), Some(seconds)) => format!("{records} ({seconds:.1} s)"),
        };
        format!(
            "last {:.0} s: {:.1} messages/s, p50 {}, p99 {}{}, lag {lag}, {} in flight, {} held, {retries}, {}",
            self.seconds,
            self.messages_per_second,
            millis(self.p50_ms),
            millis(self.p99_ms),
            if self.since_read { " since read" } else { "" },
            counted(self.in_flight, "call"),
            counted(self.held, "message"),
            counted(self.dead_letters, "dead letter")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::tests::figures;
    use crate::figures::{Account, Behind, GroupAccount, Method};
    use crate::message::{Cause, CometId, Held, PartitionId};

    #[test]
    fn what_was_done_since_the_last_line_is_said_and_nothing_is_silence() {
        let (figures, start) = (figures(), Instant::now());
        let publish = |seconds, delivered| {
            figures.group.publish(GroupAccount {
                at: Some(start + Duration::from_secs(seconds)),
                delivered,
                partitions: vec![Account {
                    partition: PartitionId::FIRST,
                    watermark: 60,
                    end: Some(100),
                    committed: None,
                    finished_above: 0,
                    held_up_since: None,
                    behind: Behind::Since(start),
                }],
                ..GroupAccount::default()
            });
        };
        publish(0, 0);
        let mut summary = Summary::new(&figures, start);
        assert_eq!(summary.look(&figures, start + EVERY), None);

        publish(20, 40);
        let comet = CometId(0);
        figures.workers[0].of(comet).starts();
        figures.workers[0].of(comet).starts();
        let took = Duration::from_millis(3);
        figures.workers[0]
            .of(comet)
            .ends(Method::Broadcast, took, &Ok(()));
        figures.workers[0].of(comet).tries_again(14);
        figures.workers[0].delivered(8);
        figures.letters.written(Cause::ALL[0]);
        figures.consumer.holds(Held {
            messages: 7,
            bytes: 70,
        });
        let said = summary.look(&figures, start + 2 * EVERY);
        let said = said.expect("something was done");
        assert!(said.p50_ms.is_some());
        let said = Said {
            p50_ms: None,
            p99_ms: Some(9.96),
            ..said
        };
        assert_eq!(
            said.text(),
            "last 10 s: 2.0 messages/s, p50 -, p99 10.0 ms, lag 40 (20.0 s), 1 call in flight, 7 messages held, 1 retry, 1 dead letter"
        );
        let since_read = Said {
            since_read: true,
            ..said
        };
        let text = since_read.text();
        assert!(text.contains("p99 10.0 ms since read, lag"), "{text}");
        // What waits is worth a line though nothing moves.
        assert!(summary.look(&figures, start + 3 * EVERY).is_some());
        figures.consumer.holds(Held::default());
        assert_eq!(summary.look(&figures, start + 4 * EVERY), None);
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        assert_eq!(
            Said::default().text(),
            "last 0 s: 0.0 messages/s, p50 -, p99 -, lag -, 0 calls in flight, 0 messages held, 0 retries, 0 dead letters"
        );
    }
}
