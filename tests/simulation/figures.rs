//! What lives were like, in numbers.

use std::fmt;
use std::time::Duration;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    pub lives: u64,
    pub lived: Duration,
    pub faults: u64,
    pub records: u64,
    pub deliveries: u64,
    pub repeats: u64,
    /// How often a Comet took one record again, at most.
    pub most: u32,
    pub letters: u64,
    pub detached: u64,
    pub sent_again: u64,
    pub skipped: u64,
    /// Comets that joined and left.
    pub joined: u64,
    pub left: u64,
    /// Calls to Comets that don't have the room.
    pub spared: u64,
}

impl Figures {
    pub fn add(&mut self, other: &Self) {
        self.lives += other.lives;
        self.lived += other.lived;
        self.faults += other.faults;
        self.records += other.records;
        self.deliveries += other.deliveries;
        self.repeats += other.repeats;
        self.most = self.most.max(other.most);
        self.letters += other.letters;
        self.detached += other.detached;
        self.sent_again += other.sent_again;
        self.skipped += other.skipped;
        self.joined += other.joined;
        self.left += other.left;
        self.spared += other.spared;
    }

    pub fn minutes(&self) -> f64 {
        self.lived.as_secs_f64() / 60.0
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} lives, {:.0} minutes, {} faults, {} records, {} deliveries, {} of them again (one of them {} times), {} dead letters, {} times detached, \
             {} read again, {} skipped, {} Comets joined, {} left, {} calls spared",
            self.lives,
            self.minutes(),
            self.faults,
            self.records,
            self.deliveries,
            self.repeats,
            self.most,
            self.letters,
            self.detached,
            self.sent_again,
            self.skipped,
            self.joined,
            self.left,
            self.spared,
        )
    }
}
