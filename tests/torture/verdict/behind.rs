//! Comets that jobs took for behind, as they said it.

use super::Evidence;
use crate::streams::comet_host;
use crate::timeline::Micros;

/// A time for which one process took a Comet for behind: it gets nothing but what it missed, and nobody waits for it.
pub struct Behind {
    pub life: usize,
    pub comet: usize,
    pub from: Micros,
    /// When it had caught up, or the process ended; `Micros::MAX` where neither came.
    pub to: Micros,
    pub caught_up: bool,
    /// How often it was detached within.
    pub detached: u32,
}

/// All such times.
pub fn behind(evidence: &Evidence<'_>) -> Vec<Behind> {
    let mut all: Vec<Behind> = Vec::new();
    for (life, of) in evidence.lives.iter().enumerate() {
        let first = all.len();
        for (at, line) in &of.notes {
            let detached = line.contains("it is detached");
            let begins = detached || line.contains("before this process had it");
            let ends = line.contains("has caught up");
            let Some(comet) = (begins || ends).then(|| comet_of(evidence, line)).flatten() else {
                continue;
            };
            let mut open = all[first..].iter_mut();
            match open.find(|b| b.comet == comet && b.to == Micros::MAX) {
                Some(open) if ends => (open.to, open.caught_up) = (*at, true),
                Some(open) => open.detached += u32::from(detached),
                None if begins => all.push(Behind {
                    life,
                    comet,
                    from: *at,
                    to: Micros::MAX,
                    caught_up: false,
                    detached: u32::from(detached),
                }),
                None => {}
            }
        }
        for left in all[first..].iter_mut().filter(|b| !b.caught_up) {
            left.to = of.ended.unwrap_or(Micros::MAX);
        }
    }
    all
}

/// The Comet that a line names.
fn comet_of(evidence: &Evidence<'_>, line: &str) -> Option<usize> {
    let address = line.split("Comet ").nth(1)?;
    let mut comets = 0..evidence.records.len();
    comets.find(|comet| address.starts_with(&format!("{}:", comet_host(*comet))))
}
