//! `scripts/torture`: breaks everything on purpose while messages flow, and judges what arrived.

mod children;
mod cluster;
mod corrupt;
mod dead_addresses;
mod director;
mod fleet;
mod kafka;
mod plan;
mod producer;
mod proxy;
mod record;
mod screen;
mod settings;
mod setup;
mod streams;
mod timeline;
mod verdict;
mod watch;

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use director::Director;
use kafka::TOPIC;
use proxy::Peers;
use screen::Screen;
use settings::Settings;
use setup::set_up;
use streams::Streams;
use timeline::now;
use tokio::runtime::Runtime;

/// Set by Ctrl-C and SIGTERM.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// How long all may take to be delivered when nothing is broken any more.
const SETTLE: Duration = Duration::from_secs(180);

/// So many violations of a promise are shown; all are in `verdict.txt`.
const SPELLED_OUT: usize = 8;

fn main() -> ExitCode {
    let settings = Settings::parse();
    let seed = settings.seed.unwrap_or_else(|| fastrand::u64(1..1_000_000));
    if settings.plan {
        for planned in plan::plan(&settings, seed) {
            println!(
                "{:8.2} s  {} ({:.1} s)",
                planned.at.as_secs_f64(),
                planned.fault,
                planned.lasts.as_secs_f64()
            );
        }
        return ExitCode::SUCCESS;
    }
    // A thread that is gone would leave a verdict on half of what happened. The children end with the process.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("torture: bug of the campaign itself: {panic}");
        std::process::exit(101);
    }));
    let listening = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Relaxed) {
            std::process::exit(130);
        }
    });
    let outcome = listening
        .map_err(|e| format!("cannot listen for signals: {e}"))
        .and_then(|()| run(&settings, seed));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("torture: {error}");
            ExitCode::from(if INTERRUPTED.load(Relaxed) { 130 } else { 2 })
        }
    }
}

/// Returns whether all promises were kept.
fn run(settings: &Settings, seed: u64) -> Result<bool, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/torture/{seed}"));
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .map_err(|e| format!("{} can't be emptied: {e}", folder.display()))?;
    }
    fs::create_dir_all(&folder).map_err(|e| format!("{} can't be made: {e}", folder.display()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| format!("the campaign's own threads do not start: {e}"))?;
    // It ends with the process: when a campaign breaks off, what is under way still uses it.
    let runtime: &Runtime = Box::leak(Box::new(runtime));
    let _inside = runtime.enter();
    let mut screen = Screen::new();
    screen.say(&format!(
        "torture: seed {seed}, {} min, {} Kafka {}, {} jobs, {} Comets, {} messages/s to {} rooms",
        settings.minutes,
        if settings.cluster {
            "three brokers of"
        } else {
            "one broker of"
        },
        settings.kafka,
        settings.jobs,
        settings.comets,
        settings.rate,
        settings.rooms
    ));
    let streams = Arc::new(Streams::new(
        settings.rooms as usize,
        settings.comets as usize,
        settings.partitions,
    ));
    let peers = Peers::default();
    let mut director = set_up(settings, seed, &folder, runtime, &streams, &peers)?;

    let looks = watch::watch(&director.pages);

    // Faults begin when all is well.
    let begun = director.records.len() as u64;
    wait(
        &mut director,
        &streams,
        &mut screen,
        "starting:",
        Duration::from_secs(90),
        |director| Ok(director.records.iter().filter(|r| r.delivered > 20).count() as u64 == begun),
    )?;
    director.timeline.origin = now();
    director.plan = plan::plan(settings, seed).into();
    let length = Duration::from_secs_f64(settings.minutes * 60.0);
    let start = Instant::now();
    wait(
        &mut director,
        &streams,
        &mut screen,
        "",
        Duration::MAX,
        |director| Ok(start.elapsed() >= length && director.is_whole()),
    )?;
    let quiet = now();
    let client = runtime.block_on(director.kafka.client())?;
    director.producer.ask_to_stop();
    wait(
        &mut director,
        &streams,
        &mut screen,
        "the last acknowledgements:",
        SETTLE,
        |director| Ok(director.producer.is_done()),
    )?;
    let mut asked = Instant::now();
    let mut left = Err("Kafka wasn't asked".into());
    let settled = wait(
        &mut director,
        &streams,
        &mut screen,
        "until all is delivered:",
        SETTLE,
        |_| {
            if asked.elapsed() < Duration::from_secs(1) {
                return Ok(false);
            }
            asked = Instant::now();
            // It can't be asked while the group is busy with itself.
            left = runtime.block_on(kafka::lag(&client));
            let is_none = |left: &BTreeMap<_, _>| left.values().all(|lag| *lag == 0);
            Ok(left
                .as_ref()
                .is_ok_and(|left| !left.is_empty() && is_none(left)))
        },
    );
    let unsettled = match settled {
        Ok(()) => None,
        Err(error) if INTERRUPTED.load(Relaxed) => return Err(error),
        Err(_) => Some(format!(
            "{} s after all was well again, records were not committed, or Comets missed some: {left:?} by partition",
            SETTLE.as_secs()
        )),
    };
    for slot in 0..director.slots.len() {
        director.stop_job(slot, format!("the last stop of job {slot}"), None);
    }
    wait(
        &mut director,
        &streams,
        &mut screen,
        "stopping:",
        Duration::from_secs(60),
        |director| Ok(director.is_whole()),
    )?;
    for (comet, record) in director.comets.iter_mut().zip(&mut director.records) {
        if let Some(mut process) = comet.process.take() {
            process.kill();
        }
        record.catch_up(&streams)?;
    }
    // Else it can't be read here either.
    let corrupt = director.mend_log()?;
    let mut log = Vec::new();
    runtime.block_on(kafka::read(&client, TOPIC, |record| {
        let message = record
            .value
            .as_deref()
            .and_then(|value| streams.decode(value));
        log.push(verdict::Logged {
            partition: record.partition,
            offset: record.offset,
            hash: hash(record.value.as_deref()),
            message,
        });
    }))?;
    let mut letters = Vec::new();
    runtime.block_on(kafka::read(&client, kafka::DEAD_LETTERS, |record| {
        letters.push(record)
    }))?;
    let ledger = &director.producer.ledger;
    let verdict = verdict::judge(&verdict::Evidence {
        streams: &streams,
        timeline: &director.timeline,
        lives: &children::lock(&director.lives),
        records: &director.records,
        peers: &children::lock(&peers),
        acknowledged: &children::lock(&ledger.acknowledged),
        trouble: &children::lock(&ledger.trouble),
        transactions: &children::lock(&ledger.transactions),
        corrupt: &corrupt,
        log: &log,
        letters: &letters,
        misdeeds: &director.misdeeds,
        unsettled,
        quiet,
        sent: ledger.counts.sent.load(Relaxed),
        faults: director.faults,
        looks: &children::lock(&looks),
    });
    let passed = verdict.is_good();
    screen.say(&verdict.text(SPELLED_OUT));
    let report = folder.join("verdict.txt");
    fs::write(&report, verdict.text(usize::MAX))
        .map_err(|e| format!("cannot write {}: {e}", report.display()))?;
    if !passed || settings.keep {
        let story = watch::story(&children::lock(&looks), |time| director.timeline.at(time));
        let _ = fs::write(folder.join("pages.txt"), story);
        // The brokers' own logs go with their folders.
        for of in ["", "1", "2", "3"] {
            let log = director.kafka.folder.join(of).join("kafka.log");
            let _ = fs::copy(log, folder.join(format!("kafka{of}.log")));
        }
        screen.say(&format!("logs and records are in {}", folder.display()));
    }
    drop(director);
    if passed && !settings.keep {
        let _ = fs::remove_dir_all(&folder);
    }
    Ok(passed)
}

/// Tells values apart without keeping them.
fn hash(value: Option<&[u8]>) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Attends to everything until `done`.
fn wait(
    director: &mut Director,
    streams: &Streams,
    screen: &mut Screen,
    phase: &str,
    patience: Duration,
    mut done: impl FnMut(&Director) -> Result<bool, String>,
) -> Result<(), String> {
    let start = Instant::now();
    loop {
        if INTERRUPTED.load(Relaxed) {
            return Err("interrupted: everything is ended".into());
        }
        director.attend(streams)?;
        if done(director)? {
            return Ok(());
        }
        if start.elapsed() > patience {
            return Err(format!(
                "{phase} it took longer than {} s",
                patience.as_secs()
            ));
        }
        let minutes = director.timeline.at(now());
        screen.show(
            director,
            &if phase.is_empty() {
                format!("{minutes}:")
            } else {
                phase.to_owned()
            },
        );
        thread::sleep(Duration::from_millis(20));
    }
}
