//! What Kafka refuses a member for good, and what to do about it.

use krafka::error::{ErrorCode, KrafkaError};

use crate::settings::{Config, GroupProtocol};

/// What to do where Kafka doesn't serve the protocol `consumer`.
pub const NO_CONSUMER_PROTOCOL: &str = "This Kafka doesn't serve --group-protocol consumer: Kafka 4.0 and later do. Set \
    --group-protocol classic (JOB_GROUP_PROTOCOL)";

/// What to do where Kafka knows another process under this member's name; `None` where the error is another one.
pub fn fenced(error: &KrafkaError, config: &Config, name: &str) -> Option<String> {
    let is_fenced = matches!(
        error,
        KrafkaError::Broker {
            code: ErrorCode::FencedInstanceId,
            ..
        }
    );
    is_fenced.then(|| format!(
        "Another process is in group {} with the same --group-instance-id {name:?}: each needs its own",
        config.group,
    ))
}

/// What to do where Kafka still has another member of this member's name (KIP-848); `None` where the error is another one.
pub fn name_taken(error: &KrafkaError, config: &Config, name: &str) -> Option<String> {
    let is_taken = matches!(
        error,
        KrafkaError::Fenced { .. }
            | KrafkaError::Broker {
                code: ErrorCode::UnreleasedInstanceId,
                ..
            }
    );
    is_taken.then(|| {
        format!(
            "Group {} has a member with --group-instance-id {name:?}: one that was killed keeps its name until its \
             session ends (group.consumer.session.timeout.ms of the broker, 45 s by default); two that live need one each",
            config.group,
        )
    })
}

/// What to do where trying again won't help; `None` where it may.
pub fn cannot_heal(error: &KrafkaError, config: &Config) -> Option<String> {
    match error {
        KrafkaError::Config { .. } => Some("Check the settings".into()),
        KrafkaError::Broker {
            code: ErrorCode::InvalidSessionTimeout,
            ..
        } => Some(format!(
            "--session-timeout {:?} is outside of what the broker allows (group.min.session.timeout.ms to \
             group.max.session.timeout.ms)",
            config.session_timeout
        )),
        KrafkaError::Broker {
            code: ErrorCode::InvalidGroupId,
            ..
        } => Some(format!("Check --group {:?}", config.group)),
        KrafkaError::Protocol { .. }
            if config.group_protocol == GroupProtocol::Consumer
                && error.to_string().contains("KIP-848") =>
        {
            Some(NO_CONSUMER_PROTOCOL.into())
        }
        KrafkaError::Broker {
            code: ErrorCode::UnsupportedVersion,
            ..
        } if config.group_protocol == GroupProtocol::Consumer => Some(NO_CONSUMER_PROTOCOL.into()),
        _ => None,
    }
}
