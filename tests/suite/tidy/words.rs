//! Words that may not stand in some folders: the clock, the network and the runtime below the shell, and marks of
//! unfinished work anywhere.

use super::source::{is_word, line_at};
use super::{Finding, Source, assert_tidy, each_rust_file, root, snippet, source};

/// Words that may not stand in a folder's code: in the part that ships, or anywhere if no folder is named.
struct Ban {
    folder: &'static str,
    words: &'static [&'static str],
    fix: &'static str,
}

const PURE: &[&str] = &["SystemTime::now", "Instant::now", "std::env", "std::thread", "std::fs", "std::net"];
const PURE_FIX: &str = "take it as an input with its time and seed, or ask for it by an output";

const BANS: [Ban; 4] = [
    Ban { folder: "protocol/src/", words: PURE, fix: PURE_FIX },
    Ban { folder: "crdt/src/", words: PURE, fix: PURE_FIX },
    Ban {
        folder: "node/src/core",
        words: &[
            "crate::shell",
            "super::shell",
            "std::fs",
            "std::net",
            "std::process",
            "std::env",
            "std::thread",
            "std::time::SystemTime",
            "SystemTime::now",
            "Instant::now",
            "tokio::",
            "libp2p::",
            "rusqlite",
        ],
        fix: "the core composes machines only: queue an output and let node/src/shell act on it",
    },
    Ban {
        folder: "",
        words: &["unbounded_channel", "mpsc::unbounded", "channel::unbounded", "UnboundedSender", "mpsc::channel()"],
        fix: "use a channel with a capacity named in limits.rs",
    },
];

/// Marks of work left undone, in code and comments. Split, so that this file does not name them itself.
const UNDONE: [&str; 5] =
    [concat!("to", "do!("), concat!("unimpl", "emented!("), concat!("TO", "DO"), concat!("FIX", "ME"), "#[ignore"];

/// The offsets at which a word stands by itself in a text.
fn find_word<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let joined_before = word.starts_with(is_word) && text[..*at].ends_with(is_word);
        let joined_after = word.ends_with(is_word) && text[at + word.len()..].starts_with(is_word);
        !joined_before && !joined_after
    })
}

fn ban_findings(file: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for ban in BANS.iter().filter(|ban| file.path.starts_with(ban.folder)) {
        let code = if ban.folder.is_empty() { &file.code } else { file.shipped_code() };
        let imports = imports(code);
        for word in ban.words {
            let in_code = find_word(code, word).map(|at| line_at(code, at));
            let in_imports = imports.iter().filter(|(_, path)| find_word(path, word).next().is_some()).map(|(l, _)| *l);
            let mut lines: Vec<usize> = in_code.chain(in_imports).collect();
            lines.sort_unstable();
            lines.dedup();
            let place = if ban.folder.is_empty() { "the tree" } else { ban.folder };
            let finding = |line| Finding::new(&file.path, line, format!("`{word}` may not stand in {place}"), ban.fix);
            findings.extend(lines.into_iter().map(finding));
        }
    }
    findings
}

/// Every path that a `use` brings in, written out, with the line of its `use`; `code` has no comments.
fn imports(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in find_word(code, "use") {
        let Some(end) = code[at..].find(';') else { continue };
        let tree = code[at + "use".len()..at + end].replace(" as ", "@").split_whitespace().collect::<String>();
        let mut paths = Vec::new();
        expand("", &tree, &mut paths);
        let line = line_at(code, at);
        found.extend(paths.into_iter().map(|path| (line, path)));
    }
    found
}

/// Writes out one `use` tree: `std::{fs, net::{self}}` gives `std::fs` and `std::net::self`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((head, rest)) = tree.split_once('{') else {
        paths.push(format!("{prefix}{tree}"));
        return;
    };
    let inner = rest.strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut start) = (0_usize, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                if start < at {
                    expand(&format!("{prefix}{head}"), &inner[start..at], paths);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

fn undone_findings(file: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for word in UNDONE {
        for at in find_word(&file.prose, word) {
            let rule = format!("`{word}` marks work left undone");
            findings.push(Finding::new(&file.path, line_at(&file.prose, at), rule, "finish it, or leave it out"));
        }
    }
    findings
}

fn rules(findings: &[Finding]) -> Vec<(usize, &str)> {
    findings.iter().map(|finding| (finding.line, finding.rule.as_str())).collect()
}

#[test]
fn clocks_files_and_runtimes_stay_out_of_the_pure_code() {
    assert_tidy(each_rust_file(ban_findings));
}

#[test]
fn nothing_is_marked_as_undone() {
    let read = |file: &Source| [".rs", ".toml", ".sh", ".md"].iter().any(|end| file.path.ends_with(end));
    assert_tidy(source::text_files(&root()).iter().filter(|file| read(file)).flat_map(undone_findings).collect());
}

#[test]
fn a_forbidden_word_is_found_in_calls_and_in_nested_imports() {
    let called = snippet("protocol/src/time.rs", "fn f() {\n    std::time::SystemTime::now();\n}\n");
    assert_eq!(rules(&ban_findings(&called)), [(2, "`SystemTime::now` may not stand in protocol/src/")]);
    let nested = snippet("crdt/src/note.rs", "use std::{\n    collections::BTreeMap,\n    fs::{self, File},\n};\n");
    assert_eq!(rules(&ban_findings(&nested)), [(1, "`std::fs` may not stand in crdt/src/")]);
    let core = snippet("node/src/core/router.rs", "use crate::{core::Input, shell::store};\nuse tokio::sync;\n");
    assert_eq!(
        rules(&ban_findings(&core)),
        [(1, "`crate::shell` may not stand in node/src/core"), (2, "`tokio::` may not stand in node/src/core")]
    );
    let top = snippet("node/src/core.rs", "fn f(c: &rusqlite::Connection) {}\n");
    assert_eq!(rules(&ban_findings(&top)), [(1, "`rusqlite` may not stand in node/src/core")]);
}

#[test]
fn every_banned_word_is_found_in_its_folder() {
    for ban in &BANS {
        for word in ban.words {
            let file =
                snippet(&format!("{}/x.rs", ban.folder.trim_end_matches('/')), &format!("fn f() {{ {word} x }}\n"));
            let findings = ban_findings(&file);
            assert!(findings.iter().any(|finding| finding.rule.contains(word)), "{word} in {} passed", ban.folder);
        }
    }
}

#[test]
fn comments_strings_longer_names_tests_and_other_folders_pass() {
    for (path, text) in [
        ("protocol/src/a.rs", "// std::fs is not for us\nconst A: &str = \"std::net\";\n"),
        ("protocol/src/a.rs", "use std::{fmt, network_like as net};\nfn f() { my_std::fs_like(); }\n"),
        ("node/src/shell/store.rs", "use std::fs;\nfn f() { std::time::Instant::now(); }\n"),
        ("node/src/core/a.rs", "fn f() { mytokio::x(); }\n"),
        ("node/src/core/a.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n"),
        ("node/src/core/a/tests.rs", "use std::fs;\n"),
    ] {
        assert_eq!(ban_findings(&snippet(path, text)), [], "{text}");
    }
}

#[test]
fn an_unbounded_channel_is_found_anywhere() {
    for line in ["let (a, b) = tokio::sync::mpsc::unbounded_channel();", "let (a, b) = mpsc::channel();"] {
        assert_eq!(ban_findings(&snippet("node/src/shell/a.rs", line)).len(), 1, "{line}");
    }
    assert_eq!(ban_findings(&snippet("node/src/shell/a.rs", "let (a, b) = mpsc::channel(CAPACITY);")), []);
}

#[test]
fn undone_work_is_found_in_code_and_comments_but_not_in_strings() {
    for word in UNDONE {
        assert_eq!(undone_findings(&snippet("a.rs", &format!("// {word}\n"))).len(), 1, "{word}");
        assert_eq!(undone_findings(&snippet("a.rs", &format!("let a = \"{word}\";\n"))), [], "{word}");
        assert_eq!(undone_findings(&snippet("a.md", &format!("text\n{word}\n"))).len(), 1, "{word}");
    }
}
