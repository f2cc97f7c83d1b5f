//! Whether it is another process that has this member's name, where Kafka says that the member is fenced.
//!
//! # A fault of krafka 0.28.1
//!
//! When another broker looks after the group than before, krafka forgets its member id, though Kafka still knows it: its next
//! heartbeat has the name alone, and Kafka answers that another one has that name. One sees it where the brokers are
//! restarted one after the other: a member is fenced each time that the group moves. Once krafka keeps its id, delete
//! this, and count each fencing in `membership.rs`.

use std::time::Duration;

use krafka::Kafka;
use krafka::admin::{ConsumerGroupMember, DescribeConsumerGroupsOptions};

use super::Membership;
use super::rebalance::Listener;

/// A group that moved is there again within a second or two.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

impl Membership {
    /// Whether another process has the name of the member that this one was.
    pub(super) async fn has_rival(&self, kafka: &Kafka, listener: &Listener) -> bool {
        match (&self.name, listener.last_member_id()) {
            (Some(name), Some(own)) => has_rival(kafka, &self.config.group, name, &own).await,
            _ => true,
        }
    }
}

/// Whether Kafka knows a member of this name with another id than `own`. Where it doesn't answer, it may.
async fn has_rival(kafka: &Kafka, group: &str, name: &str, own: &str) -> bool {
    let options = DescribeConsumerGroupsOptions::default().timeout(ANSWER_WITHIN);
    let admin = kafka.admin();
    let described = admin.describe_consumer_groups([group], options).await;
    match described.ok().and_then(|mut groups| groups.remove(group)) {
        Some(Ok(group)) => is_among(&group.members, name, own),
        _ => true,
    }
}

fn is_among(members: &[ConsumerGroupMember], name: &str, own: &str) -> bool {
    let mut of_name = members
        .iter()
        .filter(|member| member.instance_id.as_deref() == Some(name));
    of_name.any(|member| member.member_id != own)
}
