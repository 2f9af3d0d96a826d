//! Tidy: the rules of the house that no compiler checks, read from the working tree.
//!
//! Every rule is a function from text to findings, so that each is shown both the tree, where it must find nothing,
//! and a bad snippet, where it must find something. A finding says where, which rule, and how to put it right.

mod floors;
mod links;
mod names;
mod shape;
mod source;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};

use source::Source;

/// One broken rule at one place.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    rule: String,
    fix: String,
}

impl Finding {
    fn new(path: &str, line: usize, rule: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule: rule.into(), fix: fix.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    fix: {}", self.path, self.line, self.rule, self.fix)
    }
}

/// The top of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests crate lies below the top").to_owned()
}

/// Fails the calling test with every finding, one a line, ready to be clicked.
fn assert_tidy(findings: Vec<Finding>) {
    let report: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{} broken rule(s)\n{}\n", findings.len(), report.join("\n"));
}

/// Applies a rule to each Rust file of the tree.
fn each_rust_file(rule: impl Fn(&Source) -> Vec<Finding>) -> Vec<Finding> {
    source::rust_files(&root()).iter().flat_map(rule).collect()
}

/// A snippet under a chosen path, as if it were a file of the tree.
fn snippet(path: &str, text: &str) -> Source {
    Source::new(path.to_owned(), text.to_owned())
}

#[test]
fn a_finding_names_the_line_the_rule_and_the_fix() {
    let finding = Finding::new("keys/src/lib.rs", 7, "the rule", "the fix");
    assert_eq!(finding.to_string(), "keys/src/lib.rs:7: the rule\n    fix: the fix");
}

#[test]
#[should_panic(expected = "1 broken rule(s)\na.rs:1: r\n    fix: f")]
fn one_finding_fails_the_test() {
    assert_tidy(vec![Finding::new("a.rs", 1, "r", "f")]);
}

#[test]
fn the_walk_sees_this_file_and_no_build_output() {
    let paths: Vec<String> = source::text_files(&root()).into_iter().map(|f| f.path).collect();
    assert!(paths.iter().any(|p| p == "tests/suite/tidy.rs"), "{paths:?}");
    assert!(!paths.iter().any(|p| p.starts_with("target/") || p.starts_with(".git/")));
}
