//! The topics that the group reads, and their names.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use super::{PartitionId, TopicId};

/// The topics' names, in the order of the settings. A clone is the same list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics(Arc<[String]>);

impl Topics {
    /// The first of them is the one that a command writes to.
    ///
    /// # Panics
    /// There is no name.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let names: Arc<[String]> = names.into_iter().collect();
        assert!(!names.is_empty(), "a list of topics has one at least");
        Self(names)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub fn ids(&self) -> impl Iterator<Item = TopicId> + use<> {
        (0..self.0.len() as u16).map(TopicId)
    }

    pub fn name(&self, topic: TopicId) -> &str {
        &self.0[usize::from(topic.0)]
    }

    pub fn first(&self) -> &str {
        &self.0[0]
    }

    pub fn id(&self, name: &str) -> Option<TopicId> {
        self.ids().find(|topic| self.name(*topic) == name)
    }

    /// Kafka's partition, where it is of one of these topics.
    pub fn partition(&self, topic: &str, index: i32) -> Option<PartitionId> {
        let topic = self.id(topic)?;
        Some(PartitionId { topic, index })
    }

    pub fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// Has partitions say from now on of which topic they are: each one that this process prints is then told from one of the
    /// same number. The names stay as they are while it runs.
    pub fn name_partitions(&self) {
        let _ = NAMES.set(self.clone());
    }
}

/// Puts what is asked of partitions together for each topic, as Kafka's requests have it.
pub fn by_topic<T>(of: impl IntoIterator<Item = (TopicId, T)>) -> BTreeMap<TopicId, Vec<T>> {
    let mut by_topic = BTreeMap::<_, Vec<T>>::new();
    for (topic, asked) in of {
        by_topic.entry(topic).or_default().push(asked);
    }
    by_topic
}

/// Says all of them.
impl fmt::Display for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// For what is printed. Nothing decides by it.
static NAMES: OnceLock<Topics> = OnceLock::new();

/// The topic's name, where the names are noted.
pub(super) fn noted_name(topic: TopicId) -> Option<&'static str> {
    let names = NAMES.get()?;
    names.0.get(usize::from(topic.0)).map(String::as_str)
}

/// Writes a partition as a log line has it: `3`, or `3 of topic push` where there are several topics.
pub(super) fn write_partition(partition: PartitionId, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_named(partition, NAMES.get(), f)
}

fn write_named(
    PartitionId { topic, index }: PartitionId,
    names: Option<&Topics>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    write!(f, "{index}")?;
    match names {
        Some(names) if names.are_several() => write!(f, " of topic {}", names.name(topic)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Topics {
        Topics::new(["push", "rooms"].map(str::to_owned))
    }

    #[test]
    fn a_name_leads_to_its_topic_and_back() {
        let topics = two();
        let rooms = topics.id("rooms").expect("it is one of them");
        assert_eq!((rooms, topics.name(rooms)), (TopicId(1), "rooms"));
        assert_eq!(topics.id("room"), None);
        let partition = topics.partition("push", 3);
        assert_eq!(partition, Some(PartitionId::of_first(3)));
        assert_eq!(topics.partition("pus", 3), None);
        assert_eq!(topics.to_string(), "push,rooms");
    }

    #[test]
    fn a_partition_says_its_topic_where_there_are_several() {
        struct Shown(Option<Topics>);
        impl fmt::Display for Shown {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let topic = TopicId(1);
                write_named(PartitionId { topic, index: 3 }, self.0.as_ref(), f)
            }
        }
        assert_eq!(Shown(Some(two())).to_string(), "3 of topic rooms");
        assert_eq!(Shown(None).to_string(), "3");
        Topics::new(["push".to_owned()]).name_partitions();
        assert_eq!(format!("{:?}", [PartitionId::FIRST]), "[0]");
    }
}
