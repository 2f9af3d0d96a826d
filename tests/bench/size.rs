//! The program's size, as built and without symbols.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};

use super::{figure::Figure, machine};

const GOAL_MB: f64 = 25.0;

pub(crate) fn measure() -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let copy = dir.path().join("aiemp-node");
    fs::copy(machine::binary(), &copy)?;
    let built = fs::metadata(&copy)?.len();
    let status = Command::new("strip").arg(&copy).status().context("cannot run `strip` (Debian: binutils)")?;
    ensure!(status.success(), "strip ended with {status}");
    let stripped = fs::metadata(&copy)?.len();
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let note = format!("{stripped} bytes; as built {built}");
    Ok(vec![Figure::new("release binary, stripped", "MB", vec![mb(stripped)]).at_most(GOAL_MB).note(note)])
}
