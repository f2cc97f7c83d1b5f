//! What Kafka refuses a member for good, and what to do about it.

use krafka::error::{ErrorCode, KrafkaError};

use crate::settings::Config;

/// What to do where Kafka knows another process under this member's name; `None` where the error is another one.
pub fn fenced(error: &KrafkaError, config: &Config, name: &str) -> Option<String> {
    let KrafkaError::Broker {
        code: ErrorCode::FencedInstanceId,
        ..
    } = error
    else {
        return None;
    };
    Some(format!(
        "Another process is in group {} with the same --group-instance-id {name:?}: each needs its own",
        config.group,
    ))
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
        _ => None,
    }
}
