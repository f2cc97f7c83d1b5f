//! kcat, a producer that stands on librdkafka.

use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};

use chatroom_job::message::proto::push::PushMsg;

use super::messages::encoded;
use super::topic::Topic;

/// Between a record's key and its value, and behind each record. No message has them.
const KEY_ENDS: &str = "<key ends>";
const RECORD_ENDS: &str = "<record ends>";

/// One that writes to a topic what it is told.
pub struct Kcat {
    child: Child,
    input: Option<ChildStdin>,
}

impl Kcat {
    pub fn start(topic: &Topic<'_>, options: &[&str]) -> Kcat {
        let mut child = Command::new("kcat")
            .args(["-P", "-b", &topic.kafka.address(), "-t", &topic.name])
            .args(["-K", KEY_ENDS, "-D", RECORD_ENDS])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| {
                panic!("cannot start `kcat`: {e}. It is Debian's package kcat; scripts/setup --kcat installs it")
            });
        let input = child.stdin.take();
        Kcat { child, input }
    }

    /// Keyed by their rooms.
    pub fn write(&mut self, messages: impl IntoIterator<Item = PushMsg>) {
        let input = self.input.as_mut().expect("its input is open");
        for message in messages {
            let key = format!("{}{KEY_ENDS}", message.room).into_bytes();
            let record = [key, encoded(&message), RECORD_ENDS.into()].concat();
            input.write_all(&record).expect("kcat takes it");
        }
        input.flush().expect("kcat takes it");
    }

    /// Comes back when Kafka has acknowledged all. Ends the transaction with a commit, where there is one.
    pub fn finish(mut self) {
        drop(self.input.take());
        let done = self.child.wait_with_output().expect("kcat ends");
        assert!(done.status.success(), "{done:?}");
    }

    /// It dies. Kafka aborts its transaction when the next of the same transactional id comes.
    pub fn kill(mut self) {
        self.child.kill().expect("kcat runs");
        self.child.wait().expect("kcat ends");
    }
}
