//! A set of offsets.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of offsets, kept as ranges. What is next to each other is one range, so it costs what it has gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// The end of each range, by its start. None is empty, and none touches the next one.
    ends: BTreeMap<i64, i64>,
}

impl Offsets {
    /// Adds the offsets of a range. Some or all may be in it already.
    pub fn insert(&mut self, range: Range<i64>) {
        if range.is_empty() {
            return;
        }
        let Range { mut start, mut end } = range;
        if let Some((&before, before_end)) = self.ends.range_mut(..=start).next_back()
            && *before_end >= start
        {
            start = before;
            end = end.max(*before_end);
            *before_end = end;
        } else {
            self.ends.insert(start, end);
        }
        // Joins it with those behind it that it reaches.
        let mut reached = end;
        while let Some((&next, &next_end)) = self.ends.range(start + 1..).next()
            && next <= reached
        {
            self.ends.remove(&next);
            reached = reached.max(next_end);
        }
        if reached > end {
            self.ends.insert(start, reached);
        }
    }

    /// Takes out the offsets of a range, as far as they are in it.
    pub fn remove(&mut self, range: Range<i64>) {
        if range.is_empty() {
            return;
        }
        while let Some((&start, &end)) = self.ends.range(..range.end).next_back()
            && end > range.start
        {
            if start < range.start {
                self.ends.insert(start, range.start);
            } else {
                self.ends.remove(&start);
            }
            if end > range.end {
                self.ends.insert(range.end, end);
            }
        }
    }

    /// Whether an offset is in it.
    pub fn contains(&self, offset: i64) -> bool {
        let before = self.ends.range(..=offset).next_back();
        before.is_some_and(|(_, end)| offset < *end)
    }

    /// Whether no offset is in it.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The lowest offset in it.
    pub fn first(&self) -> Option<i64> {
        self.ends.first_key_value().map(|(start, _)| *start)
    }

    /// The offset after the highest one in it.
    pub fn end(&self) -> Option<i64> {
        self.ends.last_key_value().map(|(_, end)| *end)
    }

    /// The ranges, ascending. None is empty, and none touches the next one.
    pub fn ranges(&self) -> impl Iterator<Item = Range<i64>> {
        self.ends.iter().map(|(&start, &end)| start..end)
    }

    /// How many offsets are in it.
    pub fn count(&self) -> u64 {
        self.ranges()
            .map(|range| range.end.abs_diff(range.start))
            .sum()
    }
}

impl FromIterator<Range<i64>> for Offsets {
    fn from_iter<I: IntoIterator<Item = Range<i64>>>(ranges: I) -> Self {
        let mut offsets = Self::default();
        offsets.extend(ranges);
        offsets
    }
}

impl Extend<Range<i64>> for Offsets {
    fn extend<I: IntoIterator<Item = Range<i64>>>(&mut self, ranges: I) {
        for range in ranges {
            self.insert(range);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Ranges from a list of offsets that ascend.
    fn ranges_of(model: &BTreeSet<i64>) -> Vec<Range<i64>> {
        let mut ranges: Vec<Range<i64>> = Vec::new();
        for &offset in model {
            match ranges.last_mut() {
                Some(last) if last.end == offset => last.end += 1,
                _ => ranges.push(offset..offset + 1),
            }
        }
        ranges
    }

    proptest! {
        #[test]
        fn it_holds_what_a_set_of_single_offsets_holds(
            steps in prop::collection::vec((any::<bool>(), -30i64..30, 0i64..12), 0..80),
        ) {
            let (mut offsets, mut model) = (Offsets::default(), BTreeSet::new());
            for (adds, start, length) in steps {
                let range = start..start + length;
                if adds {
                    offsets.insert(range.clone());
                    model.extend(range);
                } else {
                    offsets.remove(range.clone());
                    model.retain(|offset| !range.contains(offset));
                }
                prop_assert_eq!(offsets.ranges().collect::<Vec<_>>(), ranges_of(&model));
                prop_assert_eq!(offsets.is_empty(), model.is_empty());
                prop_assert_eq!(offsets.count(), model.len() as u64);
                prop_assert_eq!(offsets.first(), model.first().copied());
                prop_assert_eq!(offsets.end(), model.last().map(|last| last + 1));
                for offset in -32..44 {
                    prop_assert_eq!(offsets.contains(offset), model.contains(&offset));
                }
                prop_assert_eq!(&offsets.ranges().collect::<Offsets>(), &offsets);
            }
        }
    }

    #[test]
    fn the_largest_offset_and_an_inverted_range_do_no_harm() {
        let mut offsets = Offsets::default();
        offsets.insert(i64::MIN..i64::MAX);
        assert_eq!(offsets.count(), u64::MAX);
        #[expect(clippy::reversed_empty_ranges)]
        offsets.remove(9..3);
        offsets.remove(0..i64::MAX);
        assert_eq!(offsets.end(), Some(0));
        #[expect(clippy::reversed_empty_ranges)]
        offsets.insert(9..3);
        assert_eq!(offsets.ranges().count(), 1);
    }
}
