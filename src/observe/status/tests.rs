//! What the document says of figures that are known.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::figures::{Account, Behind, CometAccount, Figures, GroupAccount, Method, Standing};
use crate::message::{Cause, CometId, Held, PartitionId, Topics};

fn source() -> Source {
    let limit = Held {
        messages: 10,
        bytes: 1_000,
    };
    Source {
        figures: Arc::new(Figures::new(&["a:1".into(), "b:1".into()], 2, limit)),
        topics: Topics::new(["chat".to_owned()]),
        group: "g".into(),
        dead_letter_topics: vec!["chat.dead-letter".into()],
    }
}

#[test]
fn the_document_says_what_the_figures_are() {
    let (source, start) = (source(), Instant::now());
    let (figures, mut history) = (&source.figures, History::new(start));
    history.look(figures, start);
    history.sample(figures, start, 0);
    let now = start + Duration::from_secs(20);
    figures.answered();
    figures.letters.written(Cause::Refused);
    figures.consumer.holds(Held {
        messages: 4,
        bytes: 40,
    });
    for _ in 0..40 {
        figures.workers[1].of(CometId(0)).starts();
        figures.workers[1].of(CometId(0)).ends(
            Method::Broadcast,
            Duration::from_millis(3),
            &Ok(()),
        );
    }
    figures.workers[0].of(CometId(1)).starts();
    figures.workers[0].heart.works();
    let account = |partition, end| Account {
        partition,
        watermark: 70,
        end,
        behind: Behind::Not,
        committed: Some(60),
        finished_above: 2,
        held_up_since: Some(start),
    };
    let mut comets = vec![CometAccount::default(); 2];
    comets[1].standing = Standing::Detached;
    comets[1].missed = 5;
    figures.group.publish(GroupAccount {
        at: Some(now),
        is_member: true,
        size: Some([3, 2]),
        partitions: vec![
            account(PartitionId::of_first(1), None),
            account(PartitionId::FIRST, Some(100)),
        ],
        comets: comets.into(),
        ..GroupAccount::default()
    });
    let status = status(&source, &history, &Pulse::default(), now);

    assert_eq!(status.uptime_seconds, 20.0);
    assert!(status.healthy.ok && status.ready.ok, "{status:#?}");
    assert_eq!(
        (status.kafka.members, status.kafka.partitions),
        (Some(3), Some(2))
    );
    // It is a member since the last look.
    assert_eq!(status.kafka.no_member_seconds, None);
    let partitions = status.partitions.iter();
    let lags: Vec<_> = partitions.map(|one| (one.partition, one.lag)).collect();
    assert_eq!(lags, [(0, Some(30)), (1, None)]);
    assert_eq!(status.partitions[0].held_up_seconds, Some(20.0));
    let [a, b] = &status.comets[..] else {
        panic!("{:#?}", status.comets);
    };
    assert_eq!((&a.state[..], a.calls_per_second), ("up", 2.0));
    assert!(a.p99_ms > Some(2.5) && a.p99_ms <= Some(5.0), "{a:?}");
    assert_eq!(
        (&b.state[..], b.missed, b.calls_in_flight),
        ("detached", 5, 1)
    );
    assert_eq!(b.p99_ms, None);
    let workers = status.workers.iter();
    let workers: Vec<_> = workers
        .map(|one| (&one.state[..], one.calls_per_second, one.calls_in_flight))
        .collect();
    assert_eq!(workers, [("works", 0.0, 1), ("waits", 2.0, 0)]);
    assert_eq!((status.held.messages, status.held.messages_limit), (4, 10));
    assert_eq!(status.dead_letters.written, 1);
    assert_eq!(status.conditions[0].name, "Comet detached");
}

#[test]
fn a_command_reads_what_a_job_of_another_version_says() {
    let source = source();
    let history = History::new(Instant::now());
    let status = status(&source, &history, &Pulse::default(), Instant::now());
    let text = serde_json::to_string(&status).expect("it can be written");
    assert_eq!(
        serde_json::from_str::<Status>(&text).expect("it can be read"),
        status
    );
    let condition = r#"{"name":"n","severity":"dreadful","do":"this","more":[1]}"#;
    let newer = format!(r#"{{"version":"9","conditions":[{condition}],"news":{{}}}}"#);
    let newer: Status = serde_json::from_str(&newer).expect("it can be read");
    assert_eq!((&newer.version[..], newer.workers.len()), ("9", 0));
    assert_eq!(newer.conditions[0].severity, Severity::Note);
    assert_eq!(newer.conditions[0].advice, "this");
}
