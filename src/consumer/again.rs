//! The thread that reads again what Comets miss, with a fetcher of its own: a live fetch doesn't wait for it.
//!
//! It owns its connection to Kafka and nothing else. The consumer asks for positions and gets batches.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::base::backoff::{Retry, grows};
use crate::kafka::fetch::{Batch, FetchError, MAX_WAIT, Make, Positions};

/// Waits after a failed fetch.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(2);
const _: () = grows(RETRY_FIRST, RETRY_MOST);

/// The connection is closed when nothing was to be read for this long.
const IDLE: Duration = Duration::from_secs(60);

/// Positions that were asked for, and what a fetch from there brought.
pub struct Answer {
    pub positions: Positions,
    pub batches: Vec<Batch>,
}

/// The consumer's side: one fetch is on its way at a time.
pub struct Again {
    ask: Sender<Positions>,
    pub answers: Receiver<Answer>,
    is_asked: bool,
}

impl Again {
    /// Asks for what `wanted` says, unless a fetch is on its way.
    pub fn ask(&mut self, wanted: impl FnOnce() -> Option<Positions>) {
        if !self.is_asked
            && let Some(positions) = wanted()
        {
            self.is_asked = self.ask.send(positions).is_ok();
        }
    }

    /// Notes that a fetch is answered.
    pub fn answered(&mut self) {
        self.is_asked = false;
    }
}

/// Starts the thread. It ends with the consumer's side.
///
/// # Errors
/// The system refuses a thread.
pub fn spawn(fetchers: Arc<Make>) -> std::io::Result<Again> {
    let (ask, asked) = bounded(1);
    let (answer, answers) = bounded(1);
    thread::Builder::new()
        .name("catch-up".into())
        .spawn(move || read(&*fetchers, &asked, &answer))?;
    Ok(Again {
        ask,
        answers,
        is_asked: false,
    })
}

fn read(fetchers: &Make, asked: &Receiver<Positions>, answer: &Sender<Answer>) {
    let mut fetcher = None;
    let mut attempts = Retry::new(RETRY_FIRST, RETRY_MOST);
    loop {
        let positions = match asked.recv_timeout(IDLE) {
            Ok(positions) => positions,
            Err(RecvTimeoutError::Timeout) => {
                fetcher = None;
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let batches = fetcher
            .get_or_insert_with(fetchers)
            .fetch(&positions, MAX_WAIT);
        let batches = match batches {
            Ok(batches) => {
                attempts.worked();
                batches
            }
            Err(FetchError::Failed(why) | FetchError::Unsupported(why)) => {
                let wait = attempts.failed(&why, |why| {
                    log::warn!(
                        cause = why;
                        "Reading what a Comet missed failed: {why}; trying again until it works"
                    );
                });
                thread::sleep(wait);
                Vec::new()
            }
        };
        if answer.send(Answer { positions, batches }).is_err() {
            return;
        }
    }
}
