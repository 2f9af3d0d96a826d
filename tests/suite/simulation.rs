//! Whole meshes on virtual time, from seeds.

mod active;
mod adoption;
mod agents;
mod arrivals;
mod bases;
mod books;
mod brains;
mod changes;
mod claims;
mod compaction;
mod copies;
mod dashboard;
mod day_logs;
mod days;
mod deleted;
mod digest;
mod drafted;
mod duplicates;
mod fields;
mod forgetting;
mod held;
mod history;
mod ids;
mod members;
mod names;
mod newsletters;
mod origins;
mod overlaps;
mod overtaken;
mod payloads;
mod places;
mod removals;
mod repairs;
mod replaced;
mod reports;
mod saves;
mod scenarios;
mod sessions;
mod shape;
mod stopped;
mod troubles;

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use aiemp_tests::simulation;

/// Seeds that found something once: they run first, for ever.
const FOUND: &str = include_str!("../vectors/simulation_seeds.txt");
/// Seeds of an ordinary run.
const SEEDS: u64 = 2_000;
const THREADS: usize = 2;

fn number_from(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
}

/// Runs one seed; one that fails tells its whole story.
#[expect(clippy::print_stdout, reason = "for the person who looks at one seed")]
fn run_seed(seed: u64) {
    let (story, outcome) = simulation::tell(seed);
    if let Err(violation) = outcome {
        for line in story {
            println!("{line}");
        }
        panic!("simulation seed {seed} failed: {violation}");
    }
}

#[test]
fn every_promise_holds_for_every_seed() {
    if let Some(seed) = number_from("AIEMP_SIM_SEED") {
        return run_seed(seed);
    }
    let found: Vec<u64> = FOUND
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a line begins with a seed")
        })
        .collect();
    let seeds = number_from("AIEMP_SIM_SEEDS").unwrap_or(SEEDS);
    let compacted = AtomicUsize::new(0);
    for_each_seed(found.into_iter().chain(0..seeds), |seed| match simulation::run(seed) {
        Ok(outcome) => drop(compacted.fetch_add(outcome.compacted, Ordering::Relaxed)),
        Err(violation) => panic!(
            "simulation seed {seed} failed: {violation}: reproduce with AIEMP_SIM_SEED={seed} cargo test -p \
             aiemp-tests simulation"
        ),
    });
    assert!(compacted.into_inner() > 0, "in no mesh a note started anew");
}

/// Runs seeds on all threads until one panics.
fn for_each_seed(seeds: impl Iterator<Item = u64> + Send, run: impl Fn(u64) + Sync) {
    let (seeds, failed) = (Mutex::new(seeds), AtomicBool::new(false));
    let next = || seeds.lock().expect("no seed panics while it is taken").next();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(seed) = next().filter(|_| !failed.load(Ordering::Relaxed)) {
                    let ended = panic::catch_unwind(AssertUnwindSafe(|| run(seed)));
                    if let Err(cause) = ended {
                        failed.store(true, Ordering::Relaxed);
                        panic::resume_unwind(cause);
                    }
                }
            });
        }
    });
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in [1, 2, 3] {
        assert_eq!(simulation::run(seed), simulation::run(seed), "seed {seed}");
    }
}
