//! Whether the brokers take a member as it is set: its session timeout, its protocol. A join would tell too, and change the group.

use std::io::Write;
use std::time::Duration;

use super::Report;
use crate::kafka::client::{ConfigResource, DescribeConfigsOptions, Kafka};
use crate::kafka::{COMMAND_TIMEOUT, Cluster, explained, membership};
use crate::settings::{Config, GroupProtocol};

/// The settings of a broker that bound a session, in milliseconds.
const LEAST: &str = "group.min.session.timeout.ms";
const MOST: &str = "group.max.session.timeout.ms";

/// Says so where these brokers don't take it.
pub(super) async fn check<W: Write>(
    config: &Config,
    cluster: &Cluster,
    kafka: &Kafka,
    brokers: impl Iterator<Item = i32>,
    report: &mut Report<W>,
) {
    match config.group_protocol {
        GroupProtocol::Classic => {
            check_timeout(config.session_timeout, cluster, kafka, brokers, report).await;
        }
        GroupProtocol::Consumer => check_protocol(config, cluster, report).await,
    }
}

async fn check_protocol<W: Write>(config: &Config, cluster: &Cluster, report: &mut Report<W>) {
    match membership::serves_consumer_protocol(cluster, &config.group).await {
        Ok(true) => {}
        Ok(false) => report.bad(
            "group-protocol consumer",
            "not served",
            membership::NO_CONSUMER_PROTOCOL,
        ),
        Err(why) => report.detail(format_args!(
            "Whether Kafka serves group-protocol consumer is not known: {why}"
        )),
    }
}

async fn check_timeout<W: Write>(
    timeout: Duration,
    cluster: &Cluster,
    kafka: &Kafka,
    brokers: impl Iterator<Item = i32>,
    report: &mut Report<W>,
) {
    match limits(cluster, kafka, brokers).await {
        Ok((least, most)) if least <= timeout && timeout <= most => {}
        Ok((least, most)) => report.bad(
            format_args!("session-timeout {timeout:?}"),
            format_args!("the broker takes {least:?} to {most:?} ({LEAST}, {MOST})"),
            "Set a time between them (--session-timeout, JOB_SESSION_TIMEOUT), or change the broker's settings",
        ),
        Err(why) => report.detail(format_args!(
            "Whether the broker takes session-timeout {timeout:?} is not known: {why}"
        )),
    }
}

/// The narrowest limits that any of the brokers has, since any may become the group's coordinator.
async fn limits(
    cluster: &Cluster,
    kafka: &Kafka,
    brokers: impl Iterator<Item = i32>,
) -> Result<(Duration, Duration), String> {
    let options = DescribeConfigsOptions::default()
        .timeout(COMMAND_TIMEOUT)
        .config_names(vec![LEAST.into(), MOST.into()]);
    let asked = brokers.map(ConfigResource::broker);
    let described = kafka.admin().describe_configs(asked, options).await;
    let mut limits: Option<(Duration, Duration)> = None;
    let mut why = "no broker says which it takes".to_owned();
    for settings in described
        .map_err(|error| explained(cluster, &error))?
        .into_values()
    {
        let settings = match settings {
            Ok(settings) => settings,
            Err(error) => {
                why = explained(cluster, &error);
                continue;
            }
        };
        let millis = |name| {
            let setting = settings.iter().find(|setting| setting.name == name)?;
            setting
                .config_value()
                .parse()
                .ok()
                .map(Duration::from_millis)
        };
        if let (Some(least), Some(most)) = (millis(LEAST), millis(MOST)) {
            let (l, m) = limits.unwrap_or((least, most));
            limits = Some((least.max(l), most.min(m)));
        }
    }
    limits.ok_or(why)
}
