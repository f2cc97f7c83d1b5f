//! One broker after the other is restarted while messages flow.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::ROOMS;
use crate::support::comet::Comet;
use crate::support::kafka::Version;
use crate::support::kafka::three::{BROKERS, Over, three};
use crate::support::messages::{assert_each_once_in_order, over_rooms, record};
use crate::support::{await_until, is};

/// Messages a second.
const RATE: u32 = 400;

fn a_rolling_restart(version: Version, over: Over, fetch: &str) {
    let three = three(version);
    let topic = three.topic(6);
    let comet = Comet::start();
    let start = || {
        let job = three.job(&topic, over, &comet);
        job.flag("--fetch", fetch).start()
    };
    let mut jobs = [start(), start()];
    await_until("both members", || {
        is(three.kafka.members(&topic.group).len(), 2)
    });
    let stop = AtomicBool::new(false);
    let written = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut messages = over_rooms(ROOMS, 0, usize::MAX);
            three.kafka.produce_at(RATE, || {
                let message = messages.next().filter(|_| !stop.load(Ordering::Relaxed));
                message.map(|message| record(&topic.name, &message))
            })
        });
        comet.await_delivered(RATE as usize);
        for broker in BROKERS {
            three.stop(broker);
            three.again(broker);
            three.await_in_sync(&topic.name);
            // Something comes after each of them.
            comet.await_delivered(comet.count() + RATE as usize);
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().expect("all is written")
    });
    comet.await_delivered(written);
    topic.await_no_lag();
    assert_eq!(three.kafka.members(&topic.group).len(), 2);
    jobs.iter_mut().for_each(|job| job.stop());
    assert_each_once_in_order(&comet.calls(), ROOMS, written);
}

#[test]
fn a_rolling_restart_on_4_3_1() {
    a_rolling_restart(Version::V4_3_1, Over::SaslSsl, "auto");
}

#[test]
fn a_rolling_restart_with_classic_on_3_9_1() {
    a_rolling_restart(Version::V3_9_1, Over::Plain, "classic");
}
