//! gRPC's own threads: each has a queue of the answers that came, and hands them to workers.

use std::sync::Arc;
use std::thread;

use grpcio::{EnvBuilder, Environment};

/// So many are enough: each of them takes less of a message than the thread that reads from Kafka does.
const ENOUGH: usize = 8;

/// The queues that a service of several workers has.
///
/// Each is an environment of its own. Within one, grpcio hands its queues out to channels in turn, whoever asks: all
/// workers' channels to one Comet could get the same, and that Comet be the one that has most to do.
pub struct Queues(Vec<Arc<Environment>>);

impl Queues {
    /// As many as these workers need on this machine.
    pub fn new(workers: usize) -> Self {
        // Heeds the limits of a container, and the cores that this process may use.
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self::start(completion_queues(cores, workers))
    }

    fn start(queues: usize) -> Self {
        let start = |n: usize| {
            let environment = EnvBuilder::new().cq_count(1);
            Arc::new(environment.name_prefix(format!("grpc-{n}")).build())
        };
        Self((0..queues).map(start).collect())
    }

    /// The one of this worker. All its answers come there, so it has no more to do than its workers give it.
    pub fn of(&self, worker: usize) -> Arc<Environment> {
        self.0[worker % self.0.len()].clone()
    }
}

/// How many queues so many workers need on so many cores.
///
/// Measured (docs/PERFORMANCE.md): where one thread has all answers it takes up to 4 µs of each message, and no other
/// thread more than half of that. With up to three cores the machine is busy before that thread is, and more of them
/// cost more than they bring.
fn completion_queues(cores: usize, workers: usize) -> usize {
    let wanted = (cores / 2).min(ENOUGH).min(workers).max(1);
    // A worker has one queue: where they don't divide evenly, one would have twice the workers of another.
    workers.max(1).div_ceil((workers / wanted).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_as_the_cores_and_workers_need() {
        for (cores, workers, queues) in [
            (1, 4, 1),
            (2, 4, 1),
            (2, 64, 1),
            (3, 4, 1),
            (4, 4, 2),
            (6, 4, 4),
            (8, 4, 4),
            (64, 4, 4),
            (8, 1, 1),
            (8, 2, 2),
            (8, 5, 5),
            (8, 8, 4),
            (16, 16, 8),
            (64, 64, 8),
        ] {
            assert_eq!(
                completion_queues(cores, workers),
                queues,
                "{cores} cores, {workers} workers"
            );
        }
    }

    #[test]
    fn a_worker_keeps_its_queue_and_no_queue_has_more_workers_than_another() {
        let queues = Queues::start(3);
        let of = |worker| Arc::as_ptr(&queues.of(worker));
        for queue in 0..3 {
            let workers: Vec<usize> = (0..9).filter(|&n| of(n) == of(queue)).collect();
            assert_eq!(workers, [queue, queue + 3, queue + 6]);
        }
    }

    #[test]
    fn on_eight_cores_none_has_more_than_a_quarter_of_the_work() {
        for cores in 8..=128 {
            for workers in 1..=64_usize {
                let queues = completion_queues(cores, workers);
                assert!((1..=workers).contains(&queues));
                let busiest = workers.div_ceil(queues);
                assert!(
                    busiest == 1 || busiest * 4 <= workers,
                    "{cores} cores, {workers} workers"
                );
            }
        }
    }
}
