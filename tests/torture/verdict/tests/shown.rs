//! What the pages show.

use super::*;
use crate::plan::Fault;
use crate::streams::comet_host;
use crate::watch::Page;

const PROMISE: [&str; 1] = ["on the status page"];

/// Comet 0 is killed from 20 s to 40 s, as job 0 notices, and its page says so from here to there.
fn killed(shown_from: Micros, shown_to: Micros) -> Story {
    let mut story = Story::new(1);
    story.broken(&[Scope::Comet(0)], 20 * SECOND, 40 * SECOND);
    story.timeline.windows[0].fault = Some(Fault::CometKill { comet: 0 });
    let said = format!("{}: none takes anything", address());
    story.looks = (0..100)
        .map(|second| {
            let at = second * SECOND;
            let mut page = Page {
                process: 1,
                has_partitions: true,
                failing: vec![address()],
                ..Page::default()
            };
            if (shown_from..shown_to).contains(&at) {
                let name = "No Comet takes messages".into();
                page.conditions.push((name, said.clone()));
            }
            Look {
                slot: 0,
                at,
                page: Some(page),
            }
        })
        .collect();
    story
}

fn address() -> String {
    format!("{}:7000", comet_host(0))
}

impl Story {
    fn page(&mut self, second: usize) -> &mut Page {
        self.looks[second].page.as_mut().expect("a page")
    }
}

#[test]
fn a_fault_that_is_shown_while_it_lasts() {
    // The last one: noticed late, on a busy machine.
    for from in [20, 22, 40] {
        let story = killed(from * SECOND, 43 * SECOND);
        assert_eq!(story.violations(&PROMISE), [""; 0]);
    }
}

#[test]
fn a_fault_that_is_not_shown_though_job_knows() {
    let violations = killed(43 * SECOND, 100 * SECOND).violations(&PROMISE);
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert!(violations[0].contains("was not on the page of job 0 until 40.000 s, which had []"));
}

#[test]
fn another_comet_or_another_name_is_no_sign_of_it() {
    let wrong = [
        ("Comet out", "127.0.0.99:1"),
        ("Comet slow", &address()[..]),
    ];
    for (name, what) in wrong {
        let mut story = killed(99 * SECOND, 100 * SECOND);
        for second in 20..=40 {
            let conditions = &mut story.page(second).conditions;
            conditions.push((name.into(), what.into()));
        }
        let violations = story.violations(&PROMISE);
        assert!(violations[0].contains(name), "{violations:?}");
    }
}

#[test]
fn what_is_not_certain_is_no_violation() {
    let uncertain: [fn(&mut Story); 7] = [
        |story| story.timeline.windows[0].to = 28 * SECOND,
        |story| story.broken(&[Scope::KafkaOf { slot: 0 }], 25 * SECOND, 26 * SECOND),
        |story| story.broken(&[Scope::Killed { slot: 0 }], 25 * SECOND, 26 * SECOND),
        |story| story.looks[25].page = None,
        |story| story.page(39).failing.clear(),
        |story| story.page(30).has_partitions = false,
        |story| story.page(30).process = 2,
    ];
    for (n, make) in uncertain.iter().enumerate() {
        let mut story = killed(99 * SECOND, 100 * SECOND);
        make(&mut story);
        assert_eq!(story.violations(&PROMISE), [""; 0], "{n}");
    }
}

#[test]
fn a_fault_that_touches_another_job_is_not_on_this_page() {
    let mut story = killed(99 * SECOND, 100 * SECOND);
    story.timeline.windows[0].scopes = vec![Scope::CometOf { comet: 0, slot: 1 }];
    assert_eq!(story.violations(&PROMISE), [""; 0]);
}

#[test]
fn each_kind_has_its_line() {
    let mut story = killed(23 * SECOND, 40 * SECOND);
    story.broken(&[Scope::Killed { slot: 0 }], 60 * SECOND, 61 * SECOND);
    story.timeline.windows[1].fault = Some(Fault::JobKill { slot: 0 });
    let text = story.verdict().text(0);
    assert!(
        text.contains("comet-kill          1 shown, after 3.0 s at most"),
        "{text}"
    );
    assert!(
        text.contains("job-kill            1 not to be shown: the page is gone with its job"),
        "{text}"
    );
}
