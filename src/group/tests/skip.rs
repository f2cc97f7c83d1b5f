//! Records that an operator skips.

use super::*;

impl Core {
    /// Asks for an offset of partition 0 to be skipped. Returns the answer, if it comes at once.
    fn skip(&mut self, offset: i64) -> Option<Skipped> {
        self.skip_of(0, offset)
    }

    fn skip_of(&mut self, index: i32, offset: i64) -> Option<Skipped> {
        let request = self.request();
        self.step(Input::Skip {
            request,
            partition: PartitionId::of_first(index),
            offset,
            uid: 7,
        });
        self.answer_to(request)
    }

    fn answer_to(&mut self, request: RequestId) -> Option<Skipped> {
        let (of, skipped) = self.skipped.pop()?;
        assert_eq!((of, self.skipped.len()), (request, 0));
        Some(skipped)
    }

    /// The worker says where it had the record.
    fn worker_skipped(&mut self, record: RecordId, queued: &[u32], in_flight: &[u32]) -> Skipped {
        let [queued, in_flight] =
            [queued, in_flight].map(|comets| comets.iter().copied().map(CometId).collect());
        self.tell(Event::Skipped {
            record,
            queued,
            in_flight,
        });
        let request = RequestId(self.requests);
        self.answer_to(request).expect("all workers have answered")
    }
}

#[test]
fn the_workers_are_told_and_their_answer_is_passed_on() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..5);
    core.settle(epoch, 0, Completion::Delivered);
    assert_eq!(core.skip(3), None);
    let record = record(epoch, 3);
    let order = Order::Skip { record, uid: 7 };
    assert_eq!(core.orders.pop_back(), Some(order));
    let skipped = core.worker_skipped(record, &[0, 2], &[1]);
    let taken = Skipped::Taken {
        queued: vec![CometId(0), CometId(2)],
        in_flight: vec![CometId(1)],
        missed: Vec::new(),
    };
    assert_eq!(skipped, taken);
    // A record on its way to the dead letters isn't finished, and no worker has it.
    core.skip(3);
    assert_eq!(core.worker_skipped(record, &[], &[]), Skipped::NotHeld);
}

#[test]
fn what_cannot_be_skipped_is_said_at_once() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..5);
    core.settle(epoch, 1, Completion::Delivered);
    let finished = Some(Skipped::Finished { missed: Vec::new() });
    assert_eq!(core.skip(1), finished, "above the watermark");
    core.settle(epoch, 0, Completion::Delivered);
    assert_eq!(core.skip(0), finished, "below it");
    assert_eq!(core.skip(5), Some(Skipped::Unread { next: 5 }));
    assert_eq!(core.skip_of(9, 0), Some(Skipped::NotOurs));
    assert!(
        !core
            .orders
            .iter()
            .any(|order| matches!(order, Order::Skip { .. }))
    );
    core.lose();
    assert_eq!(core.skip(2), Some(Skipped::Suspect));
}

#[test]
fn who_missed_it_is_named() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..2);
    let lacks = || Completion::Lacks {
        comet: CometId(2),
        in_flight: false,
    };
    for offset in 0..2 {
        core.settle(epoch, offset, lacks());
    }
    core.settle(epoch, 0, Completion::Delivered);
    let missed = vec![CometId(2)];
    assert_eq!(
        core.skip(0),
        Some(Skipped::Finished {
            missed: missed.clone()
        })
    );
    core.skip(1);
    let taken = Skipped::Taken {
        queued: vec![CometId(0)],
        in_flight: Vec::new(),
        missed,
    };
    assert_eq!(core.worker_skipped(record(epoch, 1), &[0], &[]), taken);
}
