//! What a viewer of notes would load or run.

use std::collections::BTreeSet;

use aiemp_node::core::mail as mails;
use aiemp_protocol::{active, vault_path::VaultPath};

use super::{seeds, text_of};

/// Findings that are told of one file.
const FINDINGS_MAX: usize = 64;
/// What is shown of one, with the sign that it goes on.
const BEGINNING_CHARS_MAX: usize = 41;
/// Names that viewers render, each kind in its own way.
const NAMES: [&str; 4] = ["Plans/a.md", "Plans/a.canvas", "Plans/a.html", "Plans/a.svg"];
/// Paragraphs that are active wherever they stand.
const PLANTED: [&str; 8] = [
    "![x](https://track.test/p.png)",
    "<script>fetch('x')</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert)",
    "obsidian://open?vault=x",
    "```dataview\nLIST\n```",
    "`= this.file.name`",
    "<% tp.file.title %>",
];

/// What is found depends on kind of name and bytes alone, and nothing around active content hides it; mails have none.
///
/// The input is a name and a content, the second behind the first NUL.
pub fn active(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == 0);
    let (name, content) = at.map_or((&b""[..], bytes), |at| (&bytes[..at], &bytes[at + 1..]));
    let named = VaultPath::parse(&text_of(name)).ok();
    let rendered = NAMES.map(|name| VaultPath::parse(name).expect("a path"));
    for path in named.iter().chain(&rendered) {
        check(path, content);
    }
    for path in &rendered {
        planted(path, content);
    }
    if let Ok(mail) = mails::read_mail(bytes) {
        let path = VaultPath::parse("Needs_Action/email/EMAIL_1.md").expect("a path");
        let note = mails::task_note(&mail, &seeds::work(), seeds::NOW, "Inbox/x.eml");
        assert_eq!(active::find(&path, note.as_bytes()), [], "a mail would wait: {note}");
    }
}

fn check(path: &VaultPath, content: &[u8]) {
    let found = active::find(path, content);
    assert_eq!(active::find(path, content), found);
    assert!(found.len() <= FINDINGS_MAX, "{} findings", found.len());
    let releases: BTreeSet<_> = found.iter().map(|finding| finding.release).collect();
    assert_eq!(releases.len(), found.len(), "a piece is told twice: {found:?}");
    assert!(found.is_sorted_by_key(|finding| finding.line), "{found:?}");
    for finding in &found {
        let length = finding.begins.chars().count();
        // A file that is one piece may be blank.
        let least = usize::from(finding.kind != active::ActiveKind::File);
        assert!(
            (least..=BEGINNING_CHARS_MAX).contains(&length) && !finding.begins.contains(['\n', '\r']),
            "{finding:?}"
        );
    }
    // A carriage return alone ends a line as well, for editors and browsers.
    let ends = content.iter().enumerate().filter(|(at, byte)| match byte {
        b'\n' => true,
        b'\r' => content.get(at + 1) != Some(&b'\n'),
        _ => false,
    });
    let lines = 1 + ends.count();
    // In a canvas the escapes of its JSON are lines as well.
    let is_told = |finding: &active::Finding| path.extension() == "canvas" || (1..=lines).contains(&finding.line);
    assert!(found.iter().all(is_told), "{lines} lines, {found:?}");
    if let Ok(other) = VaultPath::parse(&format!("Done/b.{}", path.extension()))
        && other.extension() == path.extension()
    {
        assert_eq!(active::find(&other, content), found, "under another name of the kind");
    }
}

fn planted(path: &VaultPath, content: &[u8]) {
    let at = content.first().map_or(0, |first| usize::from(*first) * content.len() / 256);
    for piece in PLANTED {
        let text = [&content[..at], b"\n\n", piece.as_bytes(), b"\n\n", &content[at..]].concat();
        assert_ne!(active::find(path, &text), [], "{piece} at {at} in {path}");
    }
    let holds_command = content.windows(2).any(|pair| pair == b"<%");
    if holds_command && path.extension() != "canvas" {
        assert_ne!(active::find(path, content), [], "a command of Templater");
    }
}
