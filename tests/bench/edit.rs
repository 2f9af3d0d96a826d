//! A line changed on Local's disk, until Cloud's file has the same bytes.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::{
    RUNS,
    figure::{Figure, median, ms, percentile},
    node::{OwnerKeys, PATIENCE, Pair, wait},
};

const GOAL_MS: f64 = 60.0;
const EDITS: usize = 20;
const NOTE: &str = "Plans/note.md";
const NOTE_BYTES: usize = 2048;
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// Between edits, so that none meets what the one before it left to do.
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Save {
    Rename,
    InPlace,
}

pub(crate) fn measure() -> Result<Vec<Figure>> {
    let mut runs = Vec::new();
    let mut all: Vec<(Save, f64)> = Vec::new();
    for _ in 0..RUNS {
        let edits = run()?;
        runs.push(median(&edits.iter().map(|(_, time)| *time).collect::<Vec<_>>()));
        all.extend(edits);
    }
    let times = |wanted: Option<Save>| -> Vec<f64> {
        all.iter().filter(|(save, _)| wanted.is_none_or(|wanted| wanted == *save)).map(|(_, time)| *time).collect()
    };
    let every = times(None);
    let note = format!(
        "{EDITS} edits a run; of all {}: p95 {:.1}, max {:.1}; median by rename {:.1}, in place {:.1}",
        every.len(),
        percentile(&every, 95),
        percentile(&every, 100),
        median(&times(Some(Save::Rename))),
        median(&times(Some(Save::InPlace)))
    );
    Ok(vec![Figure::new("one-line edit Local → Cloud", "ms", runs).at_most(GOAL_MS).note(note)])
}

/// A mesh of its own, one note, its edits.
fn run() -> Result<Vec<(Save, f64)>> {
    let pair = Pair::start(OwnerKeys::Unprotected, "")?;
    let mut text = note();
    pair.local.save(NOTE, text.as_bytes())?;
    let (here, there) = (pair.local.vault.join(NOTE), pair.cloud.vault.join(NOTE));
    wait("the note arrives", || fs::read(&there).is_ok_and(|bytes| bytes == text.as_bytes()))?;
    let mut edits = Vec::new();
    for number in 0..EDITS {
        // Off the beat of anything that happens at regular times.
        thread::sleep(PAUSE + Duration::from_millis(number as u64 * 37 % 50));
        change(&mut text, number);
        let save = if number % 2 == 0 { Save::Rename } else { Save::InPlace };
        edits.push((save, ms(timed(save, &here, &there, text.as_bytes())?)));
    }
    Ok(edits)
}

fn note() -> String {
    let mut text = "# A plan\n\n".to_owned();
    let mut number = 0;
    while text.len() < NOTE_BYTES {
        number += 1;
        writeln!(text, "- step {number}: something that is to be done, with the reason why").expect("a string grows");
    }
    text
}

/// By turns a new line at the end, and another text for a line in the middle.
fn change(text: &mut String, number: usize) {
    if number % 4 < 2 {
        writeln!(text, "- added {number}: one line more").expect("a string grows");
        return;
    }
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let middle = lines.len() / 2 + number % 3;
    lines[middle] = format!("- changed {number}: the step as it is now");
    *text = lines.join("\n") + "\n";
}

fn timed(save: Save, here: &Path, there: &Path, bytes: &[u8]) -> Result<Duration> {
    let made = here.with_file_name(".note.md.tmp");
    let began = Instant::now();
    match save {
        Save::Rename => {
            fs::write(&made, bytes)?;
            fs::rename(&made, here)?;
        }
        Save::InPlace => fs::write(here, bytes)?,
    }
    while !fs::read(there).is_ok_and(|found| found == bytes) {
        ensure!(began.elapsed() < PATIENCE, "an edit does not arrive ({save:?})");
        thread::sleep(LOOK_AGAIN);
    }
    Ok(began.elapsed())
}
