use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::super::again;
use super::super::{Control, Core, Held, Outputs, RETRY_FIRST, RETRY_MOST};
use super::*;
use crate::base::backoff::Retry;
use crate::consumer::age::Ages;
use crate::consumer::route::Router;
use crate::figures::Figures;
use crate::kafka::fetch::{Batch, Fetcher, Outcome};
use crate::message::group::Read;
use crate::message::{Assignment, PartitionId, Topics};
use crate::settings::LogMessages;

/// A consumer with partition 3 assigned at offset 7, its control channel, and what it tells the group.
fn consumer() -> (Consumer, Sender<Control>, Receiver<Read>) {
    let (to_consumer, control) = unbounded();
    let (record, reads) = unbounded();
    let assign = Control::Assign {
        assignment: Assignment {
            partition: PartitionId::of_first(3),
            epoch: 1,
        },
        position: 7,
        finished: Vec::new(),
        behind: Vec::new(),
    };
    to_consumer.send(assign).unwrap();
    let caps = Held {
        messages: usize::MAX,
        bytes: usize::MAX,
    };
    // Nothing is to be read again.
    let fetchers: Arc<Make> = Arc::new(|| unreachable!("nobody is behind"));
    let consumer = Consumer {
        again: again::spawn(fetchers).unwrap(),
        room_lists: None,
        core: Core::new(0, Router::new(vec!["a:1".into()]), caps, Ages::ALL),
        control,
        settings: crossbeam_channel::never(),
        ticks: crossbeam_channel::never(),
        outputs: Outputs {
            group: unbounded().0,
            reads: record,
            workers: Vec::new(),
            topics: Topics::new(["chat".to_owned()]),
            figures: Arc::new(Figures::new(&[], 0, caps)),
            log_messages: LogMessages::On,
            received: Cell::new(0),
        },
        attempts: Retry::new(RETRY_FIRST, RETRY_MOST),
    };
    (consumer, to_consumer, reads)
}

/// Answers on `go`, without records and with the next position. Reports to `done` when dropped.
struct Slow {
    go: Receiver<()>,
    done: Sender<()>,
}

impl Fetcher for Slow {
    fn fetch(&mut self, positions: &Positions, _wait: Duration) -> Result<Vec<Batch>, FetchError> {
        let _ = self.go.recv();
        Ok(positions.iter().map(one_further).collect())
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        let _ = self.done.send(());
    }
}

fn one_further((&partition, &position): (&PartitionId, &i64)) -> Batch {
    Batch {
        partition,
        outcome: Outcome::Records {
            records: Vec::new(),
            next: position + 1,
        },
    }
}

#[test]
fn a_thread_that_hangs_is_replaced_and_its_late_answer_is_dropped() {
    let (consumer, control, reads) = consumer();
    let made = AtomicUsize::new(0);
    let ((unstick, stuck), (go, going)) = (bounded(1), bounded(1));
    let (done, ended) = unbounded();
    let make = move || -> Box<dyn Fetcher> {
        let go = match made.fetch_add(1, Ordering::Relaxed) {
            0 => &stuck,
            _ => &going,
        };
        Box::new(Slow {
            go: go.clone(),
            done: done.clone(),
        })
    };
    // Longer than a fetch takes that is told to go, also on a busy machine.
    begin(consumer, Arc::new(make), Duration::from_secs(1)).unwrap();
    go.send(()).unwrap();
    assert_eq!(reads.recv().unwrap().next, 8, "the second one reads");
    // The first one, while the second one reads on.
    unstick.send(()).unwrap();
    ended.recv().unwrap();
    assert!(reads.is_empty(), "what came late was taken in");
    control.send(Control::Stop).unwrap();
    go.send(()).unwrap();
    ended.recv().unwrap();
    assert!(reads.is_empty(), "it read on after it was told to stop");
}
