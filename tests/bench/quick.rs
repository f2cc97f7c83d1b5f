//! `--quick`: whether a ratio fell since it was recorded. Only ratios of things measured side by side: they hold on
//! machines of other speed.

use crate::report::number;
use crate::results::{Better, CaseResult, Results};

/// What is left of a recorded ratio must be so much.
const KEEPS: f64 = 0.9;

pub struct Compared {
    /// What it is, what was recorded and what was got.
    pub line: String,
    pub kept: bool,
}

/// Each ratio of a case that was recorded.
pub fn compare(recorded: &Results, got: &CaseResult) -> Vec<Compared> {
    let mut compared = Vec::new();
    for row in &got.rows {
        for figure in &row.figures {
            let Some(better) = figure.better else {
                continue;
            };
            let Some(known) = recorded.figure(&got.case, &row.name, &figure.name) else {
                continue;
            };
            let (got_ratio, known) = (figure.spread.median, known.spread.median);
            let kept = match better {
                Better::Higher => got_ratio >= known * KEEPS,
                Better::Lower => got_ratio <= known / KEEPS,
            };
            compared.push(Compared {
                line: format!(
                    "{}, {}, {}: {} now, {} recorded",
                    got.case,
                    row.name,
                    figure.name,
                    number(got_ratio),
                    number(known)
                ),
                kept,
            });
        }
    }
    compared
}
