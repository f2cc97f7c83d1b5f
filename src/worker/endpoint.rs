//! One Comet in one worker: its connection, its queues, and what each answer says about it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::breaker::{Breaker, BreakerState, Return};
use super::endpoint_stats::{EndpointStats, Fleet};
use super::scheduler::Scheduler;
use crate::comet::{self, Client, FailureLog, Verdict, verdict};
use crate::message::{Answer, CometId};

/// The log names a Comet's return only after an outage this long. One that fails now and then would fill the log.
const WORTH_SAYING: Duration = Duration::from_secs(1);

pub struct Endpoint {
    pub(super) comet: CometId,
    pub(super) client: Client,
    failures: Arc<FailureLog>,
    pub(super) scheduler: Scheduler,
    /// Whether it is among those to drive.
    pub(super) ready: bool,
}

impl Endpoint {
    /// `window` limits the calls in flight; `merging` says whether a call may carry more than one message.
    /// `stats` are the Comet's, one of those in `fleet`, which has all Comets.
    pub fn new(
        comet: CometId,
        (client, failures): (Client, Arc<FailureLog>),
        (stats, fleet): (Arc<EndpointStats>, Fleet),
        window: usize,
        merging: bool,
    ) -> Self {
        let breaker = Breaker::new(stats, fleet, Instant::now());
        Self {
            comet,
            client,
            failures,
            scheduler: Scheduler::new(window, merging, breaker),
            ready: false,
        }
    }

    /// Puts it, endpoint `n`, among those to drive.
    pub(super) fn mark_ready(&mut self, n: usize, ready: &mut Vec<usize>) {
        if !self.ready {
            self.ready = true;
            ready.push(n);
        }
    }

    /// Tells the connection, the Breaker and the log of the answer to a call.
    pub(super) fn on_answer(&mut self, oks_at_start: u64, answer: &Answer) -> Verdict {
        let now = Instant::now();
        self.client.heard(answer, now);
        let verdict = verdict_on(answer);
        let (false, Err(status)) = (verdict == Verdict::Finished, answer) else {
            let back = self.scheduler.breaker.ok(now);
            self.say_return(back);
            return verdict;
        };
        let detached = self.scheduler.breaker.state() == BreakerState::Detached;
        let address = self.client.address();
        self.failures.failed(address, status, detached);
        if self.scheduler.breaker.failed(verdict, oks_at_start, now) {
            log::error!(
                "Comet {address} refuses message after message: going on with one a second until it takes one. \
                 Last answer: {}",
                said(answer)
            );
        }
        verdict
    }

    /// Does the same for a probe. Its failure is news only if nothing else is sent.
    pub(super) fn on_probe(&mut self, answer: &Answer) {
        let now = Instant::now();
        self.client.heard(answer, now);
        let detached = self.scheduler.breaker.state() == BreakerState::Detached;
        if let (true, Err(status)) = (detached, answer) {
            self.failures.failed(self.client.address(), status, true);
        }
        let few = self.scheduler.few_wait();
        let answers = verdict_on(answer) == Verdict::Finished;
        let back = self.scheduler.breaker.probed(answers, few, now);
        self.say_return(back);
    }

    fn say_return(&self, back: Option<Return>) {
        let Some(Return { after, skipped }) = back else {
            return;
        };
        if after < WORTH_SAYING && skipped == 0 {
            return;
        }
        log::info!(
            "Comet {} answers again after {:.1} s; {}",
            self.client.address(),
            after.as_secs_f64(),
            match skipped {
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

/// The answer's text for the log and dead letters.
pub(super) fn said(answer: &Answer) -> String {
    match answer {
        Ok(()) => "OK".into(),
        Err(status) => comet::said(status),
    }
}
