//! Whether the log of a partition is still the one that was read from.
//!
//! A topic that is deleted and made anew has another id. A log that lost its end (a leader was elected that hadn't all
//! of it, or its disk lost it) goes on under a higher leader epoch, which begins where the older ones now end. So
//! what was read under an epoch is still there if that epoch ends no lower.

use crate::message::standing::{Standing, TopicTag};

/// What is known of the log that a partition is read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub topic: Option<TopicTag>,
    /// The leader's epoch when it was looked at last.
    pub leader_epoch: Option<i32>,
    /// What was read or finished below this offset was written under that epoch or an older one.
    pub firm: i64,
}

impl Known {
    /// What is known after a look at a log that is read from `position` on.
    pub fn after(self, position: i64, standing: &Standing, verdict: Verdict) -> Known {
        let firm = match verdict {
            Verdict::Open => return self,
            Verdict::Same => self.firm.max(position),
            Verdict::Deleted { to } => self.firm.max(to),
            Verdict::Cut { to } => to,
            Verdict::Anew { at } | Verdict::Unclear { at } => at,
        };
        Known {
            topic: standing.topic.or(self.topic),
            leader_epoch: standing.leader_epoch,
            firm,
        }
    }
}

/// What became of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the same, as far as it was read.
    Same,
    /// It can't be told now.
    Open,
    /// The log ends at `to` now, or did for a while: what lies there from `to` on was written after that.
    Cut { to: i64 },
    /// The topic is another one of the same name. Its log begins at `at`.
    Anew { at: i64 },
    /// What lay below `to` was deleted before it was read.
    Deleted { to: i64 },
    /// The log has no such offset any longer, and whether it was cut or is another one can't be told. It begins at `at`.
    Unclear { at: i64 },
}

/// Compares what was known of a log with how it stands. It is read from `position` on.
pub fn judge(known: &Known, position: i64, standing: &Standing) -> Verdict {
    let Some(log) = standing.log else {
        let is_same = known.topic == standing.topic && known.leader_epoch == standing.leader_epoch;
        return if is_same {
            Verdict::Same
        } else {
            Verdict::Open
        };
    };
    let same_topic = match (known.topic, standing.topic) {
        (Some(known), Some(now)) if known != now => return Verdict::Anew { at: log.start },
        (Some(_), Some(_)) => true,
        _ => false,
    };
    let reached = known.firm.max(position);
    let cut = match (known.leader_epoch, log.epoch_end) {
        // What was read since then may be of a later epoch.
        (Some(_), Some(end)) => (end < known.firm).then_some(end),
        (None, Some(end)) => (end < reached).then_some(end),
        (_, None) => (log.end < reached).then_some(log.end),
    };
    match cut {
        Some(end) if same_topic => Verdict::Cut {
            to: end.max(log.start),
        },
        Some(_) => Verdict::Unclear { at: log.start },
        None if position < log.start => Verdict::Deleted { to: log.start },
        None => Verdict::Same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::standing::Log;

    const OLD: Option<TopicTag> = Some(TopicTag(1));
    const NEW: Option<TopicTag> = Some(TopicTag(2));

    fn known(topic: Option<TopicTag>, leader_epoch: Option<i32>, firm: i64) -> Known {
        Known {
            topic,
            leader_epoch,
            firm,
        }
    }

    fn standing(topic: Option<TopicTag>, start: i64, end: i64, epoch_end: Option<i64>) -> Standing {
        Standing {
            topic,
            leader_epoch: Some(7),
            log: Some(Log {
                start,
                end,
                epoch_end,
            }),
        }
    }

    #[test]
    fn a_log_that_grew_is_the_same() {
        let known = known(OLD, Some(7), 1_000);
        assert_eq!(
            judge(&known, 1_000, &standing(OLD, 0, 1_000, Some(1_000))),
            Verdict::Same
        );
        assert_eq!(
            judge(&known, 1_500, &standing(OLD, 0, 2_000, Some(2_000))),
            Verdict::Same
        );
    }

    #[test]
    fn a_new_leader_that_has_all_changes_nothing_though_more_is_read_by_now() {
        let known = known(OLD, Some(6), 1_000);
        assert_eq!(
            judge(&known, 1_700, &standing(OLD, 0, 2_000, Some(1_200))),
            Verdict::Same
        );
        // The end that it names lags behind.
        assert_eq!(
            judge(&known, 1_000, &standing(OLD, 0, 950, Some(1_000))),
            Verdict::Same
        );
    }

    #[test]
    fn a_log_that_was_cut_goes_on_at_its_new_end_however_much_came_since() {
        let known = known(OLD, Some(6), 1_000);
        for end in [700, 900, 5_000] {
            assert_eq!(
                judge(&known, 1_000, &standing(OLD, 0, end, Some(700))),
                Verdict::Cut { to: 700 }
            );
        }
        assert_eq!(
            judge(&known, 1_000, &standing(OLD, 800, 5_000, Some(700))),
            Verdict::Cut { to: 800 },
            "and was deleted up to there since"
        );
    }

    #[test]
    fn where_no_epoch_is_known_the_end_tells() {
        let known = known(OLD, None, 1_000);
        assert_eq!(
            judge(&known, 1_000, &standing(OLD, 0, 700, Some(700))),
            Verdict::Cut { to: 700 }
        );
        assert_eq!(
            judge(&known, 1_000, &standing(OLD, 0, 700, None)),
            Verdict::Cut { to: 700 }
        );
        assert_eq!(
            judge(&known, 1_000, &standing(OLD, 0, 1_000, None)),
            Verdict::Same
        );
    }

    #[test]
    fn another_topic_of_the_same_name_is_read_from_its_start() {
        let known = known(OLD, Some(7), 1_000);
        for end in [0, 700, 5_000] {
            assert_eq!(
                judge(&known, 1_000, &standing(NEW, 0, end, Some(end))),
                Verdict::Anew { at: 0 }
            );
        }
        assert_eq!(
            judge(&known, 1_000, &standing(NEW, 40, 5_000, None)),
            Verdict::Anew { at: 40 }
        );
    }

    #[test]
    fn without_a_topic_id_what_is_there_is_read_again() {
        for (known, now) in [
            (known(None, Some(6), 1_000), OLD),
            (known(OLD, Some(6), 1_000), None),
            (known(None, None, 1_000), None),
        ] {
            assert_eq!(
                judge(&known, 1_000, &standing(now, 0, 700, Some(700))),
                Verdict::Unclear { at: 0 }
            );
        }
        let known = known(None, None, 1_000);
        assert_eq!(
            judge(&known, 1_000, &standing(OLD, 0, 1_000, Some(1_000))),
            Verdict::Same
        );
    }

    #[test]
    fn what_retention_deleted_is_told_from_what_was_cut() {
        let known = known(OLD, Some(7), 1_000);
        assert_eq!(
            judge(&known, 1_000, &standing(OLD, 1_400, 2_000, Some(2_000))),
            Verdict::Deleted { to: 1_400 }
        );
        // What was firm is gone, but more is read by now.
        assert_eq!(
            judge(&known, 1_600, &standing(OLD, 1_400, 2_000, Some(2_000))),
            Verdict::Same
        );
    }

    #[test]
    fn nothing_is_decided_while_the_leader_does_not_answer() {
        let known = known(OLD, Some(7), 1_000);
        let mut now = standing(OLD, 0, 0, None);
        now.log = None;
        assert_eq!(judge(&known, 1_000, &now), Verdict::Same);
        now.leader_epoch = Some(8);
        assert_eq!(judge(&known, 1_000, &now), Verdict::Open);
        now.leader_epoch = Some(7);
        now.topic = NEW;
        assert_eq!(judge(&known, 1_000, &now), Verdict::Open);
    }
}
