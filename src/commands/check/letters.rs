//! The dead-letter topic: whether it is there, what waits in it, and whether its settings suit letters.

use std::collections::HashMap;
use std::io::Write;

use super::{Names, Report};
use crate::base::text::{counted, escape_first};
use crate::commands::dead_letter;
use crate::dead_letter::LARGEST;
use crate::kafka::client::{ConfigResource, DescribeConfigsOptions, Kafka, KrafkaError};
use crate::kafka::{self, COMMAND_TIMEOUT, Cluster, Operation, Trouble, alter_topic_command};

const POLICY: &str = "cleanup.policy";
const BYTES: &str = "max.message.bytes";
const RETENTION: &str = "retention.ms";

/// What a letter's own headers take, in bytes. Its reason may quote a Comet's text.
const HEADERS: u64 = 4 << 10;

pub(super) async fn check<W: Write>(
    Names {
        config,
        dead_letters,
        ..
    }: &Names,
    cluster: &Cluster,
    kafka: &Kafka,
    report: &mut Report<W>,
) {
    let failed = |report: &mut Report<W>, what: &str, error: &KrafkaError| {
        let Trouble { cause, advice, .. } = Trouble::new(cluster, error);
        report.bad(what, cause, advice);
    };
    let letters = config.dead_letter_topic();
    match kafka::partitions_for(Operation::Write, kafka, &letters).await {
        Ok(Some(partitions)) => {
            let partitions = counted(partitions as u64, "partition");
            match dead_letter::count_waiting(config).await {
                Ok(waiting) => {
                    report.good(dead_letters, format_args!("{partitions}; {waiting}"));
                }
                // The service only writes there.
                Err(error) => {
                    report.good(
                        dead_letters,
                        format_args!("{partitions}; its letters can't be counted"),
                    );
                    report.detail(error);
                }
            }
            let topic = config.topics.first();
            let settings = settings(kafka, [&letters, topic]).await;
            let [of_letters, of_topic] = [&letters, topic].map(|name| settings.get(name));
            if let Some(of_letters) = of_letters {
                for Unsuitable { what, setting } in unsuitable(of_letters, of_topic) {
                    let command = alter_topic_command(cluster, &letters, &setting);
                    report.uncertain(dead_letters, what, format_args!("Set it: {command}"));
                }
            }
        }
        Ok(None) => report.good(
            dead_letters,
            "not there; it is made when the first message needs it",
        ),
        Err(error) => failed(report, dead_letters, &error),
    }
}

/// A topic's settings, by name.
type Settings = HashMap<String, String>;

/// The settings of topics. Where this user may not ask, there are none: the service doesn't need them.
async fn settings(kafka: &Kafka, topics: [&str; 2]) -> HashMap<String, Settings> {
    let options = DescribeConfigsOptions::default()
        .timeout(COMMAND_TIMEOUT)
        .config_names([POLICY, BYTES, RETENTION].map(String::from).into());
    let mut all = HashMap::new();
    // One by one: one that may not be asked is left out.
    for topic in topics {
        let asked = [ConfigResource::topic(topic)];
        let described = kafka.admin().describe_configs(asked, options.clone()).await;
        match described.map(|described| described.into_values().next()) {
            Ok(Some(Ok(settings))) => {
                let of = settings.into_iter();
                let of = of.filter_map(|setting| Some((setting.name, setting.value?)));
                all.insert(topic.to_owned(), of.collect());
            }
            Ok(Some(Err(error))) | Err(error) => {
                log::debug!("the settings of topic {topic} are not known: {error}");
            }
            Ok(None) => {}
        }
    }
    all
}

/// A setting that letters don't fit.
#[derive(Debug, PartialEq)]
struct Unsuitable {
    what: String,
    /// What to set instead.
    setting: String,
}

fn unsuitable(letters: &Settings, topic: Option<&Settings>) -> Vec<Unsuitable> {
    let mut found = Vec::new();
    let policy = letters.get(POLICY).map_or("", String::as_str);
    if policy.split(',').any(|part| part.trim() == "compact") {
        let policy = escape_first(policy.as_bytes(), 80);
        found.push(Unsuitable {
            what: format!(
                "its {POLICY} is {policy}: it refuses messages without a key, and of several with one key Kafka keeps the last alone"
            ),
            setting: format!("{POLICY}=delete"),
        });
    }
    let number = |of: &Settings, name| of.get(name)?.parse::<i64>().ok();
    let bytes = |of| number(of, BYTES).and_then(|bytes| u64::try_from(bytes).ok());
    if let (Some(takes), Some(of_topic)) = (bytes(letters), topic.and_then(bytes))
        && takes < of_topic.saturating_add(HEADERS).min(LARGEST as u64)
    {
        found.push(Unsuitable {
            what: format!(
                "its {BYTES} is {takes}, and that of the topic {of_topic}: a large message would not fit with the headers that say why, and \
                 hold up its partition's commits"
            ),
            setting: format!("{BYTES}={LARGEST}"),
        });
    }
    let deletes = policy.split(',').any(|part| part.trim() == "delete");
    if let Some(retention) =
        number(letters, RETENTION).filter(|retention| deletes && *retention >= 0)
    {
        let hours = retention / 3_600_000;
        let lasts = match hours {
            0..48 => format!("{hours} h"),
            _ => format!("{} days", hours / 24),
        };
        found.push(Unsuitable {
            what: format!(
                "its {RETENTION} is {retention}: what nobody decides on within {lasts} is lost"
            ),
            setting: format!("{RETENTION}=-1"),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings<const N: usize>(of: [(&str, &str); N]) -> Settings {
        let of = of.map(|(name, value)| (name.to_owned(), value.to_owned()));
        of.into()
    }

    fn found(letters: &Settings, topic: Option<&Settings>) -> Vec<String> {
        let found = unsuitable(letters, topic).into_iter();
        found.map(|one| one.setting).collect()
    }

    #[test]
    fn what_job_makes_suits() {
        let largest = LARGEST.to_string();
        let made = settings([(POLICY, "delete"), (BYTES, &largest), (RETENTION, "-1")]);
        let huge = settings([(BYTES, "200000000")]);
        assert_eq!(unsuitable(&made, Some(&huge)), []);
        assert_eq!(unsuitable(&made, None), []);
        // Nothing is known.
        assert_eq!(unsuitable(&settings([]), Some(&huge)), []);
    }

    #[test]
    fn what_loses_letters_or_takes_none_is_named() {
        let usual = settings([(BYTES, "1048588")]);
        let compacted = settings([(POLICY, "compact"), (BYTES, "67108864")]);
        assert_eq!(found(&compacted, Some(&usual)), ["cleanup.policy=delete"]);
        let both = settings([(POLICY, "compact,delete"), (RETENTION, "604800000")]);
        assert_eq!(
            found(&both, None),
            ["cleanup.policy=delete", "retention.ms=-1"]
        );
        let brokers = settings([(POLICY, "delete"), (BYTES, "1048588"), (RETENTION, "-1")]);
        assert_eq!(
            found(&brokers, Some(&usual)),
            ["max.message.bytes=67108864"]
        );
        assert_eq!(found(&brokers, None), [""; 0]);
    }

    #[test]
    fn how_long_letters_last() {
        let what = |retention: &str| {
            let letters = settings([(POLICY, "delete"), (RETENTION, retention)]);
            unsuitable(&letters, None).remove(0).what
        };
        assert!(what("604800000").ends_with("within 7 days is lost"));
        assert!(what("7200000").ends_with("within 2 h is lost"));
    }
}
