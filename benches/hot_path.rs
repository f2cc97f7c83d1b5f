//! What a message costs on its way through job, without Kafka and Comet: `cargo bench`.
//!
//! Each figure is for a batch of [`BATCH`] messages; criterion shows what changed since the run before.

use std::collections::BTreeMap;

use bytes::Bytes;
use chatroom_job::consumer::decode::decode;
use chatroom_job::consumer::dispatch::worker_of;
use chatroom_job::consumer::route::Router;
use chatroom_job::group::ledger::Ledger;
use chatroom_job::message::Dialect;
use chatroom_job::message::call::Call;
use chatroom_job::message::proto::push::PushMsg;
use chatroom_job::message::proto::push::push_msg::Type;
use chatroom_job::settings::Coalesce;
use chatroom_job::worker::coalesce::{Coalescer, Shape};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use protobuf::Message;

const BATCH: usize = 1_000;
const ROOMS: usize = 100;

fn pushes() -> Vec<PushMsg> {
    let push = |n: usize| {
        let room = format!("room-{}", n % ROOMS);
        let content = "x".repeat(100);
        let body = format!(
            r#"{{"type":"serverMessages","payload":{{"roomId":"{room}","messages":[{{"id":"{n}","content":"{content}","user":{{"id":17,"username":"alice"}},"timestamp":1700000000000}}]}}}}"#
        );
        PushMsg {
            type_: Type::ROOM.into(),
            operation: 4,
            room,
            msg: body.into(),
            ..Default::default()
        }
    };
    (0..BATCH).map(push).collect()
}

fn router() -> Router {
    Router::new(vec!["comet-a:50051".into(), "comet-b:50051".into()])
}

fn decoding(c: &mut Criterion) {
    let encode = |push: PushMsg| Bytes::from(push.write_to_bytes().expect("a message"));
    let values: Vec<Bytes> = pushes().into_iter().map(encode).collect();
    c.bench_function("decode", |b| {
        b.iter(|| {
            values
                .iter()
                .filter(|value| decode(Some(value)).is_ok())
                .count()
        });
    });
}

fn routing(c: &mut Criterion) {
    let router = router();
    let route = |pushes: Vec<PushMsg>| -> usize {
        let deliveries = pushes
            .into_iter()
            .filter_map(|push| router.route(push).ok());
        deliveries
            .map(|delivery| worker_of(delivery.key, 4).0 as usize)
            .sum()
    };
    c.bench_function("route", |b| {
        b.iter_batched(pushes, route, BatchSize::SmallInput);
    });
}

/// Each record is read and finished, those of one partition a little out of order.
fn ledger(c: &mut Criterion) {
    let offsets = 0..BATCH as i64;
    let mut finished: Vec<i64> = offsets.clone().collect();
    finished.chunks_mut(10).for_each(<[i64]>::reverse);
    c.bench_function("ledger", |b| {
        b.iter(|| {
            let mut ledger = Ledger::new(0, Vec::new(), BTreeMap::new());
            ledger.read(offsets.clone(), BATCH as i64, &[]);
            finished.iter().for_each(|offset| ledger.finish(*offset));
            (ledger.watermark(), ledger.finished_above())
        });
    });
}

/// All messages of a room that waits, 20 in a call.
fn coalescing(c: &mut Criterion) {
    let router = router();
    let to_one_room = |mut push: PushMsg| {
        push.room = "room".into();
        let body = String::from_utf8_lossy(&push.msg).into_owned();
        let from = body.find("room-").unwrap_or_default();
        let to = from + body[from..].find('"').unwrap_or_default();
        push.msg = [&body[..from], "room", &body[to..]].concat().into();
        router.route(push).expect("it has a room").call
    };
    let queue: Vec<Call> = pushes().into_iter().map(to_one_room).collect();
    for (name, form) in [("json", Coalesce::Json), ("goim", Coalesce::Goim)] {
        let coalescer = Coalescer::new(form, Dialect::Chatroom, 20, 65_536).expect("it is on");
        c.bench_function(&format!("coalesce {name}"), |b| {
            b.iter(|| {
                let (mut at, mut calls) = (0, 0);
                while at < queue.len() {
                    let waiting = queue[at..]
                        .iter()
                        .take(20)
                        .map(|call| (call, Shape::default()));
                    let waiting: Vec<_> = waiting.collect();
                    let merged =
                        coalescer.merge(waiting.iter().map(|(call, shape)| (*call, shape)));
                    at += merged.map_or(1, |(count, _)| count);
                    calls += 1;
                }
                assert_eq!(calls, BATCH / 20);
            });
        });
    }
}

fn config() -> Criterion {
    Criterion::default()
        .sample_size(50)
        .measurement_time(std::time::Duration::from_secs(2))
        .warm_up_time(std::time::Duration::from_millis(500))
}

criterion_group! {
    name = hot_path;
    config = config();
    targets = decoding, routing, ledger, coalescing
}
criterion_main!(hot_path);
