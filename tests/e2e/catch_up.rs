//! A Comet that is away while others deliver gets all that it missed, in order, whatever becomes of job meanwhile. The others
//! don't wait for it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chatroom_job::message::offset_map;

use crate::rebalance::await_members;
use crate::send_check::check;
use crate::support::comet::{Answer, Comet};
use crate::support::job::{Job, JobCommand};
use crate::support::kafka::{Version, shared};
use crate::support::stream::{Mixed, Stream};
use crate::support::topic::Topic;
use crate::support::{await_until, is};

const WORKERS: usize = 2;
const WINDOW: usize = 8;
/// Calls that a job has in flight at one Comet at most.
pub(crate) const IN_FLIGHT: usize = WORKERS * WINDOW;

/// Of a call.
pub(crate) const DEADLINE: &str = "2s";

/// Messages a second.
const RATE: usize = 300;
/// How long a Comet is away, at least.
const AWAY: Duration = Duration::from_secs(8);

pub(crate) fn topic() -> Topic<'static> {
    Topic::new(shared(Version::V3_9_1), 4)
}

/// A job that takes a name, so that Kafka doesn't wait for the one before it.
pub(crate) fn job(topic: &Topic<'_>, comets: &[&Comet]) -> JobCommand {
    nameless(topic, comets).flag("--group-instance-id", "one")
}

fn nameless(topic: &Topic<'_>, comets: &[&Comet]) -> JobCommand {
    with_deadline(topic, comets, DEADLINE)
}

/// A job whose calls may take so long.
pub(crate) fn with_deadline(topic: &Topic<'_>, comets: &[&Comet], deadline: &str) -> JobCommand {
    topic
        .job(comets)
        .flag("--threads", &WORKERS.to_string())
        .flag("--window", &WINDOW.to_string())
        .flag("--call-timeout", deadline)
        .log_level("INFO")
}

pub(crate) fn await_detached(job: &mut Job, comet: &Comet) {
    job.await_line(&["ERROR", &comet.address(), "it is detached"]);
}

pub(crate) fn await_caught_up(job: &mut Job, comet: &Comet) {
    job.await_line(&["INFO", &comet.address(), "has caught up"]);
}

/// How many offsets each Comet misses, as the group's commits say.
pub(crate) fn missing(topic: &Topic<'_>) -> BTreeMap<String, u64> {
    let mut missing = BTreeMap::new();
    for commit in topic.kafka.committed(&topic.group, &topic.name).values() {
        let (Some(offset), Some(map)) = (commit.offset, &commit.metadata) else {
            continue;
        };
        let map = offset_map::decode(offset, map).expect("a map of job's");
        for (comet, missed) in map.missing {
            *missing.entry(comet).or_default() += missed.count();
        }
    }
    missing
}

/// Waits until the commits say that the Comet misses this many records, or more.
pub(crate) fn await_missing(topic: &Topic<'_>, comet: &Comet, least: u64) {
    await_until(
        "a commit that says what the Comet misses",
        || match missing(topic).get(&comet.address()) {
            Some(count) if *count >= least => Ok(()),
            other => Err(format!("{other:?}")),
        },
    );
}

/// Waits until all is committed, and nobody misses anything.
pub(crate) fn await_nothing_missing(topic: &Topic<'_>) {
    topic.await_no_lag();
    await_until("commits without missing records", || {
        is(missing(topic), BTreeMap::new())
    });
    assert_eq!(topic.dead_letters(), 0);
}

/// A stream to two Comets, one of which goes away.
struct Scene {
    topic: Topic<'static>,
    stays: Comet,
    goes: Comet,
    stream: Stream,
}

impl Scene {
    /// Starts all, and waits until the one that went is detached.
    fn start(named: bool) -> (Scene, Job) {
        let topic = topic();
        let (stays, goes) = (Comet::start(), Comet::start());
        let start = if named { job } else { nameless };
        let mut job = start(&topic, &[&stays, &goes]).start();
        let stream = Stream::start(&topic, Mixed::new(&[&stays, &goes]), RATE);
        goes.await_delivered(RATE);
        goes.stop();
        await_detached(&mut job, &goes);
        let scene = Scene {
            topic,
            stays,
            goes,
            stream,
        };
        (scene, job)
    }

    /// The one that stays gets what is written while the other one is away.
    fn goes_on_for(&self, time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            self.stream.await_up_to_now(&self.stays);
        }
    }

    /// A restart under the same name.
    fn restart(&self) -> Job {
        job(&self.topic, &[&self.stays, &self.goes]).start()
    }

    /// Ends the stream, and waits until both have all. Returns how often each got one again.
    fn end(self, jobs: &mut [Job]) -> [usize; 2] {
        self.stream.await_up_to_now(&self.goes);
        let sent = self.stream.stop();
        self.stays.await_delivered(sent.due(&self.stays));
        await_nothing_missing(&self.topic);
        for job in jobs {
            job.stop();
        }
        [&self.stays, &self.goes].map(|comet| sent.assert_all_in_order(comet))
    }
}

/// The calls that were cut may come again, and no others.
#[track_caller]
fn assert_only_cut_ones_came_again([stays, goes]: [usize; 2], cuts: usize) {
    assert_eq!(stays, 0, "came again at the Comet that was there all along");
    assert!(
        goes <= cuts * IN_FLIGHT,
        "{goes} came again at the Comet that was away"
    );
}

/// After a kill, what was delivered after the last commit comes again.
#[track_caller]
fn assert_few_came_again([stays, goes]: [usize; 2]) {
    assert!(
        stays < 10 * RATE,
        "{stays} came again at the one that stays"
    );
    assert!(goes < 10 * RATE, "{goes} came again at the other one");
}

#[test]
fn one_that_is_away_catches_up_and_the_other_does_not_wait() {
    let (scene, mut job) = Scene::start(true);
    scene.goes_on_for(AWAY);
    assert!(missing(&scene.topic).contains_key(&scene.goes.address()));
    scene.goes.start_again();
    job.await_line(&["WARN", &scene.goes.address(), "it catches up on"]);
    await_caught_up(&mut job, &scene.goes);
    assert_only_cut_ones_came_again(scene.end(&mut [job]), 1);
}

#[test]
fn job_is_killed_while_one_is_away() {
    let (scene, mut job) = Scene::start(true);
    scene.goes_on_for(AWAY / 2);
    await_missing(&scene.topic, &scene.goes, 1);
    job.kill();
    scene.stays.forget_in_flight();
    let mut job = scene.restart();
    await_detached(&mut job, &scene.goes);
    scene.goes_on_for(AWAY / 2);
    scene.goes.start_again();
    await_caught_up(&mut job, &scene.goes);
    assert_few_came_again(scene.end(&mut [job]));
}

#[test]
fn job_is_killed_and_the_comet_is_back_before_it() {
    let (scene, mut job) = Scene::start(true);
    scene.goes_on_for(AWAY / 2);
    await_missing(&scene.topic, &scene.goes, 1);
    job.kill();
    scene.stays.forget_in_flight();
    scene.goes.start_again();
    let job = scene.restart();
    assert_few_came_again(scene.end(&mut [job]));
}

#[test]
fn job_is_stopped_while_one_is_away() {
    let (scene, mut job) = Scene::start(true);
    scene.goes_on_for(AWAY / 2);
    job.stop();
    let said = job.lines_with(&["WARN", &scene.goes.address(), "is still behind by"]);
    assert_eq!(said.len(), 1, "{:#?}", job.log());
    assert_check_names(&scene);
    let mut job = scene.restart();
    await_detached(&mut job, &scene.goes);
    scene.goes_on_for(AWAY / 2);
    scene.goes.start_again();
    await_caught_up(&mut job, &scene.goes);
    assert_only_cut_ones_came_again(scene.end(&mut [job]), 1);
}

/// `job check` says what the Comet misses: the group's LAG doesn't.
fn assert_check_names(scene: &Scene) {
    let Scene { topic, goes, .. } = scene;
    let count = missing(topic)[&goes.address()];
    let says = format!(
        "! Comet {}: misses up to {count} messages of ",
        goes.address()
    );
    let ended = check(topic, &goes.address());
    assert!(ended.out.contains(&says), "{says}: {}", ended.out);
}

#[test]
fn another_job_joins_while_one_is_away() {
    let (scene, first) = Scene::start(false);
    scene.goes_on_for(AWAY / 2);
    let second = nameless(&scene.topic, &[&scene.stays, &scene.goes]).start();
    await_members(&scene.topic, 2);
    scene.goes_on_for(AWAY / 2);
    scene.goes.start_again();
    assert_only_cut_ones_came_again(scene.end(&mut [first, second]), 1);
}

/// The first one gives half of the partitions away while what was missed is read again.
#[test]
fn another_job_joins_while_one_catches_up() {
    let (scene, mut first) = Scene::start(false);
    scene.goes_on_for(AWAY / 2);
    // So slow that it catches up for as long as a rebalance takes.
    scene
        .goes
        .answer(|_| Answer::OkAfter(Duration::from_millis(100)));
    let before = scene.goes.count();
    scene.goes.start_again();
    first.await_line(&["WARN", &scene.goes.address(), "it catches up on"]);
    scene.goes.await_delivered(before + 5);
    let second = nameless(&scene.topic, &[&scene.stays, &scene.goes]).start();
    await_members(&scene.topic, 2);
    scene.goes.answer(|_| Answer::Ok);
    // Calls are cut when the Comet goes, and what is read again and in flight at the rebalance may go again.
    assert_only_cut_ones_came_again(scene.end(&mut [first, second]), 2);
}

/// One that hangs each call, and a kill in the middle.
#[test]
fn job_is_killed_while_one_hangs() {
    const RATE: usize = 1_000;
    let topic = topic();
    let (lives, hangs) = (Comet::start(), Comet::start());
    let comets = [&lives, &hangs];
    let mut first = job(&topic, &comets).start();
    let stream = Stream::start(&topic, Mixed::new(&comets), RATE);
    hangs.await_delivered(RATE);
    hangs.answer(|_| Answer::Hang);
    await_detached(&mut first, &hangs);
    stream.await_up_to_now(&lives);
    await_missing(&topic, &hangs, RATE as u64);
    first.kill();
    for comet in comets {
        comet.forget_in_flight();
    }
    let mut second = job(&topic, &comets).start();
    await_detached(&mut second, &hangs);
    stream.await_up_to_now(&lives);
    hangs.answer(|_| Answer::Ok);
    // On a slow machine it would never catch up with this rate.
    let sent = stream.stop();
    await_caught_up(&mut second, &hangs);
    for comet in comets {
        comet.await_delivered(sent.due(comet));
    }
    await_nothing_missing(&topic);
    second.stop();
    let [again, again_there] = comets.map(|comet| sent.assert_all_in_order(comet));
    assert!(again < 3 * RATE, "{again} came again at the one that lives");
    assert!(
        again_there < 3 * RATE,
        "{again_there} came again at the one that hung"
    );
}
