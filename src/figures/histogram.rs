//! Counts values by size.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The most bounds that a histogram may have.
const MOST: usize = 15;

/// Counts how many values lie up to each of its bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// The last one used is for what exceeds all bounds.
    counts: [AtomicU64; MOST + 1],
    sum: AtomicU64,
}

/// A histogram's numbers, or the sum of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Each bound, and how many values lie between the one before and it. What exceeds all is at `u64::MAX`.
    pub buckets: Vec<(u64, u64)>,
    pub sum: u64,
}

impl Histogram {
    /// `bounds` ascend.
    pub const fn new(bounds: &'static [u64]) -> Self {
        assert!(bounds.len() <= MOST, "there is no room for so many bounds");
        Self {
            bounds,
            counts: [const { AtomicU64::new(0) }; MOST + 1],
            sum: AtomicU64::new(0),
        }
    }

    pub fn add(&self, value: u64) {
        let bucket = self.bounds.iter().position(|bound| value <= *bound);
        self.counts[bucket.unwrap_or(self.bounds.len())].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    pub fn snapshot(&self) -> Snapshot {
        let counts = self.counts.iter().map(|count| count.load(Relaxed));
        let bounds = self.bounds.iter().copied().chain([u64::MAX]);
        Snapshot {
            buckets: bounds.zip(counts).collect(),
            sum: self.sum.load(Relaxed),
        }
    }
}

impl Snapshot {
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// The values since an earlier snapshot of the same histogram. An empty `before` takes nothing away.
    pub fn since(&self, before: &Snapshot) -> Snapshot {
        let counts = before.buckets.iter().map(|(_, count)| *count);
        let counts = counts.chain(std::iter::repeat(0));
        let buckets = self.buckets.iter().zip(counts);
        Snapshot {
            buckets: buckets
                .map(|((bound, count), before)| (*bound, count.saturating_sub(before)))
                .collect(),
            sum: self.sum.wrapping_sub(before.sum),
        }
    }

    /// The value below which this part of all values lies, as if those of a bucket were spread evenly over it. What
    /// exceeds all bounds counts as the last one. `None` where there are no values.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let rank = part * self.count() as f64;
        let (mut below, mut lower) = (0.0, 0.0);
        for (bound, count) in self.buckets.iter().filter(|(bound, _)| *bound < u64::MAX) {
            let (upper, count) = (*bound as f64, *count as f64);
            if count > 0.0 && below + count >= rank {
                return Some(lower + (upper - lower) * (rank - below) / count);
            }
            below += count;
            lower = upper;
        }
        (self.count() > 0).then_some(lower)
    }
}

impl std::iter::Sum for Snapshot {
    /// All have the same bounds.
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.reduce(|mut sum, one| {
            for ((_, count), (_, more)) in sum.buckets.iter_mut().zip(one.buckets) {
                *count += more;
            }
            sum.sum = sum.sum.wrapping_add(one.sum);
            sum
        })
        .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_up_to_their_bound() {
        let (one, other) = (Histogram::new(&[1, 10]), Histogram::new(&[1, 10]));
        [0, 1, 2, 10, 11].iter().for_each(|value| one.add(*value));
        other.add(10);
        let sum: Snapshot = [one.snapshot(), other.snapshot()].into_iter().sum();
        assert_eq!(sum.buckets, [(1, 2), (10, 3), (u64::MAX, 1)]);
        assert_eq!((sum.count(), sum.sum), (6, 34));
        assert_eq!(std::iter::empty().sum::<Snapshot>(), Snapshot::default());
    }

    #[test]
    fn a_quantile_is_of_what_came_since() {
        let histogram = Histogram::new(&[10, 20, 40]);
        assert_eq!(histogram.snapshot().quantile(0.5), None);
        [1, 2, 3].iter().for_each(|value| histogram.add(*value));
        let before = histogram.snapshot();
        assert_eq!(
            before.since(&Snapshot::default()),
            before,
            "there was none before"
        );
        assert_eq!(before.since(&before).quantile(0.5), None);
        [12, 13, 14, 30]
            .iter()
            .for_each(|value| histogram.add(*value));
        let since = histogram.snapshot().since(&before);
        assert_eq!((since.count(), since.sum), (4, 69));
        assert_eq!(since.quantile(0.375), Some(15.0));
        assert_eq!(since.quantile(1.0), Some(40.0));
        histogram.add(1_000);
        let since = histogram.snapshot().since(&before);
        assert_eq!(since.quantile(0.99), Some(40.0), "the last bound");
    }
}
