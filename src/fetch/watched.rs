//! A reader on a thread of its own, given up when it doesn't answer.
//!
//! The kafka crate waits two minutes for an answer, and that can't be set. Where a broker's machine lost its power, or a
//! firewall forgot the connection, no answer comes, and nothing says so.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::{Batch, FetchError, Fetcher, Positions};

/// Makes a reader, on the thread that will use it.
pub type Make = dyn Fn() -> Box<dyn Fetcher> + Send + Sync;

type Answer = Result<Vec<Batch>, FetchError>;

pub struct Watched {
    make: Arc<Make>,
    patience: Duration,
    reader: Option<Reader>,
}

/// The ends of a reader's channels. Without them it ends after its request.
struct Reader {
    requests: Sender<Positions>,
    answers: Receiver<Answer>,
}

impl Watched {
    /// Gives each fetch `patience`.
    pub fn new(make: Arc<Make>, patience: Duration) -> Self {
        Self {
            make,
            patience,
            reader: None,
        }
    }

    fn start(&self) -> std::io::Result<Reader> {
        let (requests, wanted) = bounded::<Positions>(1);
        let (answered, answers) = bounded(1);
        let make = self.make.clone();
        thread::Builder::new()
            .name("reader".into())
            .spawn(move || {
                let mut fetcher = make();
                for positions in wanted {
                    if answered.send(fetcher.fetch(&positions)).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Reader { requests, answers })
    }
}

impl Fetcher for Watched {
    fn fetch(&mut self, positions: &Positions) -> Answer {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => self
                .start()
                .map_err(|e| FetchError::Failed(format!("starting a thread: {e}")))?,
        };
        let gone = || FetchError::Failed("the reader ended".into());
        reader
            .requests
            .send(positions.clone())
            .map_err(|_| gone())?;
        match reader.answers.recv_timeout(self.patience) {
            Ok(answer) => {
                self.reader = Some(reader);
                answer
            }
            Err(RecvTimeoutError::Timeout) => Err(FetchError::Failed(format!(
                "no answer within {} s: the connection is given up",
                self.patience.as_secs()
            ))),
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Stuck(Receiver<()>);

    impl Fetcher for Stuck {
        fn fetch(&mut self, _: &Positions) -> Answer {
            let _ = self.0.recv();
            Ok(Vec::new())
        }
    }

    struct Quick;

    impl Fetcher for Quick {
        fn fetch(&mut self, positions: &Positions) -> Answer {
            let batch = |(&partition, &next): (&i32, &i64)| Batch {
                partition,
                outcome: super::super::Outcome::Records {
                    records: Vec::new(),
                    next,
                },
            };
            Ok(positions.iter().map(batch).collect())
        }
    }

    #[test]
    fn a_reader_that_does_not_answer_is_replaced() {
        let (until, stuck) = bounded::<()>(0);
        let made = Arc::new(AtomicUsize::new(0));
        let count = made.clone();
        let make = move || -> Box<dyn Fetcher> {
            match count.fetch_add(1, Ordering::Relaxed) {
                0 => Box::new(Stuck(stuck.clone())),
                _ => Box::new(Quick),
            }
        };
        let mut watched = Watched::new(Arc::new(make), Duration::from_millis(50));
        let positions = Positions::from([(3, 7)]);
        let Err(FetchError::Failed(why)) = watched.fetch(&positions) else {
            panic!("it answered")
        };
        assert!(why.contains("no answer"), "{why}");
        for _ in 0..2 {
            assert_eq!(watched.fetch(&positions).unwrap()[0].partition, 3);
        }
        assert_eq!(made.load(Ordering::Relaxed), 2);
        drop(until);
    }
}
