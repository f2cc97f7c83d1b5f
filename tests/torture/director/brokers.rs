//! The brokers of a cluster: taken away one at a time, and what they lead moved.

use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;

use super::Director;
use crate::cluster::{Certificate, await_in_sync, move_leaders, show};
use crate::kafka::{BROKERS, script};
use crate::timeline::Scope;

impl Director {
    /// Does something to one broker, and undoes it so long after. Ends when it has what it missed.
    pub fn broker(
        &mut self,
        what: String,
        broker: usize,
        lasts: Duration,
        [first, then]: [&'static str; 2],
    ) {
        let folder = self.kafka.folder.join(broker.to_string());
        let entry = self.kafka.entry.clone();
        let runtime = Handle::current();
        self.work(what, vec![Scope::Broker], move || {
            script(first, &folder)?;
            thread::sleep(lasts);
            script(then, &folder)?;
            runtime.block_on(await_in_sync(&entry))
        });
    }

    /// Restarts one after the other, as an update does.
    pub fn roll(&mut self, what: String) {
        let folder = self.kafka.folder.clone();
        let entry = self.kafka.entry.clone();
        let runtime = Handle::current();
        self.work(what, vec![Scope::Broker], move || {
            for broker in 1..=BROKERS {
                let folder = folder.join(broker.to_string());
                script("stop", &folder)?;
                script("again", &folder)?;
                runtime.block_on(await_in_sync(&entry))?;
            }
            Ok(())
        });
    }

    pub fn move_leaders(&mut self, what: String) {
        let entry = self.kafka.entry.clone();
        let runtime = Handle::current();
        self.work(what, vec![Scope::Broker], move || {
            runtime.block_on(async { move_leaders(&entry.connect().await?).await })
        });
    }

    /// What a broker leads can't be had meanwhile by who has no connection to it.
    pub fn expire(&mut self, what: String, broker: usize, lasts: Duration) {
        let folder = self.kafka.folder.clone();
        let entry = self.kafka.entry.clone();
        let jobs = self.slots.len();
        let runtime = Handle::current();
        self.work(what, vec![Scope::Kafka], move || {
            let shows = async |certificate| {
                let client = entry.connect().await?;
                show(&client, &folder, broker, jobs, certificate).await
            };
            runtime.block_on(shows(Certificate::Expired))?;
            thread::sleep(lasts);
            runtime.block_on(shows(Certificate::Good))
        });
    }
}
