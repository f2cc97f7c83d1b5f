//! Who had a partition when, and times that touch.

use super::Evidence;
use crate::timeline::Micros;

pub type Span = (Micros, Micros);

/// A time for which a job had a partition.
pub struct Turn {
    pub life: usize,
    pub slot: usize,
    pub has_dead_address: bool,
    pub from: Micros,
    pub to: Micros,
}

/// Whether a line is about a partition: `partitions [1, 3] are released`, `lost partitions 1, 3: …`.
pub fn lists(line: &str, partition: i32) -> bool {
    let list = line.split_once("partitions ").map_or("", |(_, list)| list);
    let end = list.find(|c: char| c.is_alphabetic() || c == ':');
    let mut numbers = list[..end.unwrap_or(list.len())].split(|c: char| !c.is_ascii_digit());
    numbers.any(|number| number == partition.to_string())
}

/// Who had a partition when, as the jobs said it.
pub fn turns(evidence: &Evidence<'_>, partition: i32) -> Vec<Turn> {
    let begins = format!("partition {partition}: reading from offset");
    let mut turns: Vec<Turn> = Vec::new();
    for (place, life) in evidence.lives.iter().enumerate() {
        let ended = life.ended.unwrap_or(Micros::MAX);
        let first = turns.len();
        for (at, line) in &life.notes {
            let begun = line.contains(&begins);
            let over = (line.contains("are released") || line.contains("lost partitions"))
                && lists(line, partition);
            if (begun || over)
                && let Some(last) = turns[first..].last_mut()
                && last.to == ended
            {
                last.to = *at;
            }
            if begun {
                turns.push(Turn {
                    life: place,
                    slot: life.slot,
                    has_dead_address: life.has_dead_address,
                    from: *at,
                    to: ended,
                });
            }
        }
    }
    turns
}

/// The times in which no job had the partition.
pub fn gaps(turns: &[Turn]) -> Vec<Span> {
    let had = apart(turns.iter().map(|turn| (turn.from, turn.to)).collect());
    let begins = std::iter::once(0).chain(had.iter().map(|span| span.1));
    let ends = had.iter().map(|span| span.0).chain([Micros::MAX]);
    begins.zip(ends).collect()
}

/// The same times, ascending, joined where they touch.
pub fn apart(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort();
    let mut apart: Vec<Span> = Vec::new();
    for (from, to) in spans {
        match apart.last_mut() {
            Some(last) if last.1 >= from => last.1 = last.1.max(to),
            _ => apart.push((from, to)),
        }
    }
    apart
}

/// How much of a time lies within the spans.
pub fn covered(spans: &[Span], from: Micros, to: Micros) -> Micros {
    let start = spans.partition_point(|span| span.1 <= from);
    spans[start..]
        .iter()
        .take_while(|span| span.0 < to)
        .map(|span| span.1.min(to).saturating_sub(span.0.max(from)))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_lists_its_partitions() {
        for line in [
            "INFO  partitions [1, 13] are released - notice.rs:138",
            "WARN  lost partitions 1, 13: stopped sending their messages - notice.rs:109",
        ] {
            let listed: Vec<i32> = (0..300).filter(|&p| lists(line, p)).collect();
            assert_eq!(listed, [1, 13], "{line}");
        }
        assert!(!lists("partition 1: reading from offset 5", 1));
    }
}
