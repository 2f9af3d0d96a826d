//! `demo`: the whole story, from `init` to the refused late edit.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    RUNS,
    figure::{Figure, median, ms},
    machine,
};

const GOAL_S: f64 = 10.0;

pub(crate) fn measure() -> Result<Vec<Figure>> {
    let (mut steps, mut wall) = (Vec::new(), Vec::new());
    let mut by_name: Vec<(String, Vec<f64>)> = Vec::new();
    for _ in 0..RUNS {
        let began = Instant::now();
        let output = Command::new(machine::binary()).args(["demo", "--json"]).stdin(Stdio::null()).output()?;
        wall.push(ms(began.elapsed()) / 1e3);
        ensure!(output.status.success(), "the demo failed: {}", String::from_utf8_lossy(&output.stderr));
        let told: Value = serde_json::from_slice(&output.stdout)?;
        let mut sum = 0.0;
        for (at, step) in told["steps"].as_array().context("the demo tells its steps")?.iter().enumerate() {
            let name = step["name"].as_str().unwrap_or_default();
            let took = step["ms"].as_f64().context("a step has a time")?;
            sum += took;
            if by_name.len() <= at {
                by_name.push((name.to_owned(), Vec::new()));
            }
            by_name[at].1.push(took);
        }
        steps.push(sum / 1e3);
    }
    let each: Vec<String> = by_name.iter().map(|(name, times)| format!("{name} {:.0}", median(times))).collect();
    Ok(vec![
        Figure::new("demo, wall", "s", wall).at_most(GOAL_S).note("with init, start, pairing and the end of the nodes"),
        Figure::new("demo, sum of steps", "s", steps).at_most(GOAL_S).note(format!("ms: {}", each.join(", "))),
    ])
}
