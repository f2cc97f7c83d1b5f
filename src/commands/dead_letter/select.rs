//! Which letters a command is for.

use crate::dead_letter::letter::{Place, StoredLetter};

/// A letter must match every field that is set; the default selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Words in the reason, in any case.
    pub reason: Option<String>,
    pub sources: Option<Sources>,
    /// Only these letters; empty selects all.
    pub places: Vec<Place>,
}

/// Offsets of a partition of the main topic, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    pub partition: i32,
    pub first: i64,
    pub last: i64,
}

impl Sources {
    /// Reads `partition[:offset[-[offset]]]`.
    ///
    /// # Errors
    /// The text is not of this form. The error shows the form.
    pub fn parse(text: &str) -> Result<Sources, String> {
        let offset = |text: &str| text.parse().ok().filter(|&offset: &i64| offset >= 0);
        let parse = || {
            let (partition, offsets) = match text.trim().split_once(':') {
                Some((partition, offsets)) => (partition, Some(offsets)),
                None => (text.trim(), None),
            };
            let (first, last) = match offsets.map(|offsets| offsets.split_once('-').ok_or(offsets))
            {
                None => (0, i64::MAX),
                Some(Err(one)) => (offset(one)?, offset(one)?),
                Some(Ok((first, ""))) => (offset(first)?, i64::MAX),
                Some(Ok((first, last))) => (offset(first)?, offset(last)?),
            };
            Some(Sources {
                partition: partition.parse().ok().filter(|&p: &i32| p >= 0)?,
                first,
                last,
            })
        };
        match parse() {
            Some(Sources { first, last, .. }) if first > last => Err("its first offset is above its last one".into()),
            Some(sources) => Ok(sources),
            None => Err(
                "not a place in the main topic: write a partition (3), with an offset (3:120), from an offset on (3:120-) \
                 or with offsets (3:120-180)"
                    .into(),
            ),
        }
    }
}

impl Selection {
    pub fn takes(&self, letter: &StoredLetter) -> bool {
        let reason = self.reason.as_ref().is_none_or(|words| {
            let lower = |text: &str| text.to_lowercase();
            lower(&letter.reason).contains(&lower(words))
        });
        let source = self.sources.as_ref().is_none_or(|wanted| {
            wanted.partition == letter.source.partition
                && letter.source.offset <= wanted.last
                && letter.last.unwrap_or(letter.source.offset) >= wanted.first
        });
        let place = self.places.is_empty() || self.places.contains(&letter.place());
        reason && source && place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter::letter::letter;

    fn sources(partition: i32, first: i64, last: i64) -> Sources {
        Sources {
            partition,
            first,
            last,
        }
    }

    #[test]
    fn sources_as_they_are_written() {
        assert_eq!(Sources::parse("3"), Ok(sources(3, 0, i64::MAX)));
        assert_eq!(Sources::parse("3:120"), Ok(sources(3, 120, 120)));
        assert_eq!(Sources::parse("3:120-"), Ok(sources(3, 120, i64::MAX)));
        assert_eq!(Sources::parse(" 3:120-180 "), Ok(sources(3, 120, 180)));
        for wrong in [
            "", ":", "3:", "-1", "3:-5", "3:1-2-3", "3:9-8", "x", "3:x", "3@120",
        ] {
            assert!(Sources::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn reason_and_source_both_have_to_fit() {
        let stored = StoredLetter::read(letter(0, (3, 120), &[])).expect("a letter");
        let takes = |reason: Option<&str>, sources: Option<&str>| {
            let selection = Selection {
                reason: reason.map(ToOwned::to_owned),
                sources: sources.map(|text| Sources::parse(text).expect("sources")),
                places: Vec::new(),
            };
            selection.takes(&stored)
        };
        assert!(takes(None, None));
        assert!(takes(Some("REFUSE"), None));
        assert!(!takes(Some("broken"), None));
        assert!(takes(Some("refused"), Some("3:119-120")));
        assert!(!takes(Some("refused"), Some("3:121-")));
        assert!(!takes(Some("broken"), Some("3")));
        assert!(!takes(None, Some("2")));
    }
    #[test]
    fn a_letter_named_by_its_place_is_the_one_taken() {
        let takes = |places: &[&str]| {
            let selection = Selection {
                places: places
                    .iter()
                    .map(|text| Place::parse(text).expect("a place"))
                    .collect(),
                ..Selection::default()
            };
            selection.takes(&StoredLetter::read(letter(7, (3, 120), &[])).expect("a letter"))
        };
        assert!(takes(&[]) && takes(&["1@7", "0@7"]));
        assert!(!takes(&["0@8"]) && !takes(&["1@7"]));
    }
}
