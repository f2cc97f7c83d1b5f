//! Whether each room's messages came in their order, and one call at a time.

use super::super::{Evidence, Finding, context};
use super::{Facts, name, pid};

impl Facts {
    pub fn order(&self, evidence: &Evidence<'_>) -> Finding {
        let violations = self.late.iter().map(|late| {
            let (new, before) = (&self.messages[late.message], &self.messages[late.behind]);
            let (there, ahead) = (new.at[late.comet], before.at[late.comet]);
            format!(
                "Comet {} got {} from job process {} at {}, after {} from {} at {}{}",
                late.comet,
                name(evidence, new),
                pid(evidence, there.life),
                evidence.timeline.at(there.first),
                name(evidence, before),
                pid(evidence, ahead.life),
                evidence.timeline.at(ahead.first),
                context(evidence, ahead.first, there.first)
            )
        });
        Finding {
            figures: format!(
                "{} first deliveries in {} rooms and streams at {} Comets, {} out of order, {} taken later than they had been \
                 refused",
                self.firsts,
                evidence.streams.count(),
                evidence.records.len(),
                self.late.len(),
                self.revived
            ),
            violations: violations.collect(),
        }
    }

    pub fn one_at_a_time(&self, _: &Evidence<'_>) -> Finding {
        Finding {
            figures: format!(
                "{} calls, {} sent before an earlier one of the room had ended",
                self.calls,
                self.overlaps.len()
            ),
            violations: self.overlaps.clone(),
        }
    }
}
