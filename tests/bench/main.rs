//! The figures that the node promises, measured with the release binary on loopback: `cargo bench -p aiemp-tests`.
//!
//! Each figure is the median of several runs, printed with its goal. `AIEMP_BENCH_ONLY=edit,a2a` measures those alone.
//! Times depend on the machine and on what else it does, so its cores and load are printed too; the A2A goal is a
//! ratio against bare libp2p in the same run.

mod a2a;
mod approve;
mod demo;
mod edit;
mod figure;
mod guard;
mod idle;
mod machine;
mod mail;
mod node;
mod size;
mod smtp_sink;

use std::process::ExitCode;

use anyhow::{Result, bail};

use self::figure::Figure;

/// Runs behind each figure.
pub(crate) const RUNS: usize = 5;

/// Measures the figures of one subject.
type Measure = fn() -> Result<Vec<Figure>>;

/// The names to choose from, in the order of measuring: the short ones first.
const SUBJECTS: [(&str, Measure); 8] = [
    ("edit", edit::measure),
    ("a2a", a2a::measure),
    ("approve", approve::measure),
    ("demo", demo::measure),
    ("guard", guard::measure),
    ("mail", mail::measure),
    ("size", size::measure),
    ("idle", idle::measure),
];

fn main() -> ExitCode {
    // `cargo test --all-targets` runs this too, without the word that `cargo bench` adds.
    if !std::env::args().any(|argument| argument == "--bench") {
        say("figures: measured by `cargo bench -p aiemp-tests` only");
        return ExitCode::SUCCESS;
    }
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format!("not measured: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<()> {
    let chosen = chosen()?;
    // The guard is measured in this process.
    if chosen.iter().any(|(name, _)| *name != "guard") {
        machine::build_node()?;
    }
    say(machine::facts());
    let (mut figures, mut failed) = (Vec::new(), Vec::new());
    for (name, measure) in chosen {
        say(format!("{name}: load {}", machine::load()));
        match measure() {
            Ok(measured) => {
                measured.iter().for_each(|figure| say(format!("  {}", figure.row())));
                figures.extend(measured);
            }
            Err(error) => failed.push(format!("{name}: {error:#}")),
        }
    }
    say(figure::table(&figures));
    say(format!("load at the end: {}", machine::load()));
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("\n")) }
}

fn chosen() -> Result<Vec<(&'static str, Measure)>> {
    let Ok(only) = std::env::var("AIEMP_BENCH_ONLY") else { return Ok(SUBJECTS.to_vec()) };
    let wanted: Vec<&str> = only.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let names: Vec<&str> = SUBJECTS.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = wanted.iter().find(|name| !names.contains(name)) {
        bail!("AIEMP_BENCH_ONLY names `{unknown}`; there are {}", names.join(", "));
    }
    Ok(SUBJECTS.into_iter().filter(|(name, _)| wanted.contains(name)).collect())
}

#[expect(clippy::print_stdout, reason = "the table is what the bench is for; everything it prints goes through here")]
pub(crate) fn say(text: impl std::fmt::Display) {
    println!("{text}");
}
