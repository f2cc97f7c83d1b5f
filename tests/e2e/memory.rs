//! What job holds in memory while some of its messages are stuck.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::comet::{Answer, Comet};
use crate::support::kafka::{Version, shared};
use crate::support::messages::{assert_each_once_in_order, over_rooms};
use crate::support::topic::Topic;

/// So few rooms that each fetch brings a message for the slow one.
const ROOMS: usize = 20;
const MESSAGES: usize = 3_000;

/// Bytes of each record that no Comet is sent, so that few calls read much: 150 MB in all.
const PADDING: usize = 50_000;

/// More than job takes by itself and may keep of what it read, in MiB. It is far below what is read.
const MOST: u64 = 100;

/// Most of what is read is delivered at once. What is behind in one room keeps none of that in memory.
#[test]
fn a_slow_room_keeps_only_its_own_messages() {
    let mut topic = Topic::new(shared(Version::V3_9_1), 1);
    let padding = "x".repeat(PADDING);
    topic.produce(over_rooms(ROOMS, 0, MESSAGES).map(|mut message| {
        message.server.clone_from(&padding);
        message
    }));
    for fetch in ["classic", "modern"] {
        topic.group = format!("{}-{fetch}", topic.name);
        let comet = Comet::start();
        let is_well = Arc::new(AtomicBool::new(false));
        let gets_well = Arc::clone(&is_well);
        comet.answer(
            move |call| match call.room == "room-0" && !is_well.load(Ordering::Relaxed) {
                true => Answer::OkAfter(Duration::from_secs(3)),
                false => Answer::Ok,
            },
        );
        let job = topic.job(&[&comet]).flag("--fetch", fetch);
        let mut job = job.log_level("WARN").start();
        comet.await_delivered(MESSAGES - MESSAGES / ROOMS);
        let resident = job.resident() >> 20;
        assert!(resident < MOST, "{resident} MiB are resident with {fetch}");

        gets_well.store(true, Ordering::Relaxed);
        topic.await_no_lag();
        job.stop();
        assert_each_once_in_order(&comet.delivered(), ROOMS, MESSAGES);
    }
}
