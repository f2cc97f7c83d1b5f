//! What the group hears and has others do, at DEBUG.

use super::Input;
use super::effect::{Effect, Order};
use crate::figures::Roster;
use crate::message::Commit;
use crate::message::consumer::Control;
use crate::message::group::Event;
use crate::message::membership::Command;

/// Says what happened. What comes with each message is left out.
pub fn heard(input: &Input, comets: &Roster) {
    match input {
        Input::Revoked { partitions, .. } => {
            log::debug!("Kafka wants partitions {partitions:?} back: draining them");
        }
        Input::Stop => log::debug!("stopping: draining all partitions"),
        Input::Told(Event::Joined { partitions }) => {
            log::debug!("Kafka has us as a member of the group, with {partitions} partitions");
        }
        Input::Told(Event::RevokeAck(assignment)) => log::debug!(
            topic = assignment.partition.topic_name(), partition = assignment.partition.index;
            "partition {}: a worker has drained it",
            assignment.partition
        ),
        Input::Told(Event::Away(comet)) => {
            let comet = &*comets.name(*comet);
            log::debug!(comet; "Comet {comet}: it took nothing for a while and another one delivers");
        }
        Input::Told(Event::Detached(comet)) => {
            let comet = &*comets.name(*comet);
            log::debug!(comet; "Comet {comet}: a worker holds nothing more for it");
        }
        Input::Told(Event::Answers(comet)) => {
            let comet = &*comets.name(*comet);
            log::debug!(comet; "Comet {comet}: it answers a probe");
        }
        Input::Told(Event::Committed(outcome)) => {
            for Commit {
                partition, offset, ..
            } in &outcome.taken
            {
                log::debug!(topic = partition.topic_name(), partition = partition.index, offset; "partition {partition}: Kafka took the commit of offset {offset}");
            }
        }
        _ => {}
    }
}

/// Says what follows.
pub fn does(effect: &Effect, comets: &Roster) {
    match effect {
        Effect::Consumer(Control::Assign {
            assignment,
            position,
            finished,
            behind,
        }) => log::debug!(
            topic = assignment.partition.topic_name(), partition = assignment.partition.index,
            offset = position;
            "partition {}: to be read from offset {position} on; {} runs of records above it are finished, {} Comets are behind",
            assignment.partition,
            finished.len(),
            behind.len()
        ),
        Effect::Consumer(Control::Revoke { partition }) => {
            log::debug!(topic = partition.topic_name(), partition = partition.index; "partition {partition}: to be read no longer");
        }
        Effect::Consumer(Control::Detach(comet)) => {
            let comet = &*comets.name(*comet);
            log::debug!(comet; "Comet {comet}: left out from the next record on");
        }
        Effect::Consumer(Control::CatchUp { comet, missing, .. }) => {
            let comet = &*comets.name(*comet);
            log::debug!(comet; "Comet {comet}: what it misses of {} partitions is read again", missing.len());
        }
        Effect::Workers(order) => {
            let (what, assignment) = match order {
                Order::Revoke(assignment) => ("drain it", assignment),
                Order::Suspend(assignment) => ("send nothing more of it for now", assignment),
                Order::Resume(assignment) => ("go on with it", assignment),
                Order::Forget(assignment) => ("drop what is held of it", assignment),
                Order::Skip { record, .. } => {
                    let (partition, offset) = (record.assignment.partition, record.offset);
                    log::debug!(partition = partition.index, offset; "partition {partition}: each worker is told to skip offset {offset}");
                    return;
                }
                Order::Lapsed(_) => return,
            };
            let partition = assignment.partition;
            log::debug!(topic = partition.topic_name(), partition = partition.index; "partition {partition}: each worker is told: {what}");
        }
        Effect::Membership(Command::Commit(commits)) => commits.iter().for_each(commit),
        Effect::Reply { commits, .. } => commits.iter().for_each(commit),
        _ => {}
    }
}

fn commit(commit: &Commit) {
    let Commit {
        partition,
        offset,
        metadata,
        ..
    } = commit;
    log::debug!(
        topic = partition.topic_name(), partition = partition.index, offset;
        "partition {partition}: committing offset {offset}, with {} bytes of metadata",
        metadata.len()
    );
}
