//! The floors: who may depend on whom, read from the manifests.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{Finding, assert_tidy, root};

/// What one crate may and may not depend on, in any kind of dependency.
struct Floor {
    package: &'static str,
    ours: &'static [&'static str],
    /// A name bans the crate and those whose names begin with it and a dash.
    forbidden: &'static [&'static str],
}

const FLOORS: [Floor; 5] = [
    Floor { package: "aiemp-keys", ours: &[], forbidden: &["tokio", "libp2p", "automerge", "rusqlite", "notify"] },
    Floor {
        package: "aiemp-protocol",
        ours: &["aiemp-keys"],
        forbidden: &["automerge", "tokio", "libp2p", "notify", "rusqlite"],
    },
    Floor {
        package: "aiemp-crdt",
        ours: &["aiemp-keys", "aiemp-protocol"],
        forbidden: &["tokio", "libp2p", "notify", "rusqlite"],
    },
    Floor { package: "aiemp-node", ours: &["aiemp-keys", "aiemp-protocol", "aiemp-crdt"], forbidden: &[] },
    Floor {
        package: "aiemp-tests",
        ours: &["aiemp-keys", "aiemp-protocol", "aiemp-crdt", "aiemp-node"],
        forbidden: &[],
    },
];

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value[key].as_array().into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Judges the answer of `cargo metadata --no-deps` by the table of floors.
fn floor_findings(metadata: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in list(metadata, "packages") {
        let (name, manifest) = (text(package, "name"), text(package, "manifest_path"));
        let shown = Path::new(manifest).strip_prefix(root()).unwrap_or(Path::new(manifest)).display().to_string();
        let Some(floor) = FLOORS.iter().find(|floor| floor.package == name) else {
            let rule = format!("the crate `{name}` stands on no floor");
            findings.push(Finding::new(&shown, 1, rule, "give it a row in FLOORS, in tests/suite/tidy/floors.rs"));
            continue;
        };
        let manifest = std::fs::read_to_string(manifest).unwrap_or_default();
        for dependency in list(package, "dependencies").map(|d| text(d, "name")) {
            let line = 1 + manifest.lines().position(|line| line.starts_with(dependency)).unwrap_or_default();
            let broken = broken_by(floor, dependency);
            findings
                .extend(broken.map(|(rule, fix)| Finding::new(&shown, line, format!("{name} must not {rule}"), fix)));
        }
    }
    findings
}

/// What a floor breaks by this dependency, with the fix.
fn broken_by(floor: &Floor, dependency: &str) -> Option<(String, &'static str)> {
    if FLOORS.iter().any(|floor| floor.package == dependency) && !floor.ours.contains(&dependency) {
        let rule = format!("depend on {dependency}: imports go down only");
        return Some((rule, "move what both need to a lower floor"));
    }
    let family =
        |ban: &&&str| dependency.strip_prefix(**ban).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    let ban = floor.forbidden.iter().find(family)?;
    Some((format!("depend on {dependency} ({ban})"), "do this work on a floor that may, behind an input and an output"))
}

#[test]
fn floors_import_downwards_only() {
    assert_tidy(floor_findings(&metadata()));
}

#[test]
fn every_floor_is_in_the_workspace() {
    let metadata = metadata();
    for floor in &FLOORS {
        assert!(list(&metadata, "packages").any(|p| text(p, "name") == floor.package), "{} is gone", floor.package);
    }
}

#[test]
fn an_import_upwards_a_runtime_below_and_an_unknown_crate_are_found() {
    let package = |name: &str, dependencies: &[&str]| {
        let dependencies: Vec<Value> = dependencies.iter().map(|d| serde_json::json!({ "name": d })).collect();
        serde_json::json!({ "packages": [{ "name": name, "manifest_path": "x/Cargo.toml", "dependencies": dependencies }] })
    };
    let rules = |name: &str, dependencies: &[&str]| -> Vec<String> {
        floor_findings(&package(name, dependencies)).into_iter().map(|finding| finding.rule).collect()
    };
    assert_eq!(rules("aiemp-keys", &["ring"]), Vec::<String>::new());
    assert_eq!(
        rules("aiemp-keys", &["aiemp-protocol"]),
        ["aiemp-keys must not depend on aiemp-protocol: imports go down only"]
    );
    assert_eq!(rules("aiemp-protocol", &["tokio-util"]), ["aiemp-protocol must not depend on tokio-util (tokio)"]);
    assert_eq!(rules("aiemp-crdt", &["libp2p"]), ["aiemp-crdt must not depend on libp2p (libp2p)"]);
    assert_eq!(rules("aiemp-crdt", &["automerge"]), Vec::<String>::new());
    assert_eq!(rules("aiemp-desk", &[]), ["the crate `aiemp-desk` stands on no floor"]);
}
