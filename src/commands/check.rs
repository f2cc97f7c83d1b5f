//! `job check`: tries everything that the service needs, in the order in which it needs it.

mod comets;
mod group;
mod letters;
mod predecessor;
mod session;

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use crate::base::limits;
use crate::base::text::{counted, escape_first};
use crate::kafka::client::{DescribeClusterOptions, Kafka, KrafkaError};
use crate::kafka::finding::{Finding, find_out};
use crate::kafka::{self, COMMAND_TIMEOUT, Cluster, Operation, Trouble};
use crate::settings::load::Loaded;
use crate::settings::{Config, security};
use comets::Comets;

/// Tries everything, and prints a line for each to standard output. Returns whether all is well.
///
/// # Errors
/// The process can't start a runtime.
pub fn check(loaded: &Loaded) -> Result<bool, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime
        .map_err(|error| format!("cannot start a runtime: {}", limits::explained(&error)))?;
    let stdout = std::io::stdout();
    let colour =
        stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut report = Report {
        out: stdout,
        colour,
        all_well: true,
    };

    let file = loaded
        .file
        .as_ref()
        .map_or("no file".to_owned(), |file| file.display().to_string());
    report.good("configuration", file);
    for line in loaded.lines() {
        report.detail(line);
    }
    // The Comets are asked meanwhile.
    let comets = Comets::ask(&loaded.config)?;
    runtime.block_on(check_kafka(&loaded.config, &mut report));
    comets.report(&mut report);
    Ok(report.all_well)
}

/// The lines, as they are printed.
struct Report<W> {
    out: W,
    colour: bool,
    all_well: bool,
}

impl<W: Write> Report<W> {
    fn good(&mut self, what: impl Display, found: impl Display) {
        self.line("32", "✓", format_args!("{what}: {found}"));
    }

    fn bad(&mut self, what: impl Display, found: impl Display, to_do: impl Display) {
        self.all_well = false;
        self.line("31", "✗", format_args!("{what}: {found}"));
        self.detail(to_do);
    }

    /// A warning: job works, but perhaps not as intended.
    fn uncertain(&mut self, what: impl Display, found: impl Display, to_do: impl Display) {
        self.line("33", "!", format_args!("{what}: {found}"));
        self.detail(to_do);
    }

    /// Not tried, because an earlier try failed.
    fn skipped(&mut self, what: impl Display) {
        self.line(
            "33",
            "–",
            format_args!("{what}: not tried, for what failed above"),
        );
    }

    fn detail(&mut self, text: impl Display) {
        // Nobody may be reading any more: the exit code still tells.
        let _ = writeln!(self.out, "    {text}");
    }

    fn line(&mut self, colour: &str, mark: &str, text: impl Display) {
        let _ = if self.colour {
            writeln!(self.out, "\x1b[{colour}m{mark}\x1b[0m {text}")
        } else {
            writeln!(self.out, "{mark} {text}")
        };
    }
}

async fn check_kafka<W: Write>(config: &Config, report: &mut Report<W>) {
    if config.security.takes_any_name() {
        report.uncertain("TLS", security::ANY_NAME, security::GIVE_A_NAME);
    }
    let each: Vec<Names> = config
        .topics
        .names()
        .map(|topic| Names::of(config, topic))
        .collect();

    // Each address is tried by itself too: the service needs only one of them, and would not notice the others.
    let cluster = Cluster::of(config);
    let (reached, tried) = tokio::join!(reach(&cluster), find_out(&cluster));
    let (kafka, brokers) = match reached {
        Ok(reached) => reached,
        Err(Trouble {
            brokers,
            cause,
            advice,
        }) => {
            let wrong: Vec<_> = tried
                .into_iter()
                .filter_map(|(address, found)| Some((address, found.err()?)))
                .collect();
            if wrong.len() == config.brokers.len() {
                for (address, Finding { cause, advice }) in wrong {
                    report.bad(format_args!("Kafka at {address}"), cause, advice);
                }
            } else {
                report.bad(format_args!("Kafka at {brokers}"), cause, advice);
            }
            for Names {
                topic,
                group,
                dead_letters,
                ..
            } in &each
            {
                [topic, group, dead_letters]
                    .into_iter()
                    .for_each(|what| report.skipped(what));
            }
            return;
        }
    };
    let (good, bad): (Vec<_>, Vec<_>) = tried.into_iter().partition(|(_, found)| found.is_ok());
    let good: Vec<_> = match good.as_slice() {
        // It answers krafka.
        [] => config.brokers.clone(),
        good => good.iter().map(|(address, _)| address.clone()).collect(),
    };
    report.good(
        format_args!("Kafka at {}", good.join(", ")),
        brokers.in_words(),
    );
    for (address, found) in bad {
        if let Err(Finding { cause, advice }) = found {
            report.uncertain(format_args!("Kafka at {address}"), cause, advice);
        }
    }

    for names in &each {
        check_topic(names, &cluster, &kafka, report).await;
    }
    let ids = brokers.0.iter().map(|(id, _)| *id);
    session::check(config, &cluster, &kafka, ids, report).await;
    for names in &each {
        letters::check(names, &cluster, &kafka, report).await;
    }
}

/// A topic with its settings, and what the lines about it begin with.
struct Names {
    config: Config,
    topic: String,
    group: String,
    dead_letters: String,
}

impl Names {
    fn of(config: &Config, topic: &str) -> Names {
        let of = config.of_topic(topic);
        let group = match config.topics.are_several() {
            true => format!("group {} in topic {topic}", config.group),
            false => format!("group {}", config.group),
        };
        Names {
            topic: format!("topic {topic}"),
            group,
            dead_letters: format!("dead-letter topic {}", of.dead_letter_topic()),
            config: of,
        }
    }
}

async fn check_topic<W: Write>(
    Names {
        config,
        topic,
        group,
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
    match kafka::partitions_for(Operation::Read, kafka, config.topics.first()).await {
        Ok(Some(partitions)) => {
            report.good(topic, counted(partitions as u64, "partition"));
            match group::lag(config, cluster, kafka, partitions).await {
                Ok(Ok(lag)) => {
                    report.good(group, lag.in_words(config.auto_offset_reset));
                    if let Some(line) = lag.uncounted() {
                        report.detail(line);
                    }
                    if let Some(skipped) = lag.skipped() {
                        report.uncertain(
                            group,
                            format_args!("{skipped} would not be sent: they are there already"),
                            "Where they are to be sent, begin earlier: --auto-offset-reset earliest, or by_duration:1h for those of the last \
                             hour",
                        );
                    }
                    if lag.is_new_with_messages()
                        && let Some(other) = predecessor::find(config, kafka, partitions).await
                    {
                        let waiting = lag.waiting();
                        report.uncertain(
                            group,
                            format_args!(
                                "group {} has read this topic, and this one would start with {waiting} of it",
                                escape_first(other.as_bytes(), 200)
                            ),
                            "Does it take over from that group? Then use its name (--group, JOB_GROUP), or begin at new messages \
                             (--auto-offset-reset latest)",
                        );
                    }
                    group::report_missed(config, kafka, partitions, report).await;
                }
                Ok(Err(kind)) => report.bad(
                    group,
                    format!("in use by another kind of client ({kind})"),
                    "Choose another group (--group, JOB_GROUP)",
                ),
                Err(error) => failed(report, group, &error),
            }
        }
        Ok(None) => {
            let command = kafka::create_topic_command(cluster, config.topics.first());
            report.bad(topic, "not there", format!("Make it: {command}"));
            report.skipped(group);
        }
        Err(error) => {
            failed(report, topic, &error);
            report.skipped(group);
        }
    }
}

/// The brokers, as they call themselves: this is where everything after the first contact goes. Id and address; none where
/// not everybody may ask.
#[derive(Default)]
struct Brokers(Vec<(i32, String)>);

impl Brokers {
    fn in_words(&self) -> String {
        let mut brokers: Vec<_> = self.0.iter().map(|(_, at)| at.as_str()).collect();
        brokers.sort();
        match brokers.len() as u64 {
            // What matters is tried next.
            0 => "answers".to_owned(),
            count => format!("{}: {}", counted(count, "broker"), brokers.join(", ")),
        }
    }
}

async fn reach(cluster: &Cluster) -> Result<(Kafka, Brokers), Trouble> {
    let kafka = cluster.connect_for_command("check").await?;
    let options = DescribeClusterOptions::default().timeout(COMMAND_TIMEOUT);
    let brokers = match kafka.admin().describe_cluster(options).await {
        Ok(described) => Brokers(
            described
                .brokers
                .iter()
                .map(|broker| (broker.id, format!("{}:{}", broker.host, broker.port)))
                .collect(),
        ),
        Err(error @ (KrafkaError::Network(_) | KrafkaError::Timeout { .. })) => {
            return Err(Trouble::new(cluster, &error));
        }
        Err(_) => Brokers::default(),
    };
    Ok((kafka, brokers))
}
