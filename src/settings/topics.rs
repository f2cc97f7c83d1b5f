//! The topics, as the settings list them.

use super::{DEAD_LETTER_SUFFIX, ascii::named, dead_letter_topic};
use crate::message::Topics;

/// So many topics have a number each (see [`TopicId`](crate::message::TopicId)); nobody lists more.
const MOST: usize = 1000;

/// Reads a comma-separated list of topics.
///
/// # Errors
/// A name is missing, illegal, listed twice, or that of the dead-letter topic of another one.
pub fn topics(text: &str) -> Result<Topics, String> {
    let names: Vec<&str> = text.split(',').map(str::trim).collect();
    if names.len() > MOST {
        return Err(format!("more than {MOST} topics"));
    }
    for (i, name) in names.iter().enumerate() {
        topic(name)?;
        if names[..i].contains(name) {
            return Err(format!("topic {name} is listed twice"));
        }
    }
    for name in &names {
        let letters = dead_letter_topic(name);
        if names.contains(&letters.as_str()) {
            return Err(format!(
                "{letters} is the dead-letter topic of {name}, and can't be read as a topic beside it"
            ));
        }
    }
    Ok(Topics::new(names.into_iter().map(str::to_owned)))
}

/// Reads a topic's name, by Kafka's rules, and short enough that its dead-letter topic has a legal name too.
fn topic(text: &str) -> Result<(), String> {
    const LONGEST: usize = 249 - DEAD_LETTER_SUFFIX.len();
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match text {
        "" => Err("the name of a topic is missing".into()),
        "." | ".." => Err("Kafka allows no topic of that name".into()),
        _ if !text.chars().all(legal) => {
            let illegal = text.chars().find(|&c| !legal(c)).unwrap_or_default();
            Err(format!(
                "a topic's name has letters (a-z, A-Z), digits, '.', '_' and '-' only, not {}",
                named(illegal)
            ))
        }
        _ if text.len() > LONGEST => Err(format!("longer than {LONGEST} characters")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_of_kafkas() {
        let one = topics("my-topic").expect("it is legal");
        assert_eq!((one.first(), one.are_several()), ("my-topic", false));
        assert!(topics(&"a".repeat(237)).is_ok());
        for wrong in ["", ".", "..", "a b", "聊天", &"a".repeat(238)] {
            assert!(topics(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn several_are_listed_with_commas() {
        let two = topics("push, rooms").expect("both are legal");
        assert_eq!(two.names().collect::<Vec<_>>(), ["push", "rooms"]);
        for (wrong, why) in [
            ("a,", "the name of a topic is missing"),
            (",a", "the name of a topic is missing"),
            ("a,,b", "the name of a topic is missing"),
            ("a,b,a", "topic a is listed twice"),
            (
                "a.dead-letter,a",
                "a.dead-letter is the dead-letter topic of a",
            ),
        ] {
            let error = topics(wrong).expect_err(wrong);
            assert!(error.starts_with(why), "{wrong}: {error}");
        }
        // Nobody reads the topic that this would be the dead-letter topic of.
        assert!(topics("a.dead-letter,b").is_ok());
    }
}
