//! The real cores of consumer, worker and group in virtual time, with a made-up Kafka and made-up Comets, from one seed.
//!
//! A life is some minutes of chat with faults, and then everything heals. The [`judge`] knows the promises and watches
//! each step. Nothing here knows a thread, a socket or the clock, so the same seed gives the same life.
//!
//! `SIM_SEED=7 cargo test --lib simulation -- --nocapture` lives one life again, and `SIM_STORY=1` beside it tells all that happens. `SIM_SECONDS=600` looks at new seeds for so
//! long.

mod comet;
mod consumer;
mod faults;
mod figures;
mod fleet;
mod group;
mod heard;
mod job;
mod judge;
mod kafka;
mod operator;
mod plan;
mod records;
mod rooms;
mod tries;
mod worker;
mod world;

use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use figures::Figures;
use plan::{Fault, Plan};
use world::World;

/// Seeds that found something once.
const FAILED_ONCE: &[u64] = &[3866, 42000498, 71701090, 82301023, 84402611];

/// A search ends after so many broken lives.
const ENOUGH: usize = 5;

/// Where `SIM_SECONDS` says nothing.
const SECONDS: u64 = 10;

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is a whole number, not {value:?}")),
    )
}

/// Lives through a plan. Returns what it was like, or which promise was broken: job never panics.
fn live(plan: &Plan) -> Result<Figures, String> {
    catch_unwind(|| World::new(plan, false).run()).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("it panicked: {}", text.unwrap_or("?")))
    })
}

/// Leaves out faults for as long as the life still ends badly, and tells what is left.
fn story(plan: &Plan, broken: String) -> String {
    let (mut plan, mut broken) = (plan.clone(), broken);
    let mut n = 0;
    while n < plan.faults.len() {
        let mut without = plan.clone();
        without.faults.remove(n);
        match live(&without) {
            Err(still) => (plan, broken) = (without, still),
            Ok(_) => n += 1,
        }
    }
    if std::env::var_os("SIM_STORY").is_some() {
        let _ = World::new(&plan, true).run();
    }
    let faults: Vec<_> = plan.faults.iter().map(Fault::to_string).collect();
    format!(
        "seed {}: {plan}\n{}\n{broken}\nSIM_SEED={} cargo test --lib simulation -- --nocapture",
        plan.seed,
        faults.join("\n"),
        plan.seed
    )
}

#[test]
fn the_promises_hold_in_lives_from_many_seeds() {
    if let Some(seed) = number("SIM_SEED") {
        let plan = Plan::new(seed);
        let end = live(&plan);
        println!("{end:?}");
        if let Err(broken) = end {
            panic!("{}", story(&plan, broken));
        }
        return;
    }
    let begun = Instant::now();
    let limit = Duration::from_secs(number("SIM_SECONDS").unwrap_or(SECONDS));
    let mut total = Figures::default();
    let mut broken = Vec::new();
    let first = number("SIM_FIRST").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let fresh = (first..).take_while(|_| begun.elapsed() < limit);
    for seed in FAILED_ONCE.iter().copied().chain(fresh) {
        let plan = Plan::new(seed);
        match live(&plan) {
            Ok(figures) => total.add(&figures),
            Err(why) => {
                broken.push(story(&plan, why));
                if broken.len() == ENOUGH {
                    break;
                }
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "simulation: seeds from {first}: {total}; promises broken in {} lives; {:.0} minutes a second",
        broken.len(),
        total.minutes() / seconds
    );
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
}

#[test]
fn the_same_seed_gives_the_same_life() {
    let plan = Plan::new(1);
    assert_eq!(format!("{:?}", live(&plan)), format!("{:?}", live(&plan)));
}
