//! A message that crashes its Comet.

use super::sim::Sim;
use super::*;
use crate::message::Status;

/// How long the Comet takes to start again.
const RESTART: Duration = Duration::from_millis(700);

fn failure(text: &str) -> Answer {
    Err(Status {
        broke: text == "Socket closed",
        ..Status::new(DOWN, text)
    })
}

/// Lets time go on to `end`. Whatever is in flight together with one of `crashers` ends with the Comet's crash. Returns how often it
/// crashed.
fn live(sim: &mut Sim, crashers: &[i64], end: Duration) -> u32 {
    let end = sim.start + end;
    let (mut crashes, mut up_from) = (0, sim.now);
    while sim.now < end {
        let is_up = sim.now >= up_from;
        let calls = &sim.recorder.calls;
        let crasher = calls.iter().find(|call| crashers.contains(&call.2));
        if let (true, Some(_)) = (is_up, crasher) {
            crashes += 1;
            let broken: Vec<i64> = calls.iter().map(|call| call.2).collect();
            up_from = sim.now + RESTART;
            for offset in broken {
                sim.answer(0, offset, failure("Socket closed"));
            }
        } else if let Some(&(_, _, offset)) = calls.first() {
            let refused = "failed to connect to all addresses";
            let answer = if is_up { Ok(()) } else { failure(refused) };
            sim.answer(0, offset, answer);
        } else if let Some(comet) = sim.recorder.probes.pop() {
            let answer = if is_up { Ok(()) } else { failure("no") };
            sim.tell(Event::Probed { comet, answer });
        } else {
            let next = sim.core.wake_at().unwrap_or(end).min(end);
            sim.now = next.max(sim.now + Duration::from_millis(1));
            sim.drive();
        }
    }
    crashes
}

#[test]
fn a_message_that_crashes_its_comet_becomes_a_letter_and_the_others_get_there() {
    for keys in [&[1, 2, 3, 4, 1, 2, 3][..], &[1, 1, 1, 1], &[1]] {
        let crasher = (keys.len() as i64).min(3) - 1;
        let mut sim = Sim::new(1, 64);
        sim.tell(messages(0, keys));
        let crashes = live(&mut sim, &[crasher], Duration::from_secs(120));
        assert_eq!(crashes, 6, "{keys:?}");
        let settled = sim.settled();
        assert_eq!(settled.len(), keys.len());
        for (offset, how) in settled {
            match offset == crasher {
                true => assert!(how.contains("tried alone"), "{how}"),
                false => assert_eq!(how, "Delivered", "{offset}"),
            }
        }
        let named =
            |done: &Done| matches!(done, Done::Said(0, said) if said.starts_with("Crashes"));
        assert!(sim.when(named).is_some());
        assert!(sim.core.messages.is_empty());
    }
}

#[test]
fn two_that_crash_it_become_two_letters() {
    let mut sim = Sim::new(1, 64);
    sim.tell(messages(0, &[1, 2, 3, 4, 5, 6]));
    let crashes = live(&mut sim, &[1, 4], Duration::from_secs(300));
    assert!(crashes <= 14, "{crashes}");
    let letters = sim.settled();
    let letters = letters
        .iter()
        .filter(|(_, how)| how.contains("tried alone"));
    assert_eq!(
        letters.map(|(offset, _)| *offset).collect::<Vec<_>>(),
        [1, 4]
    );
    assert!(sim.core.messages.is_empty());
}

/// It is killed each few seconds, and its calls are so slow that this hits trials, too.
#[test]
fn a_comet_that_crashes_by_itself_makes_no_letters() {
    let mut sim = Sim::new(1, 64);
    sim.tell(messages(0, &[1, 2, 3]));
    for _ in 0..40 {
        let calls: Vec<i64> = sim.recorder.calls.iter().map(|call| call.2).collect();
        for offset in calls {
            sim.answer(0, offset, failure("Socket closed"));
        }
        // A probe finds it down, and a later one finds it back.
        for answer in [failure("failed to connect"), Ok(())] {
            while let Some(comet) = sim.recorder.probes.pop() {
                let answer = answer.clone();
                sim.tell(Event::Probed { comet, answer });
            }
            sim.now += Duration::from_secs(3);
            sim.drive();
        }
    }
    live(&mut sim, &[], Duration::from_secs(600));
    assert!(sim.settled().iter().all(|(_, how)| *how == "Delivered"));
    assert_eq!(sim.settled().len(), 3);
}

/// The Comet works on message 0 for longer than the deadline, and then crashes: in the trial of message 1.
#[test]
fn a_crash_after_the_deadline_is_no_proof_against_the_next_suspect() {
    let mut sim = Sim::new(1, 64);
    sim.tell(messages(0, &[1, 2]));
    let (mut breaks, mut crash, mut late) = ([0, 0], None, 0);
    while sim.settled().is_empty() {
        let calls: Vec<i64> = sim.recorder.calls.iter().map(|call| call.2).collect();
        for offset in calls {
            let breaks = &mut breaks[offset as usize];
            let is_suspect = *breaks >= 2;
            let crashes = crash.take_if(|_| offset == 1);
            if !is_suspect || crashes.is_some_and(|at| sim.now < at) {
                *breaks += 1;
                late += u32::from(is_suspect);
                sim.answer(0, offset, failure("Socket closed"));
            } else {
                sim.now += Duration::from_secs(5);
                crash = (offset == 0).then_some(sim.now + Duration::from_secs(5));
                let status = Status::new(4, "Deadline Exceeded");
                sim.answer(0, offset, Err(status));
            }
        }
        // It is well again at once.
        while let Some(comet) = sim.recorder.probes.pop() {
            let answer = Ok(());
            sim.tell(Event::Probed { comet, answer });
        }
        sim.now += Duration::from_millis(50);
        sim.drive();
    }
    assert!(late > 0);
    for (offset, how) in sim.settled() {
        assert!(!how.contains("tried alone"), "{offset}: {how}");
    }
}
