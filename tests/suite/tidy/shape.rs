//! The shape of files: how long a file, a function and a crate page may be, and how a file ends.

use super::source::{is_word, line_at};
use super::{Finding, Source, assert_tidy, each_rust_file, root, snippet, source};

const FILE_LINES_MAX: usize = 600;
const FILE_LINES_P90_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;
/// A page says at least what the crate decides and what it does not.
const PAGE_LINES: std::ops::RangeInclusive<usize> = 3..=80;
const PAGES: [&str; 5] =
    ["keys/src/lib.rs", "protocol/src/lib.rs", "crdt/src/lib.rs", "node/src/lib.rs", "tests/harness/lib.rs"];

fn file_findings(file: &Source) -> Vec<Finding> {
    let lines = file.production_lines();
    if !file.ships() || lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    let rule = format!("{lines} production lines, at most {FILE_LINES_MAX}");
    vec![Finding::new(&file.path, lines, rule, "one idea per file: give each handler or type a child file")]
}

/// Judges all files together: nine in ten must be short. Names the longest ones.
fn share_findings(files: &[Source]) -> Vec<Finding> {
    let mut lengths: Vec<(usize, &str)> =
        files.iter().filter(|file| file.ships()).map(|f| (f.production_lines(), f.path.as_str())).collect();
    lengths.sort_unstable();
    let rank = (lengths.len() * 9).div_ceil(10);
    let Some((p90, _)) = rank.checked_sub(1).map(|at| lengths[at]) else { return Vec::new() };
    if p90 <= FILE_LINES_P90_MAX {
        return Vec::new();
    }
    let rule = |lines| format!("{lines} production lines; nine files in ten must have at most {FILE_LINES_P90_MAX}");
    let long = lengths.iter().rev().take_while(|(lines, _)| *lines > FILE_LINES_P90_MAX);
    long.map(|(lines, path)| Finding::new(path, *lines, rule(*lines), "split the longest of these files")).collect()
}

fn function_findings(file: &Source) -> Vec<Finding> {
    let code = file.code.as_str();
    let mut findings = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let name: String = code[at + "fn ".len()..].chars().take_while(|c| is_word(*c)).collect();
        if code[..at].ends_with(is_word) || name.is_empty() {
            continue;
        }
        let lines = body_end(&code[at..]).map_or(1, |length| line_at(&code[at..at + length], length));
        if lines > FUNCTION_LINES_MAX {
            let rule = format!("`{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}");
            findings.push(Finding::new(&file.path, line_at(code, at), rule, "name its parts as functions below it"));
        }
    }
    findings
}

/// The length of a function from its `fn` to its closing brace; none if it has no body.
fn body_end(code: &str) -> Option<usize> {
    let (mut brackets, mut braces) = (0_usize, 0_usize);
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            ';' if brackets == 0 && braces == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 && brackets == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

fn page_findings(file: &Source) -> Vec<Finding> {
    let lines = file.text.lines().take_while(|line| line.starts_with("//!")).count();
    if !PAGES.contains(&file.path.as_str()) || PAGE_LINES.contains(&lines) {
        return Vec::new();
    }
    let rule = format!("the crate page has {lines} lines, from {} to {}", PAGE_LINES.start(), PAGE_LINES.end());
    let fix = "begin with `//!`: what the crate decides, what it does not, its life-cycle";
    vec![Finding::new(&file.path, lines.max(1), rule, fix)]
}

fn ending_findings(file: &Source) -> Vec<Finding> {
    if file.text.is_empty() || file.text.ends_with('\n') {
        return Vec::new();
    }
    let rule = "the last line has no end";
    vec![Finding::new(&file.path, file.text.lines().count(), rule, "end the file with a newline")]
}

#[test]
fn files_stay_below_the_ceiling() {
    assert_tidy(each_rust_file(file_findings));
}

#[test]
fn nine_files_in_ten_are_short() {
    assert_tidy(share_findings(&source::rust_files(&root())));
}

#[test]
fn functions_stay_below_the_ceiling() {
    assert_tidy(each_rust_file(function_findings));
}

#[test]
fn every_crate_has_a_page() {
    assert_tidy(each_rust_file(page_findings));
    let files = source::rust_files(&root());
    for page in PAGES {
        assert!(files.iter().any(|file| file.path == page), "{page} is gone");
    }
}

#[test]
fn files_end_with_a_newline() {
    assert_tidy(source::text_files(&root()).iter().flat_map(ending_findings).collect());
}

#[test]
fn a_long_file_is_found_and_its_tests_do_not_count() {
    let long = "fn a() {}\n".repeat(FILE_LINES_MAX + 1);
    assert_eq!(file_findings(&snippet("keys/src/a.rs", &long)).len(), 1);
    let tested = format!("{}#[cfg(test)]\nmod tests {{\n{long}}}\n", "fn a() {}\n".repeat(FILE_LINES_MAX));
    assert_eq!(file_findings(&snippet("keys/src/a.rs", &tested)), []);
    assert_eq!(file_findings(&snippet("keys/tests/a.rs", &long)), []);
}

#[test]
fn too_many_longish_files_are_found() {
    let file = |lines: usize| snippet("keys/src/a.rs", &"fn a() {}\n".repeat(lines));
    let mixed = |long: usize| -> Vec<Source> {
        (0..10).map(|at| file(if at < long { FILE_LINES_P90_MAX + 1 } else { 10 })).collect()
    };
    assert_eq!(share_findings(&mixed(1)), []);
    assert_eq!(share_findings(&mixed(2)).len(), 2);
    assert_eq!(share_findings(&[]), []);
}

#[test]
fn a_long_function_is_found_in_spite_of_braces_in_text() {
    let function = |lines: usize| {
        let body = "    f(\"}}\", '}'); // }\n".repeat(lines - 2);
        snippet("a.rs", &format!("const fn long<'a>(x: [u8; 4]) -> &'a str {{\n{body}}}\n\nfn short() {{}}\n"))
    };
    assert_eq!(function_findings(&function(FUNCTION_LINES_MAX)), []);
    let findings = function_findings(&function(FUNCTION_LINES_MAX + 1));
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].line, findings[0].rule.as_str()), (1, "`long` has 71 lines, at most 70"));
    let signature = format!("trait A {{\n    fn a();\n    fn b(f: fn (u8) -> u8);\n{}}}\n", "    // x\n".repeat(90));
    assert_eq!(function_findings(&snippet("a.rs", &signature)), []);
}

#[test]
fn a_missing_a_stub_and_an_endless_page_are_found() {
    for lines in [0, 1, 81] {
        let page = "//! x\n".repeat(lines) + "pub mod a;\n";
        assert_eq!(page_findings(&snippet("keys/src/lib.rs", &page)).len(), 1, "{lines}");
    }
    assert_eq!(page_findings(&snippet("keys/src/lib.rs", &"//! x\n".repeat(80))), []);
    assert_eq!(page_findings(&snippet("keys/src/seal.rs", "")), []);
}

#[test]
fn a_last_line_without_an_end_is_found() {
    assert_eq!(ending_findings(&snippet("a.toml", "a = 1\nb = 2"))[0].line, 2);
    assert_eq!(ending_findings(&snippet("a.toml", "a = 1\n")), []);
}
