//! What a campaign can be asked for.

use clap::Parser;

/// What `--help` says at its end.
const FAULTS: &str = "\
Faults, as --only knows them:
  job-kill            SIGKILL, and started again
  job-stop            SIGTERM, and started again
  job-more            one more for a while
  job-dead-address    SIGTERM, and started again with an address before Kafka's in --brokers that refuses, drops packets,
                      or accepts and is silent
  comet-kill          SIGKILL, and started again
  comet-restart       SIGTERM, and started again
  comet-freeze        SIGSTOP, and SIGCONT later
  comet-hang          takes calls and answers none
  comet-slow          takes its time for each call
  comet-errors        answers some calls, or all, with a gRPC status
  comet-cut           the network between a Comet and one job, or all
  comets-away         all Comets at once, for longer than it takes to be detached; they come back one after the other
  comet-gone          one Comet for up to 3 minutes in one of the ways above, while everything else goes on
  comets-rolling      SIGTERM for one Comet after the other, each started again before the next
  fleet-leave         one Comet, which goes on, is taken out of the list of Comets, and is listed again later
  fleet-replace       one Comet drains, ends with SIGTERM and leaves the list; it is started and listed again later
  kafka-kill          SIGKILL, and started again
  kafka-restart       SIGTERM, and started again
  kafka-freeze        SIGSTOP, and SIGCONT later
  kafka-cut           the network between Kafka and one job, or all
  kafka-corrupt       Kafka is stopped, a byte of a batch that no job has read changes on its disk, and it is started
                      again: the batch is to become a dead letter, or to come as it was where the change goes unnoticed
  partitions-added    the topic gets one or two more, with rooms of their own; at most 8 in a campaign
  transaction-abort   some messages in a transaction that is aborted: none of them may come
  transaction-commit  some messages in a transaction that is committed: all of them are to come
  poison              records that can't be delivered

With --cluster, in the place of kafka-kill, kafka-restart, kafka-freeze and kafka-corrupt:
  broker-kill         SIGKILL for one broker, and started again
  broker-restart      SIGTERM for one broker, and started again
  broker-freeze       SIGSTOP for one broker, and SIGCONT later
  brokers-rolling     SIGTERM for one broker after the other, each started again before the next
  leaders-move        each partition gets another leader
  certificate-expired the certificate that one broker shows to the jobs has expired; it gets a good one later";

/// Breaks everything on purpose, at random but repeatably, while messages flow, and judges whether job kept its promises.
///
/// It starts a Kafka, several Comets and several jobs of its own, and ends them all.
#[derive(Clone, Debug, Parser)]
#[command(name = "torture", after_help = FAULTS)]
pub struct Settings {
    /// How long faults go on
    #[arg(long, default_value = "10", value_parser = minutes)]
    pub minutes: f64,
    /// Which campaign: the same seed gives the same faults at the same times [default: a random one]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Kafka's version
    #[arg(long, value_name = "VERSION", default_value = "3.9.1")]
    pub kafka: String,
    /// How members share the partitions: classic, or consumer (Kafka 4.0 and later)
    #[arg(long, value_name = "PROTOCOL", default_value = "classic", value_parser = ["classic", "consumer"])]
    pub group_protocol: String,
    /// How the jobs call Comets; mixed: some through grpcio, some through lean
    #[arg(long, value_name = "CALLER", default_value = "mixed", value_parser = ["mixed", "grpcio", "lean"])]
    pub caller: String,
    /// Three brokers, which the jobs reach over TLS with SCRAM
    #[arg(long)]
    pub cluster: bool,
    /// Processes in the group; one more comes and goes
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u8).range(1..=8))]
    pub jobs: u8,
    /// Comets
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u8).range(1..=8))]
    pub comets: u8,
    /// Rooms, beside a few users and what is for everybody
    #[arg(long, default_value = "60", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rooms: u32,
    /// Messages a second
    #[arg(long, default_value = "400", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// Partitions of the topic
    #[arg(long, default_value = "6", value_parser = clap::value_parser!(i32).range(1..=64))]
    pub partitions: i32,
    /// Only faults whose name begins with one of these, separated by commas, such as kafka,job-kill
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub only: Vec<String>,
    /// One fault at a time, and all well for so many seconds after each: shows how soon messages flow again
    #[arg(long, value_name = "SECONDS")]
    pub pause: Option<u32>,
    /// Keep the logs and records where all promises were kept, too
    #[arg(long)]
    pub keep: bool,
    /// Print the faults of the campaign, and run nothing
    #[arg(long)]
    pub plan: bool,
}

impl Settings {
    /// Whether faults of this name are to come.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty()
            || self
                .only
                .iter()
                .any(|begin| name.starts_with(begin.as_str()))
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(minutes) if minutes > 0.0 && minutes <= 1440.0 => Ok(minutes),
        _ => Err("write a number of minutes, such as 10 or 0.5".into()),
    }
}
