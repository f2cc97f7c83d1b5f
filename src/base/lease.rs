//! Detects that this process did not run for a while: halted (SIGSTOP, a frozen container), swapped out, or asleep.
//!
//! Kafka gives a member's partitions to others when its session ends, and a process that resumes later doesn't know. Its
//! workers still hold messages that the new owner has sent by then. So workers send only under a lease, which the group's
//! thread renews every second. The lease expires while the process doesn't run, and then the group asks Kafka first
//! whether this is still a member.
//!
//! The lease covers this process's own life, not Kafka's: during a Kafka outage it is renewed, and held messages are
//! delivered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The least length of a lease. The group renews it every second; a shorter one would expire on a busy machine.
pub const SHORTEST: Duration = Duration::from_secs(3);

/// The shortest session that brokers allow by default (`group.min.session.timeout.ms`).
pub const SHORTEST_SESSION: Duration = Duration::from_secs(6);

/// The session that Kafka 4 gives members of the protocol `consumer` by default (`group.consumer.session.timeout.ms`), where
/// the broker alone decides on it. It also is the shortest by default.
pub const BROKERS_SESSION: Duration = Duration::from_secs(45);

/// A time of the lease's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// Reads the clock that also counts while the machine sleeps.
    pub fn now() -> Self {
        // It can't fail for a clock that Linux has; if it did, the lease would never run out.
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
        Self(millis(now))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Shared by the group, which renews it, and the workers, which check it before they start calls.
#[derive(Debug)]
pub struct Lease {
    length: u64,
    until: AtomicU64,
    /// Counts how often it expired.
    lapses: AtomicU64,
}

/// The lease expired before it was renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lapse {
    /// Counts the lapses, from one.
    pub number: u64,
    /// The time without a renewal.
    pub lasted: Duration,
}

impl Lease {
    /// A lease of half a session, so that it expires long before Kafka gives the partitions away. Heartbeats are at most a
    /// second apart, and a session is at least 6 s.
    pub fn new(session_timeout: Duration, now: Moment) -> Self {
        let length = millis((session_timeout / 2).max(SHORTEST));
        Self {
            length,
            until: AtomicU64::new(now.0.saturating_add(length)),
            lapses: AtomicU64::new(0),
        }
    }

    /// Renews the lease. Returns the lapse if it had expired; no worker sends again before it is told of it.
    pub fn renew(&self, now: Moment) -> Option<Lapse> {
        let until = self.until.load(Ordering::Relaxed);
        // First the number, so that no worker sees the lease renewed without it.
        let lapse = (now.0 >= until).then(|| Lapse {
            number: self.lapses.fetch_add(1, Ordering::Relaxed) + 1,
            lasted: Duration::from_millis(now.0 - until.saturating_sub(self.length)),
        });
        self.until
            .store(now.0.saturating_add(self.length), Ordering::Release);
        lapse
    }

    /// Expires the lease, as if the process had not run.
    #[cfg(test)]
    pub(crate) fn run_out(&self) {
        self.until.store(0, Ordering::Relaxed);
    }

    /// Whether a worker that knows of this many lapses may send.
    pub fn holds(&self, now: Moment, lapses: u64) -> bool {
        now.0 < self.until.load(Ordering::Acquire) && self.lapses.load(Ordering::Relaxed) == lapses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease() -> Lease {
        Lease::new(Duration::from_secs(10), Moment(1_000))
    }

    #[test]
    fn it_holds_while_it_is_renewed_in_time() {
        let lease = lease();
        for second in 1..100 {
            let now = Moment(1_000 + second * 4_000);
            assert!(lease.holds(now, 0));
            assert_eq!(lease.renew(now), None);
        }
    }

    #[test]
    fn who_was_not_told_of_a_lapse_may_not_send_though_it_is_renewed() {
        let lease = lease();
        assert!(!lease.holds(Moment(6_000), 0));
        let first = Lapse {
            number: 1,
            lasted: Duration::from_secs(5),
        };
        assert_eq!(lease.renew(Moment(6_000)), Some(first));
        assert!(!lease.holds(Moment(6_001), 0));
        assert!(lease.holds(Moment(6_001), 1));
        assert_eq!(lease.renew(Moment(6_500)), None);
        assert_eq!(
            lease.renew(Moment(60_000)).map(|lapse| lapse.number),
            Some(2)
        );
    }

    #[test]
    fn it_is_over_before_another_can_have_the_partitions() {
        for seconds in 6..60 {
            let session = Duration::from_secs(seconds);
            let lease = Lease::new(session, Moment(0));
            // The last heartbeat that Kafka had may be a second older than the lease.
            assert!(!lease.holds(Moment(millis(session) - 1_000), 0));
        }
    }

    #[test]
    fn a_session_of_a_second_leaves_time_to_renew() {
        let lease = Lease::new(Duration::from_secs(1), Moment(0));
        assert!(lease.holds(Moment(2_500), 0));
    }

    #[test]
    fn the_clock_goes_on() {
        let before = Moment::now();
        std::thread::sleep(Duration::from_millis(5));
        assert!(Moment::now() > before);
    }
}
