//! One Comet, as one worker deals with it: its channel, its queues, and what each answer says about it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Comet;
use super::health::{Health, Return, State};
use super::link::Link;
use super::tally::Fleet;
use crate::comet::{self, Client, FailureLog, Verdict, verdict};
use crate::message::Answer;

/// A Comet that was away for less is back without a word: one that fails now and then would fill the log.
const WORTH_SAYING: Duration = Duration::from_secs(1);

pub struct Served {
    pub client: Client,
    pub failures: Arc<FailureLog>,
    pub link: Link,
    /// Whether it is among those to attend.
    pub stirred: bool,
}

impl Served {
    /// `window` is the most calls in flight at once, and `merging` whether a call may carry more than one message.
    pub fn new(comet: Comet, fleet: Fleet, window: usize, merging: bool, now: Instant) -> Self {
        Self {
            client: comet.client,
            failures: comet.failures,
            link: Link::new(window, merging, Health::new(comet.tally, fleet, now)),
            stirred: false,
        }
    }

    /// Puts it, Comet `n`, among those to attend.
    pub fn stir(&mut self, n: usize, stirred: &mut Vec<usize>) {
        if !self.stirred {
            self.stirred = true;
            stirred.push(n);
        }
    }

    /// Tells its connection, its health and the log of the answer to a call.
    pub fn note(&mut self, oks_at_start: u64, answer: &Answer) -> Verdict {
        let now = Instant::now();
        self.client.heard(answer, now);
        let verdict = verdict_on(answer);
        let (false, Err(status)) = (verdict == Verdict::Finished, answer) else {
            let back = self.link.health.ok(now);
            self.say_return(back);
            return verdict;
        };
        let left_out = self.link.health.state() == State::LeftOut;
        let address = self.client.address();
        self.failures.failed(address, status, left_out);
        if self.link.health.failed(verdict, oks_at_start, now) {
            log::error!(
                "Comet {address} refuses message after message: going on with one a second until it takes one. \
                 Last answer: {}",
                said(answer)
            );
        }
        verdict
    }

    /// The same for a probe. What fails is news only where nothing else is sent.
    pub fn note_probe(&mut self, answer: &Answer) {
        let now = Instant::now();
        self.client.heard(answer, now);
        let left_out = self.link.health.state() == State::LeftOut;
        if let (true, Err(status)) = (left_out, answer) {
            self.failures.failed(self.client.address(), status, true);
        }
        let few = self.link.few_wait();
        let answers = verdict_on(answer) == Verdict::Finished;
        let back = self.link.health.probed(answers, few, now);
        self.say_return(back);
    }

    fn say_return(&self, back: Option<Return>) {
        let Some(Return { after, passed_by }) = back else {
            return;
        };
        if after < WORTH_SAYING && passed_by == 0 {
            return;
        }
        log::info!(
            "Comet {} answers again after {:.1} s; {}",
            self.client.address(),
            after.as_secs_f64(),
            match passed_by {
                0 => "nothing was skipped".to_owned(),
                1 => "1 message was skipped".to_owned(),
                count => format!("{count} messages were skipped"),
            }
        );
    }
}

fn verdict_on(answer: &Answer) -> Verdict {
    match answer {
        Ok(()) => Verdict::Finished,
        Err(status) => verdict(status.code),
    }
}

/// An answer as the log and a dead letter have it.
pub fn said(answer: &Answer) -> String {
    match answer {
        Ok(()) => "OK".into(),
        Err(status) => comet::said(status),
    }
}
