//! Names of files, numbers of decisions, and bans that each crate must repeat.

use std::collections::BTreeMap;

use super::{Finding, Source, assert_tidy, root, snippet, source};

/// Names that say nothing about what a file holds.
const EMPTY_NAMES: [&str; 9] =
    ["util", "utils", "common", "helper", "helpers", "manager", "managers", "misc", "shared"];

const CRATES: [&str; 3] = ["keys", "protocol", "crdt"];

fn name_findings(file: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if file.path.ends_with("/mod.rs") {
        let rule = "a module is `name.rs` beside `name/`, never `mod.rs`";
        findings.push(Finding::new(&file.path, 1, rule, "move it to the folder above, under the folder's name"));
    }
    let folders = file.path.rsplit_once('/').map_or("", |(folders, _)| folders);
    for name in folders.split('/').chain([file.stem()]).filter(|name| EMPTY_NAMES.contains(name)) {
        let rule = format!("`{name}` does not say what is inside");
        findings.push(Finding::new(&file.path, 1, rule, "name it by the main noun it holds"));
    }
    findings
}

/// Judges the names under `docs/decisions/`: four digits, a dash, a title, and no number twice.
fn decision_findings(paths: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut numbers: BTreeMap<&str, &str> = BTreeMap::new();
    for path in paths {
        let Some(name) = path.strip_prefix("docs/decisions/").filter(|name| *name != "README.md") else { continue };
        let numbered = name.split_once('-').filter(|(number, title)| {
            let digits = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
            digits && title.strip_suffix(".md").is_some_and(|title| !title.is_empty())
        });
        let Some((number, _)) = numbered else {
            findings.push(Finding::new(path, 1, "a decision is named NNNN-title.md", "give it the next free number"));
            continue;
        };
        if let Some(first) = numbers.insert(number, path) {
            let rule = format!("the number {number} is taken by {first}");
            findings.push(Finding::new(path, 1, rule, "give it the next free number"));
        }
    }
    findings
}

/// The paths banned by a `clippy.toml`, one `path = "…"` a line.
fn banned_paths(clippy: &str) -> Vec<&str> {
    clippy.lines().filter_map(|line| line.trim().strip_prefix("{ path = \"")?.split('"').next()).collect()
}

/// A crate's `clippy.toml` replaces the one at the top, so it has to repeat the bans made there.
fn repeated_ban_findings(top: &str, path: &str, own: &str) -> Vec<Finding> {
    let own = banned_paths(own);
    let missing = banned_paths(top).into_iter().filter(|ban| !own.contains(ban));
    let fix = "copy its line: a crate's clippy.toml replaces the one at the top";
    missing.map(|ban| Finding::new(path, 1, format!("the ban of `{ban}` at the top is lost here"), fix)).collect()
}

#[test]
fn files_are_named_by_what_they_hold() {
    assert_tidy(source::rust_files(&root()).iter().flat_map(name_findings).collect());
}

#[test]
fn decisions_have_unique_numbers() {
    let files = source::text_files(&root());
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    assert_tidy(decision_findings(&paths));
}

#[test]
fn the_pure_crates_repeat_the_bans_of_the_top() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).expect("each pure crate has its clippy.toml");
    let top = read("clippy.toml");
    assert!(!banned_paths(&top).is_empty(), "the bans at the top are read");
    for name in CRATES {
        let path = format!("{name}/clippy.toml");
        assert_tidy(repeated_ban_findings(&top, &path, &read(&path)));
    }
}

#[test]
fn an_empty_name_and_a_mod_file_are_found() {
    for path in ["node/src/utils.rs", "node/src/common/a.rs", "tests/harness/helpers.rs", "node/src/core/mod.rs"] {
        assert_eq!(name_findings(&snippet(path, "")).len(), 1, "{path}");
    }
    assert_eq!(name_findings(&snippet("node/src/core/router.rs", "")), []);
}

#[test]
fn a_number_used_twice_or_missing_is_found() {
    assert_eq!(decision_findings(&["docs/decisions/0001-a.md", "docs/decisions/0002-b.md", "docs/wire.md"]), []);
    assert_eq!(decision_findings(&["docs/decisions/README.md"]), []);
    let twice = decision_findings(&["docs/decisions/0001-a.md", "docs/decisions/0001-b.md"]);
    assert_eq!(twice[0].rule, "the number 0001 is taken by docs/decisions/0001-a.md");
    for path in ["docs/decisions/1-a.md", "docs/decisions/a.md", "docs/decisions/0001-.md"] {
        assert_eq!(decision_findings(&[path]).len(), 1, "{path}");
    }
}

#[test]
fn a_ban_that_a_crate_forgets_is_found() {
    let top = "x = [\n    { path = \"a::b\", reason = \"r\" },\n    { path = \"c::d\", reason = \"r\" },\n]\n";
    let findings = repeated_ban_findings(top, "keys/clippy.toml", "    { path = \"a::b\", reason = \"r\" },\n");
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].rule, "the ban of `c::d` at the top is lost here");
    assert_eq!(repeated_ban_findings(top, "keys/clippy.toml", top), []);
}
