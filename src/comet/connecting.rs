//! When a connection to a Comet is made anew and when one counts as dead, however it is made.

use std::time::Duration;

use super::quiet::{NOT_TRUSTED_AFTER, SIGN_WITHIN};
use crate::base::backoff::grows;

/// gRPC's own default grows to two minutes; a Comet that is back is to get its messages within a second.
pub const RECONNECT_FIRST: Duration = Duration::from_millis(100);
pub const RECONNECT_MOST: Duration = Duration::from_millis(500);
const _: () = grows(RECONNECT_FIRST, RECONNECT_MOST);
const _: () = assert!(
    RECONNECT_MOST.as_millis() < 1_000,
    "a Comet that is back would get its messages later than within a second"
);
/// How long a connection may take to be made (what gRPC calls the least back-off), 20 s by default.
pub const CONNECT_WITHIN: Duration = Duration::from_millis(1500);

/// A connection on which nothing came for so long while calls wait is asked for a sign of life, and given up after
/// the second time. Without that, one that a firewall forgot or whose peer lost its power is never noticed: all
/// calls, those that ask a left-out Comet whether it is back too, go on into it.
pub const SIGN_OF_LIFE_AFTER: Duration = Duration::from_secs(5);
pub const SIGN_OF_LIFE_WITHIN: Duration = Duration::from_secs(2);
const _: () = assert!(
    NOT_TRUSTED_AFTER.as_millis() + SIGN_WITHIN.as_millis()
        < SIGN_OF_LIFE_AFTER.as_millis() + SIGN_OF_LIFE_WITHIN.as_millis(),
    "a quiet connection would be given up, and its calls fail, before another one was asked"
);

/// How long another connection may take for each answer, with connecting.
pub const COMPARED_WITHIN: Duration = Duration::from_secs(3);
const _: () = assert!(
    COMPARED_WITHIN.as_millis() >= CONNECT_WITHIN.as_millis() + SIGN_WITHIN.as_millis(),
    "a Comet would be taken for one that hangs while the other connection is being made"
);

/// The most bytes that an answer may have. Only the list of rooms is longer than nothing: a Comet with 100,000 rooms has some
/// MB of them.
pub const LONGEST_ANSWER: u32 = 64 << 20;
