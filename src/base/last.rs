//! The last value of each key, from one thread to another: where only the newest counts. A channel would grow while nobody reads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

type Values<K, V> = Mutex<BTreeMap<K, V>>;

pub struct Writer<K, V>(Weak<Values<K, V>>);

pub struct Reader<K, V>(Arc<Values<K, V>>);

/// Both ends.
pub fn last<K: Ord, V>() -> (Writer<K, V>, Reader<K, V>) {
    let values = Arc::default();
    (Writer(Arc::downgrade(&values)), Reader(values))
}

impl<K: Ord, V> Writer<K, V> {
    /// Puts a value in the place of the key's last one, if that wasn't taken. Returns `None` where the reader is gone.
    pub fn put(&self, key: K, value: V) -> Option<()> {
        let values = self.0.upgrade()?;
        let before = locked(&values).insert(key, value);
        // Not under the lock: it may be large.
        drop(before);
        Some(())
    }
}

impl<K: Ord, V> Reader<K, V> {
    /// Returns the values that were put since the last call of this.
    pub fn take(&self) -> BTreeMap<K, V> {
        std::mem::take(&mut *locked(&self.0))
    }
}

fn locked<K, V>(values: &Values<K, V>) -> MutexGuard<'_, BTreeMap<K, V>> {
    // A panic ends the process.
    values.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_value_of_a_key_is_kept_until_it_is_taken() {
        let (writer, reader) = last();
        assert!(reader.take().is_empty());
        for round in 0..3 {
            for key in ["a", "b"] {
                writer.put(key, round).expect("somebody reads");
            }
        }
        assert_eq!(reader.take(), [("a", 2), ("b", 2)].into());
        assert!(reader.take().is_empty());
        writer.put("a", 3).expect("somebody reads");
        assert_eq!(reader.take(), [("a", 3)].into());
        drop(reader);
        assert_eq!(writer.put("a", 4), None);
    }
}
