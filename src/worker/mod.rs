//! A worker: takes the messages of its keys, calls the Comets, and reports what became of each message.
//!
//! The core (`core`, `drive` and what they use) decides, and knows no clock, channel or connection. This file is the thread
//! around it; `shell` does what the core wants done.

mod breaker;
pub mod coalesce;
pub(crate) mod core;
mod detach;
mod drive;
pub(crate) mod effects;
mod endpoint;
mod endpoint_stats;
mod expire;
mod fleet;
mod key_queue;
mod one_key;
mod pending;
pub(crate) mod scheduler;
mod shell;
mod skip;
mod suspects;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use self::core::Core;
use crate::base::lease::{Lease, Moment};
use crate::comet::Cork;
use crate::message::fleet::Node;
use crate::message::worker::Event;
use crate::message::{CometId, Dialect, group};
use crate::settings::Window;
use coalesce::Coalescer;
pub use endpoint_stats::{EndpointStats, Fleet};
pub use shell::Calling;
use shell::Shell;

/// Limits how many events are handled before calls start and results are reported.
const EVENTS_AT_ONCE: usize = 256;

/// Limits how many calls leave together: the first waits for the last, some microseconds each.
const CALLS_AT_ONCE: usize = 64;

/// Wait before looking whether a lapsed lease holds again. Mostly the group says so before.
const LEASE_AGAIN: Duration = Duration::from_millis(100);

pub struct Worker {
    events: Receiver<Event>,
    core: Core,
    shell: Shell,
    /// The worker sends only while it holds.
    lease: Arc<Lease>,
    /// How many of its lapses this worker was told of.
    lapses: u64,
}

impl Worker {
    /// A worker that calls `comets`, the first ones of `fleet`, as `calling` says, and those that join later. `window` limits the
    /// calls in flight at each. It merges messages if there is a `coalescer`, tells which records a call carries if it
    /// `tells_records`, and sends only while `lease` holds.
    pub fn new(
        events: Receiver<Event>,
        group: Sender<group::Event>,
        calling: Calling,
        (comets, fleet): (&[Node], Arc<Fleet>),
        (window, coalescer, (dialect, tells_records)): (Window, Option<Coalescer>, (Dialect, bool)),
        lease: Arc<Lease>,
    ) -> Self {
        let (now, rng) = (Instant::now(), fastrand::Rng::new());
        let mut shell = Shell::new(group, calling, now);
        let mut core = Core::new(fleet, window, coalescer, rng);
        core.dialect = dialect;
        core.tells_records = tells_records;
        for (comet, node) in (0..).map(CometId).zip(comets) {
            core.join(comet, node.clone(), now, &mut shell);
        }
        Self {
            events,
            core,
            shell,
            lease,
            lapses: 0,
        }
    }

    /// Works until it is told to stop.
    pub fn run(mut self) {
        loop {
            self.shell.figures().heart.rests();
            let until = self.core.wake_at();
            let first = self.shell.caller().wait_for(&self.events, until);
            self.shell.figures().heart.works();
            let mut next = match first {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut taken = 0;
            while let Some(event) = next {
                if let Event::Stop = event {
                    return;
                }
                self.handle(event, Instant::now());
                taken += 1;
                next = if taken < EVENTS_AT_ONCE {
                    self.events.try_recv().ok()
                } else {
                    None
                };
            }
            self.take_ended();
            self.drive();
            self.flush();
            self.shell.report();
        }
    }

    /// Handles what ended in this thread's own hands.
    fn take_ended(&mut self) {
        let now = Instant::now();
        for _ in 0..EVENTS_AT_ONCE {
            match self.shell.next_ended(now) {
                Some(event) => self.handle(event, now),
                None => return,
            }
        }
    }

    /// Sends what was called, under the lease as well: a process that was halted meanwhile sends none of it.
    fn flush(&mut self) {
        let holds = self.lease.holds(Moment::now(), self.lapses);
        self.shell.caller().flush(holds);
    }

    fn handle(&mut self, event: Event, now: Instant) {
        match &event {
            Event::Answered { comet, answer, .. } | Event::Probed { comet, answer } => {
                self.shell.caller().heard(*comet, answer, now);
            }
            Event::Lapsed(lapses) => self.lapses = *lapses,
            _ => {}
        }
        self.shell.handles(now);
        self.core.step(event, now, &mut self.shell);
    }

    /// Drives the endpoints that are ready or whose time has come.
    fn drive(&mut self) {
        let now = Instant::now();
        if !self.may_send() {
            return;
        }
        self.shell.handles(now);
        self.core.wake(now);
        while let Some(comet) = self.core.next_ready() {
            self.core.drive(comet, now, &mut self.shell);
            self.shell.caller().look_after(comet, now);
            self.start_calls(comet, now);
            let look_at = self.shell.caller().look_at(comet);
            self.core.rest(comet, look_at, now);
            let seen = self.core.sees(comet);
            self.shell.sees(comet, seen);
        }
    }

    /// Starts calls in lots, and looks at the clock before each: a process that was halted sends no more than the rest of one.
    fn start_calls(&mut self, comet: CometId, now: Instant) {
        while self.may_send() {
            // A single call leaves at once.
            let several = self.shell.caller().needs_cork() && self.core.startable(comet) > 1;
            let _cork = several.then(Cork::put_in);
            let shell = &mut self.shell;
            if !self.core.start_calls(comet, CALLS_AT_ONCE, now, shell) {
                break;
            }
        }
    }

    /// Whether the lease holds. If not, all endpoints are driven when it may hold again: what happened to them meanwhile, such as
    /// a long silence, says nothing about them.
    fn may_send(&mut self) -> bool {
        let holds = self.lease.holds(Moment::now(), self.lapses);
        if !holds {
            self.core.pause_until(Instant::now() + LEASE_AGAIN);
        }
        holds
    }
}
