//! `job dead-letter discard`: marks letters as unwanted. They stay in the topic, and wait no longer.

use std::io::Write;

use super::index::{Aim, Index};
use super::replay::{letter, offsets_of};
use super::resend;
use super::show::{self, State};
use super::{all_there, messages, read_all, rest, say};
use crate::commands::cli::ChosenArgs;
use crate::dead_letter::markers::{Marker, Run};
use crate::dead_letter::topic::Topic;

/// Limits the offsets in one marker: about 20 KB where no two of them are neighbours.
const OFFSETS_PER_MARKER: usize = 1_000;

/// Discards the letters asked for.
///
/// # Errors
/// A letter that was named isn't there, or Kafka can't be read or refuses a marker. The text says how many were discarded
/// before.
pub async fn discard(
    mut topic: Topic,
    args: &ChosenArgs,
    out: &mut impl Write,
) -> Result<bool, String> {
    let mut index = Index::new(args.selection());
    read_all(&mut topic, &mut index).await?;
    all_there(&topic, &index)?;
    let plan = index.plan(Aim::Discard);
    if args.dry_run {
        for due in &plan.due {
            if let Some(letter) = letter(&mut topic, due.place).await? {
                let state = if letter.is_gone() {
                    State::Gone
                } else {
                    State::Waiting
                };
                say(out, format_args!("{}", show::line(&letter, state)));
            }
        }
    }
    let count = messages(plan.due.len());
    if args.dry_run || plan.due.is_empty() {
        let would = if args.dry_run { "would be " } else { "" };
        say(
            out,
            format_args!("{count} {would}discarded in {}{}", topic.name, rest(&plan)),
        );
        return Ok(true);
    }
    let producer = resend::producer(&topic).await?;
    let run = Run::of_this_process();
    let mut marked = 0;
    for (partition, offsets) in offsets_of(plan.due.iter()) {
        for some in offsets.chunks(OFFSETS_PER_MARKER) {
            let marker = Marker::Discarded(some.to_vec()).record(&topic.name, partition, &run);
            let acknowledged = producer.send(marker).await;
            let _ = acknowledged.map_err(|error| {
                let what = format!("noting in {} what is discarded", topic.name);
                format!(
                    "{}\n{marked} letters were discarded before; run it again for the rest",
                    topic.tried(&what, &error)
                )
            })?;
            marked += some.len();
        }
    }
    say(
        out,
        format_args!("discarded {count} in {}{}", topic.name, rest(&plan)),
    );
    Ok(true)
}
