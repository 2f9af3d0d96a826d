//! File names that some system, somewhere, cannot bear.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};

use crate::node::{Node, Pair};

fn good_names() -> Vec<String> {
    let longest = format!("{}.md", "\u{1f9fe}".repeat(63));
    assert_eq!(longest.len(), 255);
    let names = [
        "\u{1f4c5} Plan \u{2013} \u{201e}Q1\u{201c} \u{2019}26.md",
        "\u{1f469}\u{200d}\u{1f4bb}\u{1f3fd}.md",
        "trailing dots...",
        "trailing space ",
        "(2).md",
        "note (2).md",
        "-rf.md",
        "%2e%2e.md",
        "con.md",
        "'\"$(reboot)`;&|<>*?.md",
        "no extension",
        "\u{627}\u{644}\u{639}\u{631}\u{628}\u{64a}\u{629}.md",
        "zero\u{200b}width\u{202e}.md",
    ];
    names.into_iter().map(str::to_owned).chain([longest, "x".repeat(255)]).collect()
}

#[test]
fn strange_names_sync_with_their_spelling_both_ways() {
    let pair = Pair::running();
    let mut paths = Vec::new();
    for name in good_names() {
        for (node, side) in [(&pair.cloud, "cloud"), (&pair.local, "local")] {
            let path = format!("Plans/{side} \u{1f9fe}/{name}");
            node.save(&path, format!("{side} wrote {name}\n"));
            paths.push(path);
        }
    }
    pair.wait_same("every name arrives", |files| paths.iter().all(|path| files.contains_key(path)));
    // And is edited where it arrived.
    for path in &paths {
        let node = if path.starts_with("Plans/cloud") { &pair.local } else { &pair.cloud };
        node.save(path, "edited\n");
    }
    pair.wait_same("every edit arrives", |files| {
        paths.iter().all(|path| files.get(path).is_some_and(|bytes| bytes == b"edited\n"))
    });
}

fn assert_untouched(node: &Node, files: &[(&str, &str)]) {
    for (path, text) in files {
        assert_eq!(node.read(path).as_deref(), Some(text.as_bytes()), "{}: {path}", node.role);
    }
}

#[test]
fn of_names_that_are_one_name_elsewhere_one_syncs_and_all_stay() {
    let pair = Pair::running();
    let twins = [
        ("Plans/Caf\u{e9}.md", "composed\n"),
        ("Plans/Cafe\u{301}.md", "decomposed\n"),
        ("Plans/README.md", "upper case\n"),
        ("Plans/readme.md", "lower case\n"),
        ("Plans/dots", "no dots\n"),
        ("Plans/dots..", "dots\n"),
    ];
    for (path, text) in twins {
        pair.cloud.save(path, text);
    }
    let count = |node: &Node| node.files("Plans").len();
    pair.wait("one of each pair arrives, or both under two names", |pair| {
        let texts: Vec<_> = pair.local.files("Plans").into_values().collect();
        let arrived = |at: usize| texts.iter().any(|bytes| bytes == twins[at].1.as_bytes());
        (0..3).all(|pair| arrived(2 * pair) || arrived(2 * pair + 1))
    });
    assert!(count(&pair.local) >= 3);
    let texts: Vec<_> = pair.cloud.files("Plans").into_values().collect();
    for (path, text) in twins {
        assert!(texts.iter().any(|bytes| bytes == text.as_bytes()), "{path} is gone: {:?}", pair.cloud.files("Plans"));
    }
    pair.cloud.save("Plans/after.md", "still in step\n");
    pair.wait("others still sync", |pair| pair.local.read("Plans/after.md").is_some());
}

#[test]
fn names_that_cannot_be_written_everywhere_stay_where_they_are_with_a_word() {
    let pair = Pair::running();
    let bad = [
        ("Plans/a:b.md", "colon\n"),
        ("Plans/a\\b.md", "backslash\n"),
        ("Plans/line\nbreak.md", "line break\n"),
        ("Plans/bell\u{7}.md", "bell\n"),
    ];
    for (path, text) in bad {
        pair.cloud.save(path, text);
    }
    let broken = pair.cloud.vault.join("Plans").join(OsStr::from_bytes(b"\xff\xfe.md"));
    fs::write(&broken, "no UTF-8\n").expect("Linux takes any name");
    pair.cloud.save("Plans/good.md", "good\n");
    pair.wait("the good one arrives", |pair| pair.local.read("Plans/good.md").is_some());
    pair.wait("each is told", |pair| pair.cloud.log().matches("reason=\"name\"").count() > bad.len());
    assert_untouched(&pair.cloud, &bad);
    assert_eq!(fs::read(broken).expect("it is there"), b"no UTF-8\n");
    assert_eq!(pair.local.files("Plans").len(), 1);
}
