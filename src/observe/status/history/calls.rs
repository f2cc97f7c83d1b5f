//! The calls to a Comet, as far as they ended.

use super::tenths;
use crate::figures::{METHODS, Snapshot, TOOK, Totals};
use crate::message::CometId;

/// Fewer calls that failed are no share of anything.
const FAILURES: u64 = 3;

/// The calls to a Comet that ended.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    pub ended: u64,
    pub failed: u64,
    /// Microseconds.
    pub took: Snapshot,
}

impl Calls {
    /// How many of 100 failed of those that ended since an earlier time. `None` where hardly any failed.
    pub fn failed_percent(&self, before: &Calls) -> Option<f64> {
        let failed = self.failed.saturating_sub(before.failed);
        let ended = self.ended.saturating_sub(before.ended);
        (failed >= FAILURES).then(|| tenths(100.0 * failed as f64 / ended as f64))
    }

    pub fn of(totals: &Totals<'_>, comet: CometId) -> Self {
        let took = METHODS.map(|method| totals.took(comet, method));
        Self {
            took: took.into_iter().sum(),
            ..Self::counted(METHODS.map(|method| totals.ended(comet, method)))
        }
    }

    /// Those to Comets that are gone. How long they took isn't kept.
    pub fn of_gone(totals: &Totals<'_>) -> Self {
        Self::counted(METHODS.map(|method| totals.ended_at_gone(method)))
    }

    /// By method: how many ended with each status.
    fn counted(ended: [Vec<(usize, u64)>; METHODS.len()]) -> Self {
        let count = |took: bool| {
            let all = ended.iter().flatten();
            let those = all.filter(|(status, _)| TOOK.contains(status) == took);
            those.map(|(_, count)| count).sum::<u64>()
        };
        let failed = count(false);
        Self {
            ended: failed + count(true),
            failed,
            took: Snapshot::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_many_calls_fail_counts_from_an_earlier_time() {
        let calls = |ended, failed| Calls {
            ended,
            failed,
            ..Calls::default()
        };
        let before = calls(1_000, 40);
        assert_eq!(calls(1_010, 45).failed_percent(&before), Some(50.0));
        assert_eq!(calls(1_002, 42).failed_percent(&before), None);
        assert_eq!(before.failed_percent(&before), None);
    }
}
