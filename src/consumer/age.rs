//! Whether a record that a Comet missed is still worth sending to it.

use std::time::Duration;

use crate::message::{CometId, Reason};
use crate::settings::CatchUp;

/// Whether the limit holds for a Comet that was `away` for this long (`None`: unknown). Whoever was away for a shorter time gets
/// all, also where a backlog made the messages old.
pub fn applies(limit: CatchUp, away: Option<Duration>) -> bool {
    match limit {
        CatchUp::All => false,
        CatchUp::Off => true,
        CatchUp::Within(time) => away.is_none_or(|away| away > time),
    }
}

/// Whether it is too old `now`. Both times are milliseconds since 1970. A record without a time counts as new.
pub fn is_too_old(limit: CatchUp, timestamp: i64, now: i64) -> bool {
    match limit {
        CatchUp::All => false,
        CatchUp::Off => true,
        CatchUp::Within(time) => {
            let age = i128::from(now) - i128::from(timestamp);
            timestamp >= 0 && age > time.as_millis() as i128
        }
    }
}

/// Says in a dead letter why the `comet` doesn't get it.
pub fn reason(limit: CatchUp, comet: CometId) -> Box<Reason> {
    let text = match limit {
        CatchUp::Within(time) => format!(
            "its Comet was away, and it was older than --catch-up allows ({time:?}) when the Comet answered again"
        ),
        CatchUp::All | CatchUp::Off => {
            "its Comet was away, and --catch-up is off: it isn't sent later".into()
        }
    };
    let comets = vec![comet];
    Box::new(Reason { text, comets })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    #[test]
    fn a_record_may_be_as_old_as_the_limit() {
        let limit = CatchUp::Within(Duration::from_secs(300));
        assert!(!is_too_old(limit, NOW - 300_000, NOW));
        assert!(is_too_old(limit, NOW - 300_001, NOW));
        assert!(!is_too_old(limit, NOW + 300_001, NOW), "a clock is ahead");
        assert!(is_too_old(limit, 0, NOW) && !is_too_old(limit, i64::MAX, NOW));
    }

    #[test]
    fn all_is_new_without_a_limit_and_nothing_is_where_it_is_off() {
        for timestamp in [-1, 0, NOW, NOW + 1] {
            assert!(!is_too_old(CatchUp::All, timestamp, NOW));
            assert!(is_too_old(CatchUp::Off, timestamp, NOW));
        }
    }

    #[test]
    fn a_record_without_a_time_is_new() {
        let limit = CatchUp::Within(Duration::from_millis(1));
        assert!(!is_too_old(limit, -1, NOW) && !is_too_old(limit, i64::MIN, NOW));
    }

    #[test]
    fn who_was_away_for_a_shorter_time_gets_all() {
        let time = Duration::from_secs(300);
        let limit = CatchUp::Within(time);
        assert!(!applies(limit, Some(time)));
        assert!(applies(limit, Some(time + Duration::from_millis(1))) && applies(limit, None));
        assert!(applies(CatchUp::Off, Some(Duration::ZERO)) && !applies(CatchUp::All, None));
    }
}
