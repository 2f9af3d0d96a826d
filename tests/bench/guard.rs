//! How fast the egress guard looks at clean Markdown, on one core.

use std::time::Instant;

use aiemp_keys::{FingerprintKey, Fingerprints};
use aiemp_protocol::{egress::Guard, ids::Audience, vault_path::VaultPath};
use anyhow::{Context as _, Result};

use super::{RUNS, figure::Figure};

#[path = "../../protocol/src/egress/tests/prose.rs"]
mod prose;

const GOAL_MB_PER_S: f64 = 100.0;
const BYTES: usize = 8_000_000;
const SECRETS: usize = 32;

pub(crate) fn measure() -> Result<Vec<Figure>> {
    let guard = guard()?;
    let path = VaultPath::parse("Notes/plan.md")?;
    let text = markdown();
    let mut runs = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let bytes = text.clone().into_bytes();
        let start = Instant::now();
        guard.clear_file(&path, Audience::All, bytes).context("clean Markdown is held")?;
        runs.push(text.len() as f64 / 1e6 / start.elapsed().as_secs_f64());
    }
    let note = format!("{SECRETS} known secrets and all rules, {} bytes in one file", text.len());
    Ok(vec![Figure::new("guard, clean Markdown", "MB/s", runs).at_least(GOAL_MB_PER_S).note(note)])
}

/// A guard that knows secrets of ten lengths.
fn guard() -> Result<Guard> {
    let mut known = Fingerprints::new(FingerprintKey::from_bytes([7; 32]));
    for number in 0..SECRETS {
        let secret: String =
            "made-up-and-long-enough-".chars().cycle().skip(number).take(12 + 4 * (number % 10)).collect();
        known.add(&format!("secret {number}"), format!("{number}{secret}").as_bytes())?;
    }
    Ok(Guard::new(known))
}

/// Notes with front matter, headings, paragraphs and tasks.
fn markdown() -> String {
    let mut text = String::with_capacity(BYTES + 4096);
    for number in 0.. {
        if text.len() >= BYTES {
            break;
        }
        text += &prose::prose(number);
    }
    text
}
