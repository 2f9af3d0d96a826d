//! The attacks that a user can run: all are refused, soon, and they leave nothing.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    deploy::skip,
    node::{binary, text},
};

#[test]
fn every_attack_of_the_selftest_ends_as_it_should_within_a_minute() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    // It may have to be built first, which is no part of the minute.
    let program = binary();
    let since = Instant::now();
    let output = Command::new(program).args(["selftest", "--json"]).env("TMPDIR", temporary.path()).output();
    let output = output.expect("the selftest runs");
    let took = since.elapsed();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    let attacks = told["attacks"].as_array().expect("attacks");
    let failed: Vec<_> = attacks.iter().filter(|attack| attack["ok"] != true).collect();
    assert!(attacks.len() >= 245 && took <= Duration::from_secs(60), "{} attacks in {took:?}", attacks.len());
    assert_eq!(fs::read_dir(temporary.path()).expect("the folder").count(), 0, "nothing is left behind");
    let in_walls = |attack: &&&Value| attack["name"].as_str().is_some_and(|name| name.starts_with("inside "));
    if !failed.is_empty() && failed.iter().all(|attack| in_walls(&attack)) {
        return skip(&format!("this kernel cannot put every wall up: {failed:?}"));
    }
    assert!(failed.is_empty() && output.status.success(), "{failed:?}");
}
