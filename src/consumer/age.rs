//! Whether a message is still worth sending.

use std::time::Duration;

use crate::message::{Cause, CometId, Completion, Reason};
use crate::settings::{CatchUp, Config, TooOld};

/// The limits of a message's age, and what becomes of one that is older.
#[derive(Clone, Copy, Debug)]
pub struct Ages {
    /// For a Comet that missed it.
    pub catch_up: CatchUp,
    /// For all.
    pub max: Option<Duration>,
    pub action: TooOld,
}

/// What becomes of a message that is too old.
#[derive(Debug, PartialEq)]
pub enum Expired {
    Skipped,
    /// It becomes a dead letter for this reason.
    Letter(String),
}

impl From<&Config> for Ages {
    fn from(config: &Config) -> Self {
        Self {
            catch_up: config.catch_up,
            max: config.max_age,
            action: config.max_age_action,
        }
    }
}

impl Ages {
    /// Nothing is too old.
    #[cfg(test)]
    pub const ALL: Self = Self {
        catch_up: CatchUp::All,
        max: None,
        action: TooOld::Skip,
    };

    /// Whether `--catch-up` limits what a Comet gets that was `away` for this long (`None`: unknown). One that was away for a shorter
    /// time gets everything, even if a backlog made the messages old.
    pub fn is_limited(&self, away: Option<Duration>) -> bool {
        match self.catch_up {
            CatchUp::All => false,
            CatchUp::Off => true,
            CatchUp::Within(time) => away.is_none_or(|away| away > time),
        }
    }

    /// What becomes of a message that all get, if it is too old `now`. Both times are milliseconds since 1970. A message without a
    /// time counts as new.
    pub fn of_live(&self, timestamp: i64, now: i64) -> Option<Expired> {
        let max = self.max?;
        is_older(timestamp, max, now).then(|| match self.letter() {
            None => Expired::Skipped,
            Some(why) => Expired::Letter(why),
        })
    }

    /// What becomes of a message that a Comet missed, if it is too old `now`. `is_limited`: see [`Self::is_limited`]. A message
    /// `for_it_alone` becomes a dead letter: nobody else has it.
    pub fn of_missed(
        &self,
        timestamp: i64,
        now: i64,
        is_limited: bool,
        for_it_alone: bool,
    ) -> Option<Expired> {
        let too_old = match self.catch_up {
            _ if !is_limited => None,
            CatchUp::All => None,
            CatchUp::Off => Some(
                "its Comet was away, and --catch-up is off: it isn't sent later".to_owned(),
            ),
            CatchUp::Within(time) => is_older(timestamp, time, now).then(|| {
                format!(
                    "its Comet was away, and it was older than --catch-up allows ({time:?}) when it was read again"
                )
            }),
        };
        match too_old {
            Some(why) if for_it_alone => Some(Expired::Letter(why)),
            Some(_) => Some(Expired::Skipped),
            None => self.of_live(timestamp, now),
        }
    }

    /// The earliest time of a message that `--max-age` allows `now`. Returns None without such a limit.
    pub fn oldest(&self, now: i64) -> Option<i64> {
        let max = i64::try_from(self.max?.as_millis()).unwrap_or(i64::MAX);
        Some(now.saturating_sub(max))
    }

    /// The reason in a dead letter of a message older than `--max-age`. Returns None if such messages are skipped.
    pub fn letter(&self) -> Option<String> {
        let max = self.max?;
        (self.action == TooOld::DeadLetter)
            .then(|| format!("it was older than --max-age ({max:?}) when its turn came"))
    }
}

impl Expired {
    /// `at`: the Comet that it was read again for.
    pub fn completion(self, at: Option<CometId>) -> Completion {
        match self {
            Self::Skipped => Completion::TooOld { at },
            Self::Letter(text) => {
                let comets = at.into_iter().collect();
                let why = Box::new(Reason {
                    text,
                    comets,
                    cause: Cause::TooOld,
                });
                Completion::Undeliverable { why, at }
            }
        }
    }
}

/// Also where the clock of who wrote it is ahead.
fn is_older(timestamp: i64, limit: Duration, now: i64) -> bool {
    let age = i128::from(now) - i128::from(timestamp);
    timestamp >= 0 && age > limit.as_millis() as i128
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;
    const TIME: Duration = Duration::from_secs(300);

    fn catching_up(catch_up: CatchUp) -> Ages {
        Ages {
            catch_up,
            ..Ages::ALL
        }
    }

    fn up_to(action: TooOld) -> Ages {
        Ages {
            max: Some(TIME),
            action,
            ..Ages::ALL
        }
    }

    #[test]
    fn a_record_may_be_as_old_as_the_limit() {
        let ages = catching_up(CatchUp::Within(TIME));
        let expired = |timestamp| ages.of_missed(timestamp, NOW, true, false);
        assert_eq!(expired(NOW - 300_000), None);
        assert_eq!(expired(NOW - 300_001), Some(Expired::Skipped));
        assert_eq!(expired(NOW + 300_001), None, "a clock is ahead");
        assert_eq!(
            (expired(0), expired(i64::MAX)),
            (Some(Expired::Skipped), None)
        );
        assert_eq!((expired(-1), expired(i64::MIN)), (None, None), "no time");
        assert_eq!(ages.of_live(0, NOW), None);
    }

    #[test]
    fn all_is_new_without_a_limit_and_nothing_is_where_it_is_off() {
        for timestamp in [-1, 0, NOW, NOW + 1] {
            let expired = |limit| catching_up(limit).of_missed(timestamp, NOW, true, false);
            assert_eq!(expired(CatchUp::All), None);
            assert_eq!(expired(CatchUp::Off), Some(Expired::Skipped));
        }
    }

    #[test]
    fn somebody_hears_of_what_was_for_one_alone() {
        for limit in [CatchUp::Off, CatchUp::Within(TIME)] {
            let expired = catching_up(limit).of_missed(0, NOW, true, true);
            assert!(matches!(expired, Some(Expired::Letter(why)) if why.contains("--catch-up")));
            assert_eq!(catching_up(limit).of_missed(0, NOW, false, true), None);
        }
    }

    #[test]
    fn who_was_away_for_a_shorter_time_gets_all() {
        let within = catching_up(CatchUp::Within(TIME));
        assert!(!within.is_limited(Some(TIME)));
        assert!(within.is_limited(Some(TIME + Duration::from_millis(1))));
        assert!(within.is_limited(None));
        assert!(catching_up(CatchUp::Off).is_limited(Some(Duration::ZERO)));
        assert!(!catching_up(CatchUp::All).is_limited(None));
    }

    #[test]
    fn what_is_older_than_any_may_be_is_skipped_or_a_letter() {
        let skips = up_to(TooOld::Skip);
        assert_eq!(skips.of_live(NOW - 300_000, NOW), None);
        assert_eq!(skips.of_live(NOW - 300_001, NOW), Some(Expired::Skipped));
        assert_eq!(skips.of_live(-1, NOW), None, "no time");
        assert_eq!(skips.of_missed(0, NOW, false, true), Some(Expired::Skipped));
        assert_eq!(skips.oldest(NOW), Some(NOW - 300_000));
        assert_eq!((skips.letter(), Ages::ALL.oldest(NOW)), (None, None));

        let writes = up_to(TooOld::DeadLetter);
        for expired in [
            writes.of_live(0, NOW),
            writes.of_missed(0, NOW, false, false),
        ] {
            assert!(matches!(expired, Some(Expired::Letter(why)) if why.contains("--max-age")));
        }
    }
}
