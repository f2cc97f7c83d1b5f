//! Which protocols of a group a cluster serves.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
};

use crate::kafka::Cluster;
use crate::kafka::ask::text;
use crate::kafka::bootstrap::Bootstrap;

/// Every broker answers this version, whatever its age.
const API_VERSIONS: i16 = 0;

/// The first version of Kafka 4.0.
const HEARTBEAT: i16 = 0;

/// The epoch with which a member leaves.
const LEAVES: i32 = -1;

/// Whether the cluster serves `--group-protocol consumer` (KIP-848) for a group. Nothing changes in the group.
///
/// # Errors
/// No broker answers.
pub async fn serves_consumer_protocol(cluster: &Cluster, group: &str) -> Result<bool, String> {
    let bootstrap = Bootstrap::new(cluster.clone());
    let versions = ApiVersionsRequest::default();
    let (_, answer): (_, ApiVersionsResponse) = bootstrap.ask(&versions, API_VERSIONS).await?;
    let heartbeat = ApiKey::ConsumerGroupHeartbeat as i16;
    if !answer.api_keys.iter().any(|api| api.api_key == heartbeat) {
        return Ok(false);
    }
    // Kafka 3.7 to 3.9 have it in the list, and serve it only where an early version was switched on. So a member that never
    // was says that it leaves.
    let leaves = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(text(group).into())
        .with_member_id(text("job-check"))
        .with_member_epoch(LEAVES);
    let (_, answer): (_, ConsumerGroupHeartbeatResponse) =
        bootstrap.ask(&leaves, HEARTBEAT).await?;
    Ok(answer.error_code.err() != Some(ResponseError::UnsupportedVersion))
}
