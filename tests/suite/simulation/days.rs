//! Meshes of three to five nodes over days.

use std::{collections::BTreeSet, sync::Mutex};

use aiemp_tests::simulation::days::{self, Days};

/// Seeds that found something once: they run each time.
const FOUND: [u64; 7] = [1_972, 3_728, 4_172, 4_411, 5_679, 6_753, 7_214];
/// One mesh over days for so many of hours: each takes three times as long, and an ordinary run may take a tenth longer.
const SHARE: u64 = 35;
/// So few meshes may all be without a conflict.
const FEW: usize = 20;
/// After how many meshes a long run says that it goes on.
const PROGRESS_EVERY: usize = 500;

/// Runs one seed; one that fails tells its whole story.
#[expect(clippy::print_stdout, reason = "for the person who looks at one seed")]
fn run_seed(seed: u64) {
    let (story, outcome) = days::tell(seed);
    match outcome {
        Ok(outcome) => println!("{outcome:?}"),
        Err(violation) => {
            for line in story {
                println!("{line}");
            }
            panic!("seed {seed} over days failed: {violation}");
        }
    }
}

/// How many meshes of a size there were, and what happened in them in all.
fn line(runs: &[Days], nodes: usize) -> String {
    let runs: Vec<_> = runs.iter().filter(|run| run.nodes == nodes).collect();
    let sum = |of: fn(&Days) -> usize| runs.iter().map(|run| of(run)).sum::<usize>();
    format!(
        "{} meshes of {nodes} nodes: {} days, {} entries, {} words saved, {} notes started anew, {} conflicts listed by every node",
        runs.len(),
        runs.iter().map(|run| run.days).sum::<u64>(),
        sum(|run| run.entries),
        sum(|run| run.words),
        sum(|run| run.compacted),
        sum(|run| run.conflicts),
    )
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures are what a long run is for")]
fn meshes_of_five_agree_after_days_apart() {
    if let Some(seed) = super::number_from("AIEMP_DAYS_SEED") {
        return run_seed(seed);
    }
    let of_hours = super::number_from("AIEMP_SIM_SEEDS").unwrap_or(super::SEEDS);
    let seeds = super::number_from("AIEMP_DAYS_SEEDS").unwrap_or(of_hours.div_ceil(SHARE));
    let all: BTreeSet<_> = FOUND.into_iter().chain(0..seeds).collect();
    let seeds = all.len();
    let (runs, failed) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    super::for_each_seed(all.into_iter(), |seed| match days::run(seed) {
        Ok(run) => {
            let mut runs = runs.lock().expect("nobody panics with it");
            runs.push(run);
            if runs.len().is_multiple_of(PROGRESS_EVERY) {
                println!("{} of {seeds} meshes so far", runs.len());
            }
        }
        Err(violation) => {
            println!("seed {seed} over days failed: {violation}");
            failed.lock().expect("nobody panics with it").push(seed);
        }
    });
    let runs = runs.into_inner().expect("nobody panicked with it");
    let mut failed = failed.into_inner().expect("nobody panicked with it");
    failed.sort_unstable();
    for nodes in 3..=5 {
        println!("{}", line(&runs, nodes));
    }
    println!("{} of {seeds} meshes agree", runs.len());
    assert!(
        failed.is_empty(),
        "seeds {failed:?} failed: reproduce one with AIEMP_DAYS_SEED=… cargo test -p aiemp-tests simulation::days"
    );
    assert!(seeds < FEW || runs.iter().any(|run| run.conflicts > 0), "none of {seeds} meshes came to a conflict");
    assert!(seeds < FEW || runs.iter().any(|run| run.compacted > 0), "in none of {seeds} meshes a note started anew");
}
