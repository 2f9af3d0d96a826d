//! Meshes of three to five nodes over days.

use std::sync::Mutex;

use aiemp_tests::simulation::days::{self, Days};

/// Seeds of an ordinary run.
const SEEDS: u64 = 60;

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
        "{} meshes of {nodes} nodes: {} days, {} entries, {} words saved, {} conflicts listed by every node",
        runs.len(),
        runs.iter().map(|run| run.days).sum::<u64>(),
        sum(|run| run.entries),
        sum(|run| run.words),
        sum(|run| run.conflicts),
    )
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures are what a long run is for")]
fn meshes_of_five_agree_after_days_apart() {
    if let Some(seed) = super::number_from("AIEMP_DAYS_SEED") {
        return run_seed(seed);
    }
    let seeds = super::number_from("AIEMP_DAYS_SEEDS").unwrap_or(SEEDS);
    let runs = Mutex::new(Vec::new());
    super::for_each_seed(0..seeds, |seed| match days::run(seed) {
        Ok(run) => runs.lock().expect("nobody panics with it").push(run),
        Err(violation) => panic!(
            "seed {seed} over days failed: {violation}: reproduce with AIEMP_DAYS_SEED={seed} cargo test -p \
             aiemp-tests simulation::days"
        ),
    });
    let runs = runs.into_inner().expect("nobody panicked with it");
    for nodes in 3..=5 {
        println!("{}", line(&runs, nodes));
    }
    assert!(runs.len() == usize::try_from(seeds).expect("few") && runs.iter().any(|run| run.conflicts > 0));
}
