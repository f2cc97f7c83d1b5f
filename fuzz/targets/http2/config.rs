//! The client whose peer is fuzzed.

use std::time::Duration;

use chatroom_job::comet::caller::lean::Config;

pub fn config() -> Config {
    Config {
        authority: "comet-1:3109".into(),
        user_agent: "job/1".into(),
        max_answer: 1_000,
        greeted_within: Duration::from_secs(2),
        ask_after: Duration::from_secs(1),
        answer_within: Duration::from_secs(1),
        tls: None,
    }
}
