//! `scripts/bench`: how fast job is, beside what the gRPC library does alone.

mod beside;
mod cases;
mod comet;
mod drain;
mod frame;
mod kafka;
mod limit;
mod load;
mod machine;
mod one_by_one;
mod plot;
mod process;
mod quick;
mod report;
mod results;
mod stage;
mod targets;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

use cases::{CASES, Case, Outcome, When};
use results::{About, CaseResult, Results, Row};
use stage::{Scale, Stage};

/// Measures job, and writes docs/PERFORMANCE.md with its plots.
#[derive(Parser)]
#[command(name = "scripts/bench", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    /// What to measure; everything but profile, when none is named. Only these cases' results are replaced
    #[arg(value_name = "CASE", value_parser = clap::builder::PossibleValuesParser::new(CASES.map(|case| case.name)))]
    cases: Vec<String>,
    /// List the cases
    #[arg(long)]
    list: bool,
    /// Compare ratios with those recorded, write nothing, and fail where one fell under 90 % of it
    #[arg(long, conflicts_with = "cases")]
    quick: bool,
    /// Measure, show, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Only write the page and the plots anew from what is recorded
    #[arg(long, conflicts_with_all = ["cases", "quick", "dry_run"])]
    pages: bool,
    /// Version of Kafka
    #[arg(long, value_name = "VERSION", global = true, default_value = "3.9.1")]
    kafka: String,
    /// Runs of each row; the curves take 3 at most
    #[arg(long, value_name = "N", global = true, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Messages of a drain
    #[arg(long, value_name = "N", global = true, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1000..=10_000_000))]
    messages: u32,
    /// Messages of the case memory
    #[arg(long, value_name = "N", default_value_t = 5_000_000, value_parser = clap::value_parser!(u32).range(1000..=100_000_000))]
    memory_messages: u32,
    /// How long each run of latency and idle takes, in seconds
    #[arg(long, value_name = "N", global = true, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// How long the producer of latency waits for more messages of a batch, in milliseconds. Librdkafka's default, which
    /// most Logics will have, is 5
    #[arg(long, value_name = "N", global = true, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=1000))]
    linger_ms: u32,
}

#[derive(Subcommand)]
enum Part {
    /// Drain with several jobs, in turns, and show which is faster; for a change and what was before it
    Beside(beside::Asked),
    // The processes that the benchmark starts of itself.
    #[command(hide = true)]
    CheapComet {
        count: usize,
        certificate: Option<PathBuf>,
    },
    #[command(hide = true)]
    RawLimit(limit::Asked),
    #[command(hide = true)]
    OneByOne(one_by_one::Asked),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match &cli.part {
        Some(Part::CheapComet { count, certificate }) => {
            comet::serve(*count, certificate.as_deref()).map(|()| true)
        }
        Some(Part::RawLimit(asked)) => limit::serve(asked).map(|()| true),
        Some(Part::OneByOne(asked)) => one_by_one::serve(asked).map(|()| true),
        Some(Part::Beside(asked)) => beside(&cli, asked),
        None => bench(&cli),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nbench: error: {error}");
            ExitCode::from(2)
        }
    }
}

fn scale(cli: &Cli) -> Scale {
    Scale {
        rounds: cli.rounds as usize,
        messages: cli.messages as usize,
        memory_messages: cli.memory_messages as usize,
        seconds: f64::from(cli.seconds),
        linger: Duration::from_millis(cli.linger_ms.into()),
    }
}

fn beside(cli: &Cli, asked: &beside::Asked) -> Result<bool, String> {
    let mut stage = Stage::new(scale(cli), &cli.kafka)?;
    stage.warm_up()?;
    let rows = beside::measure(&mut stage, asked)?;
    stage.drop_topics()?;
    show("beside each other", &rows);
    Ok(true)
}

/// Returns whether all is as it should be.
fn bench(cli: &Cli) -> Result<bool, String> {
    if cli.list {
        for case in &CASES {
            println!("{:<15} {}", case.name, case.about);
        }
        return Ok(true);
    }
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let file = docs.join("performance/results.json");
    let mut results = Results::read(&file)?;
    if cli.pages {
        return write(&docs, &results).map(|()| true);
    }
    let wanted: Vec<&Case> = CASES
        .iter()
        .filter(|case| match cli.quick {
            true => case.when == When::Quick,
            false if cli.cases.is_empty() => case.when != When::Named,
            // Both say where a message's microseconds go.
            false if case.name == "threads" && cli.cases.iter().any(|name| name == "profile") => {
                true
            }
            false => cli.cases.iter().any(|name| name == case.name),
        })
        .collect();
    if cli.quick && !wanted.iter().any(|case| results.case(case.name).is_some()) {
        return Err(format!(
            "{} holds nothing to compare with: run scripts/bench first",
            file.display()
        ));
    }
    let mut scale = scale(cli);
    if cli.quick {
        scale.rounds = scale.rounds.min(3);
    }
    let begin = Instant::now();
    let about = machine::about(&cli.kafka)?;
    let mut stage = Stage::new(scale, &cli.kafka)?;
    stage.warm_up()?;
    let mut fine = true;
    for case in wanted {
        let Some(result) = measure(&mut stage, case, &about)? else {
            continue;
        };
        if cli.quick {
            fine &= keeps(&mut stage, case, &results, result)?;
            continue;
        }
        show(&result.case, &result.rows);
        if !cli.dry_run {
            results.put(result, &CASES.map(|case| case.name));
            results.write(&file)?;
            write(&docs, &results)?;
        }
    }
    eprintln!("bench: done in {:.0} s", begin.elapsed().as_secs_f64());
    Ok(fine)
}

fn measure(stage: &mut Stage, case: &Case, about: &About) -> Result<Option<CaseResult>, String> {
    let outcome = (case.run)(stage).map_err(|e| format!("{}: {e}", case.name))?;
    stage.drop_topics()?;
    match outcome {
        Outcome::Rows(rows) => Ok(Some(CaseResult {
            case: case.name.to_owned(),
            about: about.clone(),
            rows,
        })),
        Outcome::Skipped(why) => {
            stage.doing(format!("{} is skipped: {why}\n", case.name));
            Ok(None)
        }
    }
}

/// Whether a case's ratios are what they were. What fell is measured once more: a machine has its moments.
fn keeps(
    stage: &mut Stage,
    case: &Case,
    recorded: &Results,
    first: CaseResult,
) -> Result<bool, String> {
    let mut compared = quick::compare(recorded, &first);
    if compared.iter().any(|one| !one.kept)
        && let Some(again) = measure(stage, case, &first.about)?
    {
        for (one, again) in compared.iter_mut().zip(quick::compare(recorded, &again)) {
            if !one.kept {
                *one = again;
            }
        }
    }
    stage.doing(format!("{} is measured\n", case.name));
    if compared.is_empty() {
        println!("– {}: nothing is recorded to compare with", case.name);
    }
    for one in &compared {
        println!(
            "{} {}",
            if one.kept {
                "✓"
            } else {
                "✗ fell under 90 %:"
            },
            one.line
        );
    }
    Ok(compared.iter().all(|one| one.kept))
}

fn show(title: &str, rows: &[Row]) {
    eprint!("\r\x1b[K");
    println!("{title}");
    for row in rows {
        println!("  {}", row.name);
        for figure in &row.figures {
            let [median, min, max] =
                [figure.spread.median, figure.spread.min, figure.spread.max].map(report::number);
            println!("    {:<30} {median:>12}  ({min} – {max})", figure.name);
        }
    }
}

fn write(docs: &Path, results: &Results) -> Result<(), String> {
    plot::draw(&docs.join("performance"), results)?;
    report::write(&docs.join("PERFORMANCE.md"), results)
}
