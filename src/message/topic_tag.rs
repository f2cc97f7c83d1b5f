//! Which topic an offset was committed for, in the metadata of the commit: Kafka knows only the topic's name.
//!
//! `t1.`, the tag in base64 (URL alphabet, no padding; six characters), `.`, and then whatever else stands there.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::standing::TopicTag;

const PREFIX: &str = "t1.";
const LEN: usize = PREFIX.len() + 6 + 1;

/// A topic's tag, to stand before the rest of the metadata. Empty where it is longer than `max_len` bytes.
pub fn before(topic: Option<TopicTag>, max_len: usize) -> String {
    match topic {
        Some(TopicTag(tag)) if max_len >= LEN => {
            let tag = URL_SAFE_NO_PAD.encode(tag.to_be_bytes());
            format!("{PREFIX}{tag}.")
        }
        _ => String::new(),
    }
}

/// The tag, and what stands behind it. What begins otherwise has none.
pub fn split(metadata: &str) -> (Option<TopicTag>, &str) {
    let tagged = || {
        let (tag, rest) = metadata.strip_prefix(PREFIX)?.split_once('.')?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        Some((TopicTag(u32::from_be_bytes(tag.try_into().ok()?)), rest))
    };
    match tagged() {
        Some((topic, rest)) => (Some(topic), rest),
        None => (None, metadata),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_comes_back_with_what_stands_behind_it() {
        for tag in [0, 1, 0xfedc_ba98, u32::MAX] {
            for rest in ["", "job1.AAAA"] {
                let text = before(Some(TopicTag(tag)), 64) + rest;
                assert_eq!(text.len(), LEN + rest.len());
                assert_eq!(split(&text), (Some(TopicTag(tag)), rest));
            }
        }
    }

    #[test]
    fn it_is_left_out_where_it_does_not_fit() {
        let fits = before(Some(TopicTag(7)), LEN);
        assert_eq!(split(&fits), (Some(TopicTag(7)), ""));
        assert_eq!(before(Some(TopicTag(7)), LEN - 1), "");
        assert_eq!(before(None, 64), "");
    }

    #[test]
    fn what_is_no_tag_is_none() {
        for text in [
            "",
            "job1.AAAA",
            "t1.",
            "t1.AAAA",
            "t1.AAA.x",
            "t1.AAAAAAAA.x",
            "t1.ä.",
            "set by hand",
        ] {
            assert_eq!(split(text), (None, text));
        }
    }
}
