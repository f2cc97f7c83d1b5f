//! Something for each Comet of a fleet that changes.

use super::CometId;

/// Values by Comet, in the order of the Comets' ids.
///
/// Ids are never used again, so that they can't be places for long. In a fleet that doesn't change they are, and
/// finding one costs no search.
#[derive(Clone, Debug)]
pub struct ByComet<T>(Vec<(CometId, T)>);

impl<T> Default for ByComet<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> ByComet<T> {
    /// Where the Comet's value is among all of them.
    fn place(&self, comet: CometId) -> Result<usize, usize> {
        let first = comet.0 as usize;
        if self.0.get(first).is_some_and(|(id, _)| *id == comet) {
            return Ok(first);
        }
        self.0.binary_search_by_key(&comet, |(id, _)| *id)
    }

    pub fn get(&self, comet: CometId) -> Option<&T> {
        let place = self.place(comet).ok()?;
        Some(&self.0[place].1)
    }

    pub fn get_mut(&mut self, comet: CometId) -> Option<&mut T> {
        let place = self.place(comet).ok()?;
        Some(&mut self.0[place].1)
    }

    /// Puts a value in the place of the one that the Comet has, if it has one.
    pub fn insert(&mut self, comet: CometId, value: T) {
        match self.place(comet) {
            Ok(place) => self.0[place].1 = value,
            Err(place) => self.0.insert(place, (comet, value)),
        }
    }

    /// The Comet's value, which is made where there is none.
    pub fn get_or_insert_with(&mut self, comet: CometId, make: impl FnOnce() -> T) -> &mut T {
        let place = match self.place(comet) {
            Ok(place) => place,
            Err(place) => {
                self.0.insert(place, (comet, make()));
                place
            }
        };
        &mut self.0[place].1
    }

    pub fn remove(&mut self, comet: CometId) -> Option<T> {
        let place = self.place(comet).ok()?;
        Some(self.0.remove(place).1)
    }

    pub fn iter(&self) -> impl Iterator<Item = (CometId, &T)> {
        self.0.iter().map(|(comet, value)| (*comet, value))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (CometId, &mut T)> {
        self.0.iter_mut().map(|(comet, value)| (*comet, value))
    }

    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    pub fn ids(&self) -> impl Iterator<Item = CometId> + Clone {
        self.0.iter().map(|(comet, _)| *comet)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> FromIterator<(CometId, T)> for ByComet<T> {
    fn from_iter<I: IntoIterator<Item = (CometId, T)>>(all: I) -> Self {
        let mut by_comet = Self::default();
        for (comet, value) in all {
            by_comet.insert(comet, value);
        }
        by_comet
    }
}

/// Ids from 0 on, in the order of the values.
impl<T> From<Vec<T>> for ByComet<T> {
    fn from(values: Vec<T>) -> Self {
        Self((0..).map(CometId).zip(values).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_whoever_left() {
        let mut all = ByComet::from(vec!['a', 'b', 'c']);
        assert_eq!(all.remove(CometId(1)), Some('b'));
        assert_eq!(all.remove(CometId(1)), None);
        all.insert(CometId(7), 'h');
        all.insert(CometId(4), 'e');
        all.insert(CometId(4), 'E');
        let listed: Vec<_> = all.iter().map(|(id, value)| (id.0, *value)).collect();
        assert_eq!(listed, [(0, 'a'), (2, 'c'), (4, 'E'), (7, 'h')]);
        for (id, value) in listed {
            assert_eq!(all.get(CometId(id)), Some(&value));
        }
        for id in [1, 3, 8] {
            assert_eq!(all.get(CometId(id)), None);
        }
        assert_eq!(*all.get_or_insert_with(CometId(3), || 'd'), 'd');
        assert_eq!(*all.get_or_insert_with(CometId(3), || 'x'), 'd');
    }
}
