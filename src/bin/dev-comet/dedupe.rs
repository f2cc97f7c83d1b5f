//! Takes each call once, by the record that it carries: how a Comet can tell a repeat.
//!
//! job sends a message again where it can't know that the first call was taken: after a time-out, a broken connection, or a restart
//! that committed nothing yet. With `--record-metadata on` each call says which record of Kafka it carries. What has the same
//! record, and asks for the same, is the same message.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chatroom_job::message::coordinates::RECORD;
use http::HeaderMap;
use tokio::sync::oneshot;

use super::grpc::{Answer, Outcome, Service};
use super::server::say;

/// How many calls are remembered. A repeat comes soon after the first call; after a restart of job, all messages that it held come again.
const REMEMBERED: usize = 100_000;

/// A service that takes no call twice.
#[derive(Clone)]
pub struct Dedupe<S> {
    service: S,
    seen: Arc<Seen>,
}

/// The record and the call's content: in goim's dialect each user of a message has a call of its own.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    record: String,
    request: u64,
}

#[derive(Default)]
struct Seen(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    calls: HashMap<Key, State>,
    /// Those that were taken, the oldest first.
    taken: VecDeque<Key>,
}

enum State {
    Taken,
    /// It isn't answered yet. The repeats wait for what it will be.
    UnderWay(Vec<oneshot::Sender<Outcome>>),
}

enum Found {
    New,
    Taken,
    UnderWay(oneshot::Receiver<Outcome>),
}

impl<S> Dedupe<S> {
    pub fn new(service: S) -> Self {
        let seen = Arc::default();
        Self { service, seen }
    }
}

impl<S: Service> Service for Dedupe<S> {
    fn has(&self, path: &str) -> bool {
        self.service.has(path)
    }

    fn call(&self, path: &str, peer: &str, request: Bytes) -> Answer {
        self.service.call(path, peer, request)
    }

    fn call_with(&self, headers: &HeaderMap, path: &str, peer: &str, request: Bytes) -> Answer {
        let Some(key) = key(headers, path, &request) else {
            return self.call(path, peer, request);
        };
        match self.seen.find(&key) {
            Found::New => {}
            Found::Taken => {
                say(&format!("dropped a repeat of {}", key.record));
                // The replies are empty messages.
                return Answer::Now(Ok(Bytes::new()));
            }
            Found::UnderWay(answer) => {
                say(&format!(
                    "dropped a repeat of {}, which is under way",
                    key.record
                ));
                return Answer::Later(answer);
            }
        }
        match self.call(path, peer, request) {
            Answer::Now(outcome) => {
                self.seen.ended(&key, &outcome);
                Answer::Now(outcome)
            }
            Answer::Later(later) => {
                let (answer, answered) = oneshot::channel();
                let seen = self.seen.clone();
                // It ends also where its caller has gone.
                tokio::spawn(async move {
                    match later.await {
                        Ok(outcome) => {
                            seen.ended(&key, &outcome);
                            let _gone = answer.send(outcome);
                        }
                        Err(_) => seen.forget(&key),
                    }
                });
                Answer::Later(answered)
            }
        }
    }
}

/// `None` for a call that names no record: it is always taken.
fn key(headers: &HeaderMap, path: &str, request: &Bytes) -> Option<Key> {
    let record = headers.get(RECORD)?.to_str().ok()?.to_owned();
    let mut hasher = DefaultHasher::new();
    (path, request).hash(&mut hasher);
    let request = hasher.finish();
    Some(Key { record, request })
}

impl Seen {
    fn find(&self, key: &Key) -> Found {
        match self.memory().calls.entry(key.clone()) {
            Entry::Vacant(place) => {
                place.insert(State::UnderWay(Vec::new()));
                Found::New
            }
            Entry::Occupied(mut place) => match place.get_mut() {
                State::Taken => Found::Taken,
                State::UnderWay(repeats) => {
                    let (answer, answered) = oneshot::channel();
                    repeats.push(answer);
                    Found::UnderWay(answered)
                }
            },
        }
    }

    /// One that failed is taken when it comes again.
    fn ended(&self, key: &Key, outcome: &Outcome) {
        let mut memory = self.memory();
        let before = match outcome {
            Ok(_) => {
                memory.taken.push_back(key.clone());
                memory.calls.insert(key.clone(), State::Taken)
            }
            Err(_) => memory.calls.remove(key),
        };
        if let Some(State::UnderWay(repeats)) = before {
            for repeat in repeats {
                let _gone = repeat.send(outcome.clone());
            }
        }
        if memory.taken.len() > REMEMBERED
            && let Some(oldest) = memory.taken.pop_front()
        {
            memory.calls.remove(&oldest);
        }
    }

    fn forget(&self, key: &Key) {
        self.memory().calls.remove(key);
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::Status;
    use chatroom_job::comet::RpcStatusCode;

    /// Notes what it takes, and answers each call as the test says.
    #[derive(Clone, Default)]
    struct Takes {
        calls: Arc<Mutex<Vec<String>>>,
        answers: Arc<Mutex<VecDeque<Answer>>>,
    }

    impl Service for Takes {
        fn has(&self, _: &str) -> bool {
            true
        }

        fn call(&self, path: &str, _: &str, request: Bytes) -> Answer {
            let text = format!("{path} {}", String::from_utf8_lossy(&request));
            self.calls.lock().expect("a lock").push(text);
            let next = self.answers.lock().expect("a lock").pop_front();
            next.unwrap_or(Answer::Now(Ok(Bytes::new())))
        }
    }

    fn dedupe() -> (Dedupe<Takes>, Takes) {
        let takes = Takes::default();
        (Dedupe::new(takes.clone()), takes)
    }

    fn call(on: &Dedupe<Takes>, record: Option<&str>, request: &'static str) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(record) = record {
            headers.insert(RECORD, record.parse().expect("a value"));
        }
        on.call_with(
            &headers,
            "/m",
            "peer",
            Bytes::from_static(request.as_bytes()),
        )
    }

    fn taken(takes: &Takes) -> usize {
        takes.calls.lock().expect("a lock").len()
    }

    fn is_ok(answer: Answer) -> bool {
        matches!(answer, Answer::Now(Ok(_)))
    }

    #[test]
    fn a_record_is_taken_once() {
        let (on, takes) = dedupe();
        for (record, request, count) in [
            (Some("t/0/1"), "a", 1),
            (Some("t/0/1"), "a", 1),
            (Some("t/0/2"), "a", 2),
            // Another of its users.
            (Some("t/0/2"), "b", 3),
            (None, "a", 4),
            (None, "a", 5),
        ] {
            assert!(is_ok(call(&on, record, request)));
            assert_eq!(taken(&takes), count, "{record:?} {request}");
        }
    }

    #[test]
    fn what_failed_is_taken_when_it_comes_again() {
        let (on, takes) = dedupe();
        let failed = Status::new(RpcStatusCode::INTERNAL, "as the test asked");
        takes
            .answers
            .lock()
            .expect("a lock")
            .push_back(Answer::Now(Err(failed)));
        assert!(!is_ok(call(&on, Some("t/0/1"), "a")));
        assert!(is_ok(call(&on, Some("t/0/1"), "a")));
        assert!(is_ok(call(&on, Some("t/0/1"), "a")));
        assert_eq!(taken(&takes), 2);
    }

    #[tokio::test]
    async fn a_repeat_waits_for_the_call_that_is_under_way() {
        let (on, takes) = dedupe();
        let (end, later) = oneshot::channel();
        takes
            .answers
            .lock()
            .expect("a lock")
            .push_back(Answer::Later(later));
        let Answer::Later(first) = call(&on, Some("t/0/1"), "a") else {
            panic!("it isn't answered yet")
        };
        let Answer::Later(repeat) = call(&on, Some("t/0/1"), "a") else {
            panic!("nor is its repeat")
        };
        end.send(Ok(Bytes::new())).expect("somebody waits");
        for answer in [first, repeat] {
            assert!(answer.await.is_ok_and(|outcome| outcome.is_ok()));
        }
        assert!(is_ok(call(&on, Some("t/0/1"), "a")));
        assert_eq!(taken(&takes), 1);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let (on, takes) = dedupe();
        for n in 0..=REMEMBERED {
            assert!(is_ok(call(&on, Some(&format!("t/0/{n}")), "a")));
        }
        let count = taken(&takes);
        assert!(is_ok(call(&on, Some("t/0/1"), "a")));
        assert_eq!(taken(&takes), count, "it is remembered");
        assert!(is_ok(call(&on, Some("t/0/0"), "a")));
        assert_eq!(taken(&takes), count + 1, "it is forgotten");
    }
}
