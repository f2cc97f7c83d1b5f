//! Faults that take their time: each is done on a thread of its own.

use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use tokio::runtime::Handle;

use super::{Director, KAFKA_RESTS};
use crate::children::lock;
use crate::corrupt::{Corrupt, spoil};
use crate::kafka::script;
use crate::plan::Spot;
use crate::proxy::{Mode, Proxy};
use crate::timeline::{Scope, now};

/// What is under way.
pub struct Work {
    thread: JoinHandle<Result<(), String>>,
    window: usize,
    /// No second one of Kafka's may begin meanwhile.
    pub is_kafkas: bool,
}

impl Director {
    pub fn work(
        &mut self,
        what: String,
        scopes: Vec<Scope>,
        work: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) {
        let is_kafkas = scopes.contains(&Scope::Kafka) || scopes.contains(&Scope::Broker);
        let window = self.timeline.begin(what, scopes);
        self.works.push(Work {
            thread: thread::spawn(work),
            window,
            is_kafkas,
        });
    }

    /// Ends the windows of what is done.
    pub fn look_after_works(&mut self) -> Result<(), String> {
        for work in std::mem::take(&mut self.works) {
            if !work.thread.is_finished() {
                self.works.push(work);
                continue;
            }
            work.thread
                .join()
                .map_err(|_| "a thread of the campaign panicked")??;
            self.timeline.end(work.window);
            if work.is_kafkas {
                self.kafka_rests = now() + KAFKA_RESTS;
            }
        }
        Ok(())
    }

    /// Does something to Kafka, and undoes it so long after.
    pub fn script(
        &mut self,
        what: String,
        lasts: Duration,
        first: &'static str,
        then: &'static str,
    ) {
        let folder = self.kafka.folder.clone();
        let corrupt = self.corrupt.clone();
        self.work(what, vec![Scope::Kafka], move || {
            if first != "freeze" {
                mend(&corrupt)?;
            }
            script(first, &folder)?;
            thread::sleep(lasts);
            script(then, &folder)
        });
    }

    /// Takes the jobs from Kafka, so that batches come which none has read, stops it, and changes one of them.
    pub fn corrupt(&mut self, what: String, spot: Spot, lasts: Duration) {
        let folder = self.kafka.folder.clone();
        let links: Vec<Proxy> = self.kafka_links.concat();
        let corrupt = self.corrupt.clone();
        self.work(what, vec![Scope::Kafka], move || {
            mend(&corrupt)?;
            links.iter().for_each(|link| link.set(Mode::Close));
            let since = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_err(|e| format!("the clock is wrong: {e}"))?;
            thread::sleep(lasts);
            script("stop", &folder)?;
            let spoilt = spoil(&folder, since.as_millis() as i64, spot)?;
            script("again", &folder)?;
            lock(&corrupt).extend(spoilt.map(|spoilt| spoilt.back_at(now())));
            links.iter().for_each(|link| link.set(Mode::Open));
            Ok(())
        });
    }

    pub fn add_partitions(&mut self, what: String, count: i32) {
        let new = self.partitions..self.partitions + count;
        let work = self
            .producer
            .add_partitions(self.kafka.entry.clone(), self.partitions, count);
        self.partitions += count;
        let runtime = Handle::current();
        self.work(what, new.map(Scope::Added).collect(), move || {
            runtime.block_on(work)
        });
    }

    pub fn transaction(&mut self, what: String, count: u32, commit: bool, lasts: Duration) {
        let mut rng = Rng::with_seed(u64::from(count) << 32 | self.faults as u64);
        let streams = self.producer.some_streams(&mut rng);
        let scopes = streams
            .iter()
            .map(|stream| Scope::Open(self.producer.ledger.streams.partition(*stream)))
            .collect();
        let entry = self.kafka.entry.clone();
        let work = self
            .producer
            .transaction(entry, streams, count, lasts, commit, rng);
        let runtime = Handle::current();
        self.work(what, scopes, move || runtime.block_on(work));
    }

    /// Makes Kafka's log what it was. Returns what was changed in it.
    pub fn mend_log(&self) -> Result<Vec<Corrupt>, String> {
        mend(&self.corrupt)?;
        Ok(lock(&self.corrupt).clone())
    }
}

/// A broker that starts again after it was killed looks for batches that were not written in full, and cuts its log
/// at the first that it takes for one: none may be left.
fn mend(corrupt: &Arc<Mutex<Vec<Corrupt>>>) -> Result<(), String> {
    lock(corrupt).iter().try_for_each(Corrupt::mend)
}
