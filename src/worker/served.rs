//! One Comet, as one worker deals with it: its channel, its queues, and what each answer says about it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Comet;
use super::link::Link;
use crate::comet::{self, Answer, Client, FailureLog, Health, Return, State, Verdict, verdict};

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
    pub fn new(comet: Comet, window: usize, merging: bool, now: Instant) -> Self {
        Self {
            client: comet.client,
            failures: comet.failures,
            link: Link::new(window, merging, Health::new(comet.tally, now)),
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

    /// Tells its connection, its health and the log of an answer.
    pub fn note(&mut self, oks_at_start: u64, answer: &Answer) -> Verdict {
        let now = Instant::now();
        let Served {
            client,
            failures,
            link,
            ..
        } = self;
        client.heard(answer, now);
        let verdict = match answer {
            Ok(()) => Verdict::Finished,
            Err(status) => verdict(status.code()),
        };
        match (verdict, answer) {
            (Verdict::Finished, _) => {
                if let Some(Return { after, passed_by }) = link.health.ok(now)
                    && (after >= WORTH_SAYING || passed_by > 0)
                {
                    log::info!(
                        "Comet {} answers again after {:.1} s; {}",
                        client.address(),
                        after.as_secs_f64(),
                        match passed_by {
                            0 => "nothing was skipped".to_owned(),
                            1 => "1 message was skipped".to_owned(),
                            count => format!("{count} messages were skipped"),
                        }
                    );
                }
            }
            (_, Err(status)) => {
                let left_out = link.health.state() == State::LeftOut;
                failures.failed(client.address(), status, left_out);
                if link.health.failed(verdict, oks_at_start, now) {
                    log::error!(
                        "Comet {} refuses message after message: going on with one a second until it takes one. \
                         Last answer: {}",
                        client.address(),
                        said(answer)
                    );
                }
            }
            (_, Ok(())) => {}
        }
        verdict
    }
}

/// An answer as the log and a dead letter have it.
pub fn said(answer: &Answer) -> String {
    match answer {
        Ok(()) => "OK".into(),
        Err(status) => comet::said(status),
    }
}
