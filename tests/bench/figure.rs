//! One measured figure: its runs, its goal, and its row of the table.

use std::time::Duration;

/// What was measured, a number for each run.
#[derive(Debug)]
pub(crate) struct Figure {
    name: String,
    unit: &'static str,
    runs: Vec<f64>,
    goal_max: Option<f64>,
    goal_min: Option<f64>,
    note: String,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, runs: Vec<f64>) -> Self {
        Self { name: name.into(), unit, runs, goal_max: None, goal_min: None, note: String::new() }
    }

    /// The median is to be this or less.
    pub(crate) fn at_most(self, goal_max: f64) -> Self {
        Self { goal_max: Some(goal_max), ..self }
    }

    /// The median is to be this or more.
    pub(crate) fn at_least(self, goal_min: f64) -> Self {
        Self { goal_min: Some(goal_min), ..self }
    }

    pub(crate) fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// A row of a Markdown table.
    pub(crate) fn row(&self) -> String {
        let Self { name, unit, runs, goal_max, goal_min, note } = self;
        let middle = median(runs);
        let number = |value: f64| format!("{value:.*}", if value < 100.0 { 2 } else { 0 });
        let least = runs.iter().copied().fold(f64::INFINITY, f64::min);
        let most = runs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (goal, met) = match (goal_max, goal_min) {
            (Some(most), _) => (format!("≤ {most} {unit}"), Some(middle <= *most)),
            (None, Some(least)) => (format!("≥ {least} {unit}"), Some(middle >= *least)),
            (None, None) => ("-".to_owned(), None),
        };
        let verdict = met.map_or("-", |met| if met { "met" } else { "MISSED" });
        format!(
            "| {name} | {} | {} | {} | {unit} | {} | {goal} | {verdict} | {note} |",
            number(least),
            number(middle),
            number(most),
            runs.len()
        )
    }
}

/// All figures as a Markdown table.
pub(crate) fn table(figures: &[Figure]) -> String {
    let head =
        "| figure | min | median | max | unit | runs | goal | verdict | note |\n|---|--:|--:|--:|---|--:|---|---|---|";
    let rows = figures.iter().map(|figure| format!("\n{}", figure.row()));
    format!("\n{head}{}\n", rows.collect::<String>())
}

/// The middle value; of an even count the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[middle - 1], sorted[middle]) } else { sorted[middle] }
}

/// The value that the given share, in percent, of all values does not exceed.
pub(crate) fn percentile(values: &[f64], share: usize) -> f64 {
    let sorted = sorted(values);
    sorted[(sorted.len() * share).div_ceil(100).max(1) - 1]
}

fn sorted(values: &[f64]) -> Vec<f64> {
    assert!(!values.is_empty(), "a figure has runs");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

pub(crate) fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
