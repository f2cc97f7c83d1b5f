//! Job's lean caller, and nothing else of job.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use chatroom_job::comet::caller::lean::{Address, Call, Config, Event, Links};

use super::{Asked, PATH};

const DEADLINE: Duration = Duration::from_secs(5);

/// Keeps the window of one connection full until all its calls are made.
pub fn calls(requests: &[Vec<u8>], asked: &Asked, failed: &AtomicUsize) -> io::Result<()> {
    let calls = asked.calls / asked.channels;
    let address = asked.address.parse().map_err(io::Error::other)?;
    let mut links = Links::new()?;
    let config = Config {
        authority: asked.address.clone(),
        user_agent: "bench".into(),
        max_answer: 1 << 20,
        greeted_within: DEADLINE,
        ask_after: DEADLINE,
        answer_within: DEADLINE,
        tls: None,
    };
    let link = links.open(vec![Address::Tcp(address)], config, Instant::now());
    let mut requests = requests.iter().cycle();
    let (mut sent, mut answered) = (0, 0);
    while answered < calls {
        let now = Instant::now();
        while sent < calls && sent - answered < asked.window {
            let Some(request) = requests.next() else {
                return Ok(());
            };
            let call = Call {
                tag: sent as u64,
                path: PATH,
                within: DEADLINE,
            };
            links
                .call(link, call, now, |out| out.extend_from_slice(request))
                .ok_or_else(|| io::Error::other("the connection is gone"))?;
            sent += 1;
        }
        links.flush(now);
        links.wait(now, None)?;
        while let Some(event) = links.next_event() {
            match event {
                Event::Finished(_, finished) => {
                    answered += 1;
                    if finished.code != 0 {
                        failed.fetch_add(1, Relaxed);
                    }
                }
                Event::Closed(_, closed) => return Err(io::Error::other(closed.why)),
            }
        }
    }
    Ok(())
}
