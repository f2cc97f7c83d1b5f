//! The generated part of docs/PERFORMANCE.md.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::cases::CASES;
use crate::plot::PLOTS;
use crate::results::{About, CaseResult, Results, Row, Spread};
use crate::targets::TARGETS;

const BEGIN: &str = "<!-- results: written by scripts/bench, from performance/results.json -->";
const END: &str = "<!-- end of results -->";

/// Puts the results between the page's marks; what is written by hand around them stays.
pub fn write(page: &Path, results: &Results) -> Result<(), String> {
    let text =
        fs::read_to_string(page).map_err(|e| format!("{} can't be read: {e}", page.display()))?;
    let parts = text
        .split_once(BEGIN)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else {
        return Err(format!(
            "{} has lost its marks: {BEGIN} and {END}",
            page.display()
        ));
    };
    let text = format!("{before}{BEGIN}\n\n{}{END}{after}", generated(results));
    fs::write(page, text).map_err(|e| format!("{} can't be written: {e}", page.display()))
}

fn generated(results: &Results) -> String {
    let mut text = String::new();
    // Writing to a String doesn't fail.
    let _ = writeln!(text, "## Wanted and got\n\n{}", targets(results));
    let _ = writeln!(
        text,
        "## Measured\n\nMedian of several runs, and (least – most).\n"
    );
    let mut last: Option<&About> = None;
    for case in &CASES {
        let Some(result) = results.case(case.name) else {
            continue;
        };
        let _ = writeln!(text, "### {}\n\n{}.\n", case.name, case.about);
        if last != Some(&result.about) {
            let About {
                date,
                machine,
                kernel,
                job,
                kafka,
            } = &result.about;
            let _ = writeln!(
                text,
                "From here on: {date}, {machine}, {kernel}, {job}, Kafka {kafka} beside it.\n"
            );
            last = Some(&result.about);
        }
        let _ = writeln!(text, "{}", table(result));
        for plot in PLOTS.iter().filter(|plot| plot.case == case.name) {
            let _ = writeln!(text, "![{}](performance/{})\n", plot.title, plot.file);
        }
    }
    text
}

fn targets(results: &Results) -> String {
    let mut text = String::from("| wanted | got | |\n|---|---|---|\n");
    for target in &TARGETS {
        let (got, kept) = match results.figure(target.case, target.row, target.figure) {
            Some(figure) => (
                show(&figure.spread),
                if target.holds(figure.spread.median) {
                    "✓"
                } else {
                    "✗"
                },
            ),
            None => ("not measured".into(), "–"),
        };
        let _ = writeln!(text, "| {} | {got} | {kept} |", target.wanted);
    }
    text
}

/// One line a row where there are several rows, else one line a figure.
fn table(result: &CaseResult) -> String {
    let mut text = String::new();
    let mut names: Vec<&str> = Vec::new();
    for figure in result.rows.iter().flat_map(|row| &row.figures) {
        if !names.contains(&figure.name.as_str()) {
            names.push(&figure.name);
        }
    }
    // Few rows of many figures are easier to read on their side.
    let cell = |row: &Row, name: &str| {
        row.figure(name)
            .map_or_else(String::new, |figure| show(&figure.spread))
    };
    if result.rows.len() < names.len() {
        let heads: Vec<String> = result
            .rows
            .iter()
            .map(|row| format!("{} ({})", row.name, runs(row.runs)))
            .collect();
        let _ = writeln!(
            text,
            "| | {} |\n|---|{}",
            heads.join(" | "),
            "--:|".repeat(heads.len())
        );
        for name in names {
            let cells: Vec<String> = result.rows.iter().map(|row| cell(row, name)).collect();
            let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
        }
    } else {
        let _ = writeln!(
            text,
            "| | {} | runs |\n|---|{}",
            names.join(" | "),
            "--:|".repeat(names.len() + 1)
        );
        for row in &result.rows {
            let cells: Vec<String> = names.iter().map(|name| cell(row, name)).collect();
            let _ = writeln!(
                text,
                "| {} | {} | {} |",
                row.name,
                cells.join(" | "),
                row.runs
            );
        }
    }
    text
}

fn runs(runs: usize) -> String {
    match runs {
        1 => "1 run".into(),
        n => format!("{n} runs"),
    }
}

fn show(spread: &Spread) -> String {
    if spread.min == spread.max {
        return number(spread.median);
    }
    format!(
        "{} ({} – {})",
        number(spread.median),
        number(spread.min),
        number(spread.max)
    )
}

/// Three significant digits, or all of those before the point, in groups of three.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v < 0.1 => 3,
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    let plain = format!("{value:.digits$}");
    let whole = plain.find('.').unwrap_or(plain.len());
    let mut grouped = String::new();
    for (at, digit) in plain.chars().enumerate() {
        if at > 0 && at < whole && (whole - at).is_multiple_of(3) && grouped != "-" {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
