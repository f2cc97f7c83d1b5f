//! What was measured, as data: one JSON file that the page and the plots are made of.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Median, least and most of several runs.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// Of at least one value.
    pub fn of(values: &[f64]) -> Spread {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[middle],
            _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
        };
        Spread {
            median,
            min: sorted.first().copied().unwrap_or(f64::NAN),
            max: sorted.last().copied().unwrap_or(f64::NAN),
        }
    }
}

/// One figure of a row, such as "µs CPU a message".
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Figure {
    pub name: String,
    #[serde(flatten)]
    pub spread: Spread,
    /// Whether `--quick` compares it: a ratio of two things measured side by side, and which way is better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub better: Option<Better>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    Higher,
    Lower,
}

/// One line of a case's table.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Row {
    pub name: String,
    /// Where the row stands on the curve, if the case is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<f64>,
    pub runs: usize,
    pub figures: Vec<Figure>,
}

impl Row {
    pub fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }
}

/// Where and when a case was measured.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct About {
    pub date: String,
    pub machine: String,
    pub kernel: String,
    pub job: String,
    pub kafka: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct CaseResult {
    pub case: String,
    pub about: About,
    pub rows: Vec<Row>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Results {
    pub cases: Vec<CaseResult>,
}

impl Results {
    /// What was recorded; nothing where there is no file yet.
    pub fn read(path: &Path) -> Result<Results, String> {
        match fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text)
                .map_err(|e| format!("{} can't be understood: {e}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Results::default()),
            Err(error) => Err(format!("{} can't be read: {error}", path.display())),
        }
    }

    pub fn write(&self, path: &Path) -> Result<(), String> {
        let mut text = serde_json::to_string_pretty(self).map_err(|e| e.to_string())?;
        text.push('\n');
        fs::write(path, text).map_err(|e| format!("{} can't be written: {e}", path.display()))
    }

    pub fn case(&self, name: &str) -> Option<&CaseResult> {
        self.cases.iter().find(|result| result.case == name)
    }

    /// Takes the place of what was known of this case; `order` is that of all cases.
    pub fn put(&mut self, result: CaseResult, order: &[&str]) {
        self.cases.retain(|known| known.case != result.case);
        self.cases.push(result);
        let place = |case: &CaseResult| order.iter().position(|name| *name == case.case);
        self.cases.sort_by_key(place);
    }

    pub fn figure(&self, case: &str, row: &str, figure: &str) -> Option<&Figure> {
        self.case(case)?
            .rows
            .iter()
            .find(|known| known.name == row)?
            .figure(figure)
    }
}

/// Collects the runs of a row.
#[derive(Default)]
pub struct Runs {
    row: Row,
    values: Vec<(String, Vec<f64>, Option<Better>)>,
}

impl Runs {
    pub fn new(name: impl Into<String>, x: Option<f64>) -> Runs {
        Runs {
            row: Row {
                name: name.into(),
                x,
                ..Row::default()
            },
            values: Vec::new(),
        }
    }

    pub fn name(&self) -> &str {
        &self.row.name
    }

    /// One run's value.
    pub fn add(&mut self, name: &str, value: f64) {
        self.push(name, value, None);
    }

    /// One run's ratio, that `--quick` compares.
    pub fn ratio(&mut self, name: &str, value: f64, better: Better) {
        self.push(name, value, Some(better));
    }

    fn push(&mut self, name: &str, value: f64, better: Option<Better>) {
        match self.values.iter_mut().find(|(known, ..)| known == name) {
            Some((_, values, _)) => values.push(value),
            None => self.values.push((name.to_owned(), vec![value], better)),
        }
    }

    pub fn row(self) -> Row {
        let runs = self
            .values
            .iter()
            .map(|(_, values, _)| values.len())
            .max()
            .unwrap_or(0);
        let figures = self.values.into_iter();
        Row {
            runs,
            figures: figures
                .map(|(name, values, better)| Figure {
                    name,
                    spread: Spread::of(&values),
                    better,
                })
                .collect(),
            ..self.row
        }
    }
}
