//! The fuzz targets without a fuzzer: the seeds, the committed corpus, and some mutations of both.
//!
//! The mutations follow from one seed, which a failure prints with the input. `AIEMP_FUZZ_SEED` runs another one. With
//! `AIEMP_FUZZ_SEEDS_TO` the seeds are also written there, a folder for each target: where a new corpus starts.

use std::{
    fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
};

use aiemp_tests::{
    fuzz::{TARGETS, Target, seeds},
    random::Rng,
};
use data_encoding::HEXLOWER;

/// The seed of the ordinary run.
const SEED: u64 = 1;
/// Mutations that are made of one input at most.
const STEPS_MAX: u64 = 6;
/// Longest input that mutations make.
const INPUT_BYTES_MAX: usize = 16 << 10;
/// Bytes at which encodings change.
const EDGES: [u8; 16] =
    [0x00, 0x01, 0x17, 0x18, 0x1b, 0x20, 0x3b, 0x40, 0x58, 0x60, 0x7f, 0x80, 0x9f, 0xa0, 0xf6, 0xff];

const CORPUS_FILES_MAX: usize = 60;
const CORPUS_BYTES_MAX: u64 = 200 << 10;

fn corpus_folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target.name)
}

/// The committed inputs, in order of name.
fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = fs::read_dir(corpus_folder(target)).expect("each target has a corpus");
    let mut paths: Vec<PathBuf> = folder.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("readable")).collect()
}

/// Runs one input; a broken promise is told with all that repeats it.
fn run(target: &Target, input: &[u8], origin: &str) {
    if let Err(broken) = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input))) {
        let words = broken.downcast_ref::<String>().map(String::as_str).or(broken.downcast_ref::<&str>().copied());
        panic!("{} broke with {origin}: {}\ninput: {}", target.name, words.unwrap_or("?"), HEXLOWER.encode(input));
    }
}

fn mutated(rng: &mut Rng, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = rng.pick(inputs).cloned().unwrap_or_default();
    for _ in 0..rng.between(1, STEPS_MAX) {
        let at = rng.below(bytes.len() + 1);
        let end = (at + rng.below(16)).min(bytes.len());
        match rng.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            1 if at < bytes.len() => bytes[at] = EDGES[rng.below(EDGES.len())],
            2 => bytes.insert(at, EDGES[rng.below(EDGES.len())]),
            3 => drop(bytes.drain(at..end)),
            4 => bytes.truncate(at),
            5 => {
                let part = bytes[at..end].to_vec();
                let to = rng.below(bytes.len() + 1);
                drop(bytes.splice(to..to, part));
            }
            6 => {
                let other = rng.pick(inputs).cloned().unwrap_or_default();
                let from = rng.below(other.len() + 1);
                drop(bytes.splice(at..end, other[from..].iter().copied().take(64)));
            }
            _ => drop(bytes.splice(at..end, rng.next().to_le_bytes())),
        }
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}

fn fuzz(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let mut inputs = seeds::of(name);
    assert!(!inputs.is_empty(), "no seeds for {name}");
    if let Some(folder) = std::env::var_os("AIEMP_FUZZ_SEEDS_TO") {
        let folder = Path::new(&folder).join(name);
        fs::create_dir_all(&folder).expect("writable");
        for (at, seed) in inputs.iter().enumerate() {
            fs::write(folder.join(format!("seed-{at}")), seed).expect("writable");
        }
    }
    inputs.iter().for_each(|input| run(target, input, "a seed"));
    let committed = corpus(target);
    committed.iter().for_each(|input| run(target, input, "the corpus"));
    inputs.extend(committed);
    let seed = std::env::var("AIEMP_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    let mut rng = Rng::new(seed);
    for at in 0..target.inputs {
        let input = mutated(&mut rng, &inputs);
        run(target, &input, &format!("AIEMP_FUZZ_SEED={seed}, mutation {at}"));
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            fuzz(stringify!($name));
        })*

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

targets! {
    a2a active approval cose draft_format entry frame guard hands imap mail note path renderer roster standing ticket vet
}

#[test]
fn every_target_runs_here_and_in_the_fuzzer() {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, NAMES);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("the fuzzer's workspace");
    for name in names {
        assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name} is no binary of the fuzzer");
        let binary = fs::read_to_string(folder.join(format!("targets/{name}.rs"))).expect("its source");
        assert!(binary.contains(&format!("aiemp_tests::fuzz::{name}(bytes)")), "{name} calls something else");
    }
}

#[test]
fn the_corpus_stays_small() {
    for target in &TARGETS {
        let inputs = corpus(target);
        let bytes: u64 = inputs.iter().map(|input| input.len() as u64).sum();
        assert!(inputs.len() <= CORPUS_FILES_MAX, "{}: {} files", target.name, inputs.len());
        assert!(bytes <= CORPUS_BYTES_MAX, "{}: {bytes} bytes", target.name);
    }
}
