//! Whether it is another process that has this member's name, where Kafka says that the member is fenced.
//!
//! # A fault of krafka 0.28.1
//!
//! When another broker looks after the group than before, krafka forgets its member id, though Kafka still knows it: its next
//! heartbeat has the name alone, and Kafka answers that another one has that name. One sees it where the brokers are
//! restarted one after the other: a member is fenced each time that the group moves. Once krafka keeps its id, delete
//! [`Membership::has_rival`], and count each fencing.

use std::time::{Duration, Instant};

use krafka::Kafka;
use krafka::admin::{ConsumerGroupMember, DescribeConsumerGroupsOptions};

use super::Membership;
use super::rebalance::Listener;

/// A group that moved is there again within a second or two.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Gives up after this many fencings within this time. One alone proves nothing: a broker that comes back may remember
/// the process that had the name before this one.
const MOST: usize = 3;
const WITHIN: Duration = Duration::from_secs(60);

/// When another process took this member's name.
#[derive(Default)]
pub struct Fencings(Vec<Instant>);

impl Fencings {
    /// Notes one more.
    pub fn are_too_many(&mut self, now: Instant) -> bool {
        self.0.retain(|at| now.duration_since(*at) < WITHIN);
        self.0.push(now);
        self.0.len() >= MOST
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_fencings_within_a_minute_are_too_many() {
        let (mut fencings, begin) = (Fencings::default(), Instant::now());
        let mut at = |seconds| fencings.are_too_many(begin + Duration::from_secs(seconds));
        assert_eq!([0, 50, 61, 115].map(&mut at), [false; 4]);
        assert!(at(118));
    }
}
