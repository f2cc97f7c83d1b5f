//! A channel whose receiver may wait for other things than the channel: who sends rings its bell, where it rests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use crossbeam_channel::{SendError, Sender};

/// Wakes a thread that waits for something other than a channel, as for sockets.
pub struct Bell {
    /// Whether the thread waits, or is about to.
    rests: AtomicBool,
    ring: Box<dyn Fn() + Send + Sync>,
}

impl Bell {
    /// `ring` ends the thread's wait, or its next one.
    pub fn new(ring: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            rests: AtomicBool::new(false),
            ring: Box::new(ring),
        })
    }

    /// The thread is about to wait. After this it has to look at its channel once more: who sent before doesn't ring.
    pub fn rests(&self) {
        self.rests.store(true, Ordering::Relaxed);
        // Of two things one is sure: the thread sees the new message, or the sender sees that the thread rests.
        fence(Ordering::SeqCst);
    }

    /// The thread waits no longer.
    pub fn works(&self) {
        self.rests.store(false, Ordering::Relaxed);
    }

    fn sent(&self) {
        fence(Ordering::SeqCst);
        if self.rests.load(Ordering::Relaxed) && self.rests.swap(false, Ordering::Relaxed) {
            (self.ring)();
        }
    }
}

/// Where a thread is sent what it is told.
pub struct Mailbox<T> {
    sender: Sender<T>,
    bell: Option<Arc<Bell>>,
}

impl<T> Mailbox<T> {
    /// Without a bell the thread waits for the channel itself.
    pub fn new(sender: Sender<T>, bell: Option<Arc<Bell>>) -> Self {
        Self { sender, bell }
    }

    /// # Errors
    /// The thread is gone.
    pub fn send(&self, word: T) -> Result<(), SendError<T>> {
        self.sender.send(word)?;
        if let Some(bell) = &self.bell {
            bell.sent();
        }
        Ok(())
    }
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self::new(self.sender.clone(), self.bell.clone())
    }
}

impl<T> From<Sender<T>> for Mailbox<T> {
    fn from(sender: Sender<T>) -> Self {
        Self::new(sender, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{bounded, unbounded};
    use std::thread;

    #[test]
    fn the_bell_rings_once_and_only_where_the_thread_rests() {
        let (rung, rings) = unbounded();
        let bell = Bell::new(move || rung.send(()).expect("the test listens"));
        let (sender, words) = unbounded();
        let mailbox = Mailbox::new(sender, Some(bell.clone()));
        mailbox.send(1).expect("the thread is there");
        assert!(rings.is_empty());
        bell.rests();
        mailbox.send(2).expect("the thread is there");
        mailbox.clone().send(3).expect("the thread is there");
        assert_eq!((rings.len(), words.len()), (1, 3));
        bell.rests();
        bell.works();
        mailbox.send(4).expect("the thread is there");
        assert_eq!(rings.len(), 1);
    }

    /// A word that is missed leaves the thread waiting for a ring that doesn't come: the test would hang.
    #[test]
    fn no_word_is_missed() {
        const WORDS: u32 = 100_000;
        let (rung, rings) = bounded(1);
        let bell = Bell::new(move || {
            // Where one is under way already, that will do.
            let _ = rung.try_send(());
        });
        let (sender, words) = unbounded();
        let mailbox = Mailbox::new(sender, Some(bell.clone()));
        let teller = thread::spawn(move || {
            for word in 0..WORDS {
                mailbox.send(word).expect("the thread is there");
            }
        });
        let mut expected = 0;
        while expected < WORDS {
            bell.rests();
            if words.is_empty() {
                rings.recv().expect("the bell is there");
            }
            bell.works();
            for word in words.try_iter() {
                assert_eq!(word, expected);
                expected += 1;
            }
        }
        teller.join().expect("it told all");
    }
}
