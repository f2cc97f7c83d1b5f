//! Makes the calls as a worker of job does, over its lean caller: many at once, and again what found the server away.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chatroom_job::base::text::one_line;
use chatroom_job::comet::caller::{Caller, Callers, Ended};
use chatroom_job::comet::{Location, Manner};
use chatroom_job::message::{CometId, Dialect};

use crate::calls::{self, Worth};

/// Of each call, as job's default is.
const DEADLINE: Duration = Duration::from_secs(5);
const MANNER: Manner = Manner {
    dialect: Dialect::Chatroom,
    deadline: DEADLINE,
};
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// With no right answer for so long, it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Plan {
    pub address: String,
    pub calls: usize,
    pub at_once: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    pub right: usize,
    /// How many times which.
    pub wrong: BTreeMap<String, usize>,
    pub cut: BTreeMap<String, usize>,
    pub away: BTreeMap<String, usize>,
    pub seconds: f64,
}

/// Calls until each call has its right answer.
///
/// # Errors
/// The system has no poller, or nothing right comes any more.
pub fn drive(plan: &Plan) -> io::Result<Outcome> {
    let location = Arc::new(Location::new(plan.address.as_str().into(), || ()));
    let mut caller = Callers::lean().of(0, MANNER)?;
    caller.join(CometId(0), location, Arc::new(|_| ()));
    let mut outcome = Outcome::default();
    let begin = Instant::now();
    let mut waiting: VecDeque<(Instant, usize)> = VecDeque::new();
    let (mut next, mut under_way, mut last_right) = (0, 0, begin);
    while outcome.right < plan.calls {
        let mut now = Instant::now();
        if now - last_right > PATIENCE {
            let what = format!("nothing right came for {PATIENCE:?}: {outcome:?}");
            return Err(io::Error::other(what));
        }
        while under_way < plan.at_once {
            let again = waiting.pop_front_if(|(at, _)| *at <= now);
            let number = match again {
                Some((_, number)) => number,
                // Those that found the server away come first.
                None if next < plan.calls && under_way + waiting.len() < plan.at_once => {
                    next += 1;
                    next - 1
                }
                None => break,
            };
            caller.call(CometId(0), number, &calls::call(number), 0, now, &[]);
            under_way += 1;
        }
        caller.flush(true);
        let Caller::Lean(direct) = &mut caller else {
            unreachable!("it is lean");
        };
        let until = waiting.front().map_or(now + PATIENCE, |(at, _)| *at);
        direct.wait(|| true, Some(until))?;
        now = Instant::now();
        while let Some(ended) = direct.next_ended(now) {
            let Ended::Call { id, answer, .. } = ended else {
                continue;
            };
            under_way -= 1;
            let (count, text) = match (calls::judge(id, &answer), &answer) {
                (Worth::Right, _) => {
                    outcome.right += 1;
                    last_right = now;
                    continue;
                }
                (Worth::Away, Err(status)) => (&mut outcome.away, short(&status.text)),
                (worth, Err(status)) => {
                    let text = format!("{}: {}", status.code, short(&status.text));
                    match worth {
                        Worth::Cut => (&mut outcome.cut, text),
                        _ => (&mut outcome.wrong, text),
                    }
                }
                (_, Ok(())) => (&mut outcome.wrong, "OK, of a key that is not known".into()),
            };
            *count.entry(text).or_default() += 1;
            waiting.push_back((now + AGAIN_AFTER, id));
        }
    }
    outcome.seconds = begin.elapsed().as_secs_f64();
    Ok(outcome)
}

/// One line, the same for each number in it.
fn short(text: &str) -> String {
    let mut short = String::new();
    for c in one_line(text).chars() {
        match c.is_ascii_digit() {
            true if short.ends_with('#') => {}
            true => short.push('#'),
            false => short.push(c),
        }
    }
    short
}
