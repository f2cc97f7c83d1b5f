//! What a campaign can be asked for.

use clap::Parser;

/// Breaks everything on purpose, at random but repeatably, while messages flow, and judges whether job kept its promises.
///
/// It starts a Kafka, several Comets and several jobs of its own, and ends them all.
#[derive(Clone, Debug, Parser)]
#[command(name = "torture")]
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
    /// Print the faults of the campaign, and run nothing
    #[arg(long)]
    pub plan: bool,
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(minutes) if minutes > 0.0 && minutes <= 1440.0 => Ok(minutes),
        _ => Err("write a number of minutes, such as 10 or 0.5".into()),
    }
}
