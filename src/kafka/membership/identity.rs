//! Who this member is to Kafka.

use std::hash::{BuildHasher, RandomState};

use krafka::consumer::ConsumerGroupMetadata;

use crate::settings::{Config, GroupProtocol};

/// The group instance id. Every member of the classic protocol has one: when krafka takes a living member for lost
/// (`rebalance/taken_for_lost.rs`), it comes back under a new member id, and only by this name does Kafka know that it
/// needn't wait for the old one.
pub(super) fn name(config: &Config) -> Option<String> {
    let configured = config.group_instance_id.clone();
    configured.or_else(|| {
        let needs_one = config.group_protocol == GroupProtocol::Classic;
        needs_one.then(name_for_this_life)
    })
}

/// A name that no other process has, nor this one at its next start.
fn name_for_this_life() -> String {
    let random = RandomState::new().hash_one(std::process::id());
    format!("job-{random:016x}")
}

/// Whether Kafka knew it as a member. Its generation, or epoch, counts from one.
pub(super) fn is_member(member: &ConsumerGroupMetadata) -> bool {
    member.is_fenceable() && member.generation_id() > 0
}
