//! What an ACL of Kafka keeps us from, and the command that allows it.

use krafka::error::ErrorCode;

use super::cluster::Cluster;
use super::finding::Finding;

/// `None` where the error is another one.
pub fn denied(cluster: &Cluster, code: ErrorCode) -> Option<Finding> {
    let (topic, group) = (cluster.topic(), cluster.group());
    let (what, allow) = match code {
        ErrorCode::TopicAuthorizationFailed => (
            format!("topic {topic}, or its dead-letter topic"),
            format!(
                "--operation Read --operation Write --operation Create --topic {topic} --resource-pattern-type prefixed"
            ),
        ),
        ErrorCode::GroupAuthorizationFailed => (
            format!("group {group}"),
            format!("--operation Read --group {group}"),
        ),
        ErrorCode::ClusterAuthorizationFailed => (
            "the cluster".to_owned(),
            "--operation Describe --operation DescribeConfigs --cluster".to_owned(),
        ),
        _ => return None,
    };
    Some(Finding::new(
        format!("an ACL keeps {} from {what} ({code:?})", who(cluster)),
        format!("Allow it: {}", command(cluster, &allow)),
    ))
}

/// What is allowed to this process, as Kafka's command takes it.
fn command(cluster: &Cluster, allow: &str) -> String {
    format!(
        "bin/kafka-acls.sh --bootstrap-server {} --add --allow-principal {} {allow}",
        cluster.joined(),
        principal(cluster)
    )
}

/// Whom the brokers take us for.
fn principal(cluster: &Cluster) -> String {
    let security = cluster.security();
    let has_certificate = security
        .tls
        .as_ref()
        .is_some_and(|tls| tls.client.is_some());
    match &security.sasl {
        Some(sasl) => format!("User:{}", sasl.username),
        None if has_certificate => "'User:SUBJECT OF THE CERTIFICATE'".into(),
        None => "User:ANONYMOUS".into(),
    }
}

fn who(cluster: &Cluster) -> String {
    match principal(cluster) {
        subject if subject.starts_with('\'') => "this client certificate".into(),
        name => name,
    }
}
